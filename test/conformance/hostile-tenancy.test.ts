/**
 * Across the wall between two tenants, and across changes of the configuration: what one tenant does or has is neither seen nor
 * felt by the other, and what was taken away from a caller does not live on in a cache.
 */

import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { createCa, issueClient } from '../../src/identity/issue.ts';
import { respond } from '../fakes/fake-upstream.ts';
import { dataFrame, FrameClient, headerFrame } from '../fakes/frame-client.ts';
import {
  BALANCED,
  eventually,
  fresh,
  HostileGround,
  INFER,
  inferRequest,
  STREAM_INFER,
} from '../fakes/hostile-ground.ts';
import { frame, type RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { FakeIssuer } from '../fakes/tokens.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

const bearer = (token: string): Readonly<Record<string, string>> => ({ authorization: `Bearer ${token}` });
const infer = async (client: RawGrpcClient, headers: Readonly<Record<string, string>> = {}) => {
  const { status, reason, resetCode } = await client.call(INFER, {
    headers,
    chunks: [inferRequest()],
    cancelAfterMs: 3_000,
  });
  return `${status} ${reason}${resetCode === undefined ? '' : `reset ${resetCode}`}`.trim();
};

describe('a change of the configuration, on a connection that stays', () => {
  it('a revoked key stops working for the next call, and a restored one works again', async () => {
    ground = await HostileGround.start();
    const client = await ground.client();
    const key = { 'x-api-key': ground.acme.apiKey };
    expect(await infer(client, key)).toBe('0');
    const apiKeys = ground.acme.config.apiKeys.map((each) => ({ ...each, revoked: true }));
    ground.sidecar.apply(ground.generation({ acme: { apiKeys } }));
    expect(await infer(client, key)).toBe('16 API_KEY_INVALID');
    ground.sidecar.apply(ground.generation());
    expect(await infer(client, key)).toBe('0');
  });

  it('a removed issuer stops working for the next call, also with a token that was remembered', async () => {
    ground = await HostileGround.start();
    const client = await ground.client();
    const token = bearer(ground.acme.issuer.token(fresh()));
    expect([await infer(client, token), await infer(client, token)]).toEqual(['0', '0']);
    ground.sidecar.apply(ground.generation({ acme: { issuers: [] } }));
    expect(await infer(client, token)).toBe('16 TOKEN_INVALID');
  });

  it("an issuer that moves to another tenant takes its remembered tokens' standing with it", async () => {
    ground = await HostileGround.start();
    const client = await ground.client();
    const token = bearer(ground.acme.issuer.token(fresh()));
    expect(await infer(client, token)).toBe('0');
    const issuers = { acme: { issuers: [] }, globex: { issuers: ground.acme.config.issuers } };
    ground.sidecar.apply(ground.generation(issuers));
    expect(await infer(client, token)).toBe('16 TOKEN_INVALID');
    expect(await infer(await ground.client(ground.globex), token)).toBe('0');
  });

  it('a role that is taken away stops the next call, and the call that runs by it', async () => {
    ground = await HostileGround.start();
    ground.upstream.answer = (stream, call) => {
      stream.on('end', () => !call.reset && respond(stream));
    };
    const client = await FrameClient.connect(ground.access(ground.acme));
    const block = [
      ...[':method', 'POST', ':scheme', 'https', ':path', STREAM_INFER, ':authority', 'acme.models.test'],
      ...['content-type', 'application/grpc', 'te', 'trailers'],
    ];
    const running = client.open(block);
    client.data(running, inferRequest());
    await eventually('it runs', () => ground.upstream.calls[0]?.body.length === inferRequest().length);
    ground.sidecar.apply(ground.generation({ acme: { bindings: [] } }));
    const next = client.open(block, true);
    expect(await client.outcome(next)).toBe('status 7');
    client.data(running, inferRequest(), true);
    expect(await client.outcome(running)).toBe('status 16');
    expect(ground.upstream.calls[0]?.body.length).toBe(inferRequest().length);
    client.close();
  });

  it("a client whose CA is no longer the tenant's begins no call more, and its running ones end", async () => {
    ground = await HostileGround.start();
    ground.upstream.answer = () => undefined;
    const client = await ground.client();
    const running = infer(client);
    await eventually('it runs', () => ground.upstream.calls.length === 1);
    const { ca } = ground.globex.pki;
    const flood = await FrameClient.connect(ground.access(ground.acme));
    await delay(20);
    ground.sidecar.apply(ground.generation({ acme: { clientCaPem: ca.certPem, trustDomain: undefined } }));
    // It has not read GOAWAY, or does not care.
    const id = flood.open([
      ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'acme.models.test'],
      ...['content-type', 'application/grpc', 'te', 'trailers'],
    ]);
    flood.data(id, inferRequest(), true);
    expect(await flood.outcome(id)).toBe('reset 7');
    flood.close();
    expect(ground.upstream.calls).toHaveLength(1);
    expect(await running).toBe('16 AUTHORIZATION_EXPIRED');
    const refusals = await ground.sidecar.refusals();
    expect(refusals.map(({ reason, tenantClaim }) => [reason, tenantClaim])).toContainEqual([
      'PEER_NO_LONGER_TRUSTED',
      'acme',
    ]);
  });

  it('a client that the new trust still lets in goes on, and its connection too', async () => {
    ground = await HostileGround.start();
    const flood = await FrameClient.connect(ground.access(ground.acme));
    await delay(20);
    const both = ground.acme.pki.ca.certPem + ground.globex.pki.ca.certPem;
    ground.sidecar.apply(ground.generation({ acme: { clientCaPem: both } }));
    const id = flood.open([
      ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'acme.models.test'],
      ...['content-type', 'application/grpc', 'te', 'trailers'],
    ]);
    flood.data(id, inferRequest(), true);
    expect(await flood.outcome(id)).toBe('status 0');
    expect(flood.goawayCode).toBeUndefined();
    flood.close();
  });

  it('another model server takes the next call, and the old one finishes what it has, also what waits for its body', async () => {
    ground = await HostileGround.start();
    const client = await FrameClient.connect(ground.access(ground.acme));
    const block = [
      ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'acme.models.test'],
      ...['content-type', 'application/grpc', 'te', 'trailers'],
    ];
    const begun = client.open(block);
    await eventually('it is admitted', () => ground.usage(0).callsInProgress === 1);
    const moved = { ...ground.upstream.config, authority: 'moved.test' };
    ground.sidecar.apply(ground.generation({ acme: { upstream: moved } }));
    const next = client.open(block);
    client.write(dataFrame(next, inferRequest(), true), dataFrame(begun, inferRequest(), true));
    expect([await client.outcome(begun), await client.outcome(next)]).toEqual(['status 0', 'status 0']);
    const authorities = ground.upstream.calls.map(({ headers }) => headers[':authority']);
    expect(new Set(authorities)).toEqual(new Set([ground.upstream.config.authority, 'moved.test']));
    client.close();
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('a tenant that is removed takes no more calls, its running ones end, and their books are closed', async () => {
    ground = await HostileGround.start();
    ground.upstream.answer = () => undefined;
    const client = await ground.client();
    const running = infer(client);
    await eventually('it runs', () => ground.upstream.calls.length === 1);
    const whole = ground.generation();
    const flood = await FrameClient.connect(ground.access(ground.acme));
    await delay(20);
    ground.sidecar.apply({ ...whole, tenants: whole.tenants.slice(1) });
    const id = flood.open([
      ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'acme.models.test'],
      ...['content-type', 'application/grpc', 'te', 'trailers'],
    ]);
    expect(await flood.outcome(id)).toBe('reset 7');
    flood.close();
    await expect(ground.client()).rejects.toThrow();
    expect(await running).toBe('16 AUTHORIZATION_EXPIRED');
    expect(await ground.balanced()).toEqual(BALANCED);
    // It is back under another slot: the connections of before are not its.
    const old = await FrameClient.connect(ground.access(ground.globex));
    await delay(20);
    const [acme, globex] = whole.tenants;
    if (acme === undefined || globex === undefined) throw new Error('two tenants');
    ground.sidecar.apply({ ...whole, tenants: [acme, { ...globex, slot: 5, digest: 'again' }] });
    const stale = old.open([
      ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'globex.models.test'],
      ...['content-type', 'application/grpc', 'te', 'trailers'],
    ]);
    expect(await old.outcome(stale)).toBe('reset 7');
    old.close();
    ground.upstream.answer = undefined;
    expect(await infer(await ground.client(ground.globex))).toBe('0');
    expect(await infer(await ground.client())).toBe('0');
  });
});

describe('two tenants with the same names', () => {
  it('share no caller’s rate, no verdict and no remembered token', async () => {
    const shared = new FakeIssuer('https://shared.idp.test');
    const rate = {
      perTenant: undefined,
      perCaller: { callsPerSecond: 0.001, burst: 2 },
      maxConcurrentCalls: undefined,
    };
    const issuers = (tenant: string) => [
      {
        issuer: shared.issuer,
        audiences: [`bulkhead-${tenant}`],
        algorithms: [shared.algorithm],
        jwks: { kind: 'inline', json: shared.jwks() } as const,
        clockSkewMs: 30_000,
        tenantClaim: undefined,
        requireBound: false,
      },
    ];
    const token = (tenant: string): string => shared.token(fresh({ sub: 'alice', aud: `bulkhead-${tenant}` }));
    ground = await HostileGround.start({
      acme: { quota: rate, issuers: issuers('acme') },
      globex: { quota: rate, issuers: issuers('globex'), bindings: [] },
    });
    const acme = await ground.client();
    const globex = await ground.client(ground.globex);
    const tokens = { acme: token('acme'), globex: token('globex') };
    // alice of acme spends her burst; alice of globex has no role, and her refusals cost nobody anything.
    expect(await infer(acme, bearer(tokens.acme))).toBe('0');
    expect(await infer(globex, bearer(tokens.globex))).toBe('7 MODEL_ACCESS_DENIED');
    expect(await infer(acme, bearer(tokens.acme))).toBe('0');
    expect(await infer(acme, bearer(tokens.acme))).toBe('8 RATE_LIMITED');
    // One's token is not the other's, however often it was good over there.
    expect(await infer(globex, bearer(tokens.acme))).toMatch(/^(16|7) /);
    ground.sidecar.apply(
      ground.generation({
        acme: { quota: rate, issuers: issuers('acme') },
        globex: { quota: rate, issuers: issuers('globex') },
      }),
    );
    expect(await infer(globex, bearer(tokens.globex))).toBe('0');
    expect(await infer(globex, bearer(tokens.globex))).toBe('0');
    expect(await infer(globex, bearer(tokens.globex))).toBe('8 RATE_LIMITED');
    expect(await infer(acme, bearer(tokens.acme))).toBe('8 RATE_LIMITED');
    expect((await ground.sidecar.calls()).filter(({ outcome }) => outcome === 'ok')).toHaveLength(4);
  });

  it('one token over two certificates is one caller with two faces, each told as it is', async () => {
    ground = await HostileGround.start();
    const second = issueClient(ground.acme.pki.ca, { spiffeId: 'spiffe://acme.example/other', days: 1 });
    const clients = [
      await ground.client(),
      await ground.client(ground.acme, { certPem: second.certPem, keyPem: second.keyPem }),
    ];
    const token = bearer(ground.acme.issuer.token(fresh()));
    for (let round = 0; round < 3; round++) for (const client of clients) expect(await infer(client, token)).toBe('0');
    const told = ground.upstream.calls.map(({ headers }) => {
      const xfcc = String(headers['x-forwarded-client-cert']);
      return [headers['x-bulkhead-principal'], /Hash=([0-9a-f]+)/.exec(xfcc)?.[1], /URI=(\S+)/.exec(xfcc)?.[1]];
    });
    const sha256 = (pem: string): string => new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
    const first = ['token:alice', sha256(ground.acme.pki.client.certPem), 'spiffe://acme.example/client'];
    const other = ['token:alice', sha256(second.certPem), 'spiffe://acme.example/other'];
    expect(told).toEqual([first, other, first, other, first, other]);
  });
});

describe("a tenant's full byte account", () => {
  const KIB = 1024;
  it('stalls that tenant, not the other, and lets go when its reader leaves', async () => {
    ground = await HostileGround.start({ acme: { byteAccountBytes: 64 * KIB } });
    const big = frame(Buffer.alloc(100 * KIB));
    ground.upstream.answer = (stream, call) =>
      respond(stream, 0, call.headers['x-bulkhead-tenant-id'] === 'acme' && call.headers['x-big'] ? big : undefined);
    const deaf = await FrameClient.connect(ground.access(ground.acme));
    const block = [
      ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'acme.models.test'],
      ...['content-type', 'application/grpc', 'te', 'trailers', 'x-big', '1'],
    ];
    // A frame client gives no window back: 64 KiB each, and all the rest stays in acme's account.
    for (let i = 0; i < 4; i++)
      deaf.write(headerFrame(2 * i + 1, block, false), dataFrame(2 * i + 1, inferRequest(), true));
    await eventually('a full account', () => ground.usage(0).bytesInFlight >= 64 * KIB);
    const globex = await ground.client(ground.globex);
    // A call that stalled would be cancelled after a while.
    for (let i = 0; i < 50; i++) expect(await infer(globex)).toBe('0');
    expect(ground.usage(0).bytesInFlight).toBeLessThan(64 * KIB + 4 * 256 * KIB);
    deaf.close();
    expect(await infer(await ground.client())).toBe('0');
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it.each([
    ['one byte below its limit', 1, true],
    ['at its limit', 0, false],
  ])('%s', async (_name, below, flows) => {
    // Charged by hand: what is at stake is whether the next window is given.
    ground = await HostileGround.start({ acme: { byteAccountBytes: 64 * KIB } });
    ground.upstream.answer = (stream, call) => stream.on('end', () => !call.reset && respond(stream));
    const client = await ground.client();
    await infer(client);
    const { account } = [...ground.sidecar.tenants.active()].find(({ config }) => config.id === 'acme') ?? {};
    if (account === undefined) throw new Error('acme has a runtime');
    const held = 64 * KIB - below;
    account.charge(held);
    const message = frame(
      Buffer.concat([
        Buffer.from([0x0a, 6]),
        Buffer.from('digits'),
        Buffer.from([0xd2, 5, 0x80, 0x80, 0x40]),
        Buffer.alloc(1024 * KIB),
      ]),
    );
    const done = client.call(INFER, { chunks: [message] });
    // What flows may take its time; what does not has had some.
    if (flows) expect((await done).status).toBe(0);
    else expect(await Promise.race([done, delay(400)])).toBeUndefined();
    account.release(held);
    expect((await done).status).toBe(0);
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});

describe("another CA's certificate", () => {
  it('of the same name is nobody, with every credential that is good', async () => {
    ground = await HostileGround.start();
    const forged = createCa({ commonName: 'acme test CA', days: 1 });
    const client = issueClient(forged, { spiffeId: ground.acme.pki.spiffeId, days: 1 });
    await expect(ground.client(ground.acme, { certPem: client.certPem, keyPem: client.keyPem })).rejects.toThrow();
    expect((await ground.sidecar.refusals()).map(({ reason }) => reason)).toEqual(['TLS_CLIENT_CERT_UNTRUSTED']);
  });
});
