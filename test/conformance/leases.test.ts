/** A stream lives as long as the weakest of what it was admitted by, and ends then, after the last whole message. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { createCa, type IssuedCertificate, issueClient, randomSerial, signCa } from '../../src/identity/issue.ts';
import { LAPSE_GRACE_MS } from '../../src/proxy/deadlines.ts';
import { BALANCED, eventually, fresh, HostileGround, INFER, inferRequest, openTo } from '../fakes/hostile-ground.ts';
import { frame } from '../fakes/raw-grpc-client.ts';
import { FIRST_MESSAGE, RunningStream, type StreamEnd } from '../fakes/running-stream.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

const EXPIRED = { status: 16, reason: 'AUTHORIZATION_EXPIRED' };
/** The next whole second that leaves a stream time to begin. */
const soon = (): number => Math.ceil(Date.now() / 1000) + 1;
const sinceEpoch = (end: StreamEnd): number => performance.timeOrigin + end.at;

/** A token that ends at a time, in seconds. */
function tokenUntil(exp: number, claims: object = {}): { readonly authorization: string } {
  return { authorization: `Bearer ${ground.acme.issuer.token(fresh({ exp, ...claims }))}` };
}

/** Whose issuers' clocks are right. */
function exactIssuers(): Partial<TenantConfig> {
  return { issuers: ground.acme.config.issuers.map((issuer) => ({ ...issuer, clockSkewMs: 0 })) };
}

/** A ground whose acme takes tokens until the second that they say. */
async function exactGround(changes: Partial<TenantConfig> = {}): Promise<void> {
  ground = await HostileGround.start();
  ground.sidecar.apply(ground.generation({ acme: { ...exactIssuers(), ...changes } }));
}

/** A CA's name and key, signed by another one or by itself, for a day. */
function caOver({ certPem, keyPem }: IssuedCertificate, by?: IssuedCertificate): IssuedCertificate {
  const { publicKey, subject } = new X509Certificate(certPem);
  const dates = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 86_400_000) };
  const privateKey = createPrivateKey((by ?? { keyPem }).keyPem);
  const signer = { certificate: by && new X509Certificate(by.certPem), privateKey };
  const commonName = subject?.replace('CN=', '') ?? '';
  return { certPem: signCa({ commonName, publicKey, serial: randomSerial(), ...dates }, signer), keyPem };
}

describe('a stream whose caller’s', () => {
  it('token ends, ends with it, with one record', async () => {
    await exactGround();
    const client = await ground.client();
    const exp = soon();
    const stream = await RunningStream.begin(ground, client, tokenUntil(exp));
    const end = await stream.ended;
    expect(end).toMatchObject({ ...EXPIRED, body: FIRST_MESSAGE, inTrailers: true });
    expect(sinceEpoch(end)).toBeGreaterThanOrEqual(exp * 1000);
    expect(sinceEpoch(end)).toBeLessThan(exp * 1000 + 1000);
    await eventually('the model server is told', () => stream.server.destroyed);
    expect(await ground.records(1)).toMatchObject([
      {
        outcome: 'denied',
        grpcStatus: 16,
        reason: 'authorization_expired',
        detail: 'why=expired credential=token',
        caller: 'token:alice',
        responseMessages: 1,
        upstream: ground.upstream.config.display,
      },
    ]);
    expect(await ground.balanced()).toEqual(BALANCED);
    expect(await ground.records(2)).toHaveLength(1);
  });

  it('API key ends, ends with it', async () => {
    ground = await HostileGround.start();
    const expiresAtSeconds = soon();
    const apiKeys = ground.acme.config.apiKeys.map((key) => ({ ...key, expiresAtSeconds }));
    ground.sidecar.apply(ground.generation({ acme: { apiKeys } }));
    const stream = await RunningStream.begin(ground, await ground.client(), { 'x-api-key': ground.acme.apiKey });
    const end = await stream.ended;
    expect(end).toMatchObject({ ...EXPIRED, body: FIRST_MESSAGE });
    expect(sinceEpoch(end)).toBeGreaterThanOrEqual(expiresAtSeconds * 1000);
    expect(sinceEpoch(end)).toBeLessThan(expiresAtSeconds * 1000 + 1000);
    expect((await ground.records(1))[0]?.detail).toBe('why=expired credential=api key');
  });

  it('certificate ends, ends with it, though its token is good for longer', async () => {
    ground = await HostileGround.start();
    const { ca, spiffeId } = ground.acme.pki;
    const notAfter = new Date(soon() * 1000);
    const brief = issueClient(ca, { spiffeId, days: 1, notAfter });
    const client = await ground.client(ground.acme, brief);
    const stream = await RunningStream.begin(ground, client, tokenUntil(soon() + 600));
    const end = await stream.ended;
    expect(end).toMatchObject({ ...EXPIRED, body: FIRST_MESSAGE });
    expect(sinceEpoch(end)).toBeGreaterThanOrEqual(notAfter.getTime());
    expect(sinceEpoch(end)).toBeLessThan(notAfter.getTime() + 1000);
    expect((await ground.records(1))[0]?.detail).toBe('why=expired credential=certificate');
  });

  it.each(['the CA between', 'the tenant’s CA'] as const)(
    '%s ends, ends with it, and one through another goes on',
    async (which) => {
      ground = await HostileGround.start();
      const { spiffeId } = ground.acme.pki;
      const notAfter = new Date(soon() * 1000);
      const isTop = which === 'the tenant’s CA';
      const root = createCa({ commonName: 'root', days: 1, pathLength: 1, ...(isTop ? { notAfter } : {}) });
      const middle = createCa({ commonName: 'middle', days: 1, ...(isTop ? {} : { notAfter }) }, root);
      // The same leaf, shown with a CA of the same name and key that lasts.
      const other = createCa({ commonName: 'other', days: 1, pathLength: 1 });
      const lasting = caOver(middle, other);
      const leaf = issueClient(middle, { spiffeId, days: 1 });
      ground.sidecar.apply(ground.generation({ acme: { clientCaPem: root.certPem + other.certPem } }));
      const shown = (ca: IssuedCertificate) => ({ ...leaf, certPem: leaf.certPem + ca.certPem });
      const first = await ground.client(ground.acme, shown(middle));
      const ends = await RunningStream.begin(ground, first);
      const goes = await RunningStream.begin(ground, await ground.client(ground.acme, shown(lasting)));
      const end = await ends.ended;
      expect(end).toMatchObject({ ...EXPIRED, body: FIRST_MESSAGE, inTrailers: true });
      expect(sinceEpoch(end)).toBeGreaterThanOrEqual(notAfter.getTime());
      expect(sinceEpoch(end)).toBeLessThan(notAfter.getTime() + 1000);
      expect((await ground.records(1))[0]?.detail).toBe('why=expired credential=certificate');
      expect(await first.call(INFER, { chunks: [inferRequest()] })).toMatchObject({
        reason: 'CERTIFICATE_UNACCEPTABLE',
      });
      expect((await ground.records(2))[1]?.detail).toBe('why=a CA of its chain has expired');
      await goes.goesOn();
    },
  );

  it('tenant’s CA is renewed before it ends, goes on beyond that', async () => {
    ground = await HostileGround.start();
    const notAfter = new Date(soon() * 1000);
    const root = createCa({ commonName: 'root', days: 1, notAfter });
    const leaf = issueClient(root, { spiffeId: ground.acme.pki.spiffeId, days: 1 });
    ground.sidecar.apply(ground.generation({ acme: { clientCaPem: root.certPem } }));
    const stream = await RunningStream.begin(ground, await ground.client(ground.acme, leaf));
    ground.sidecar.apply(ground.generation({ acme: { clientCaPem: root.certPem + caOver(root).certPem } }));
    while (Date.now() < notAfter.getTime() + 200) await delay(20);
    await stream.goesOn();
  });

  it('sign-in becomes too old for the role that it needs, ends then, and one that needs no such role goes on', async () => {
    ground = await HostileGround.start();
    const [open] = openTo(ground.acme).roles;
    if (open === undefined) throw new Error('it has a role');
    const stepUp = { acrValues: [], amr: [], maxAgeMs: 60_000 };
    const binding = { subjects: ['*'], keys: [], certificates: [], source: 'tenant.yaml:2' };
    const acme: Partial<TenantConfig> = {
      roles: [open, { ...open, stepUp, name: 'lately', models: ['secret'] }],
      bindings: [
        { ...binding, role: 'all' },
        { ...binding, role: 'lately' },
      ],
    };
    ground.sidecar.apply(ground.generation({ acme }));
    const client = await ground.client();
    const tooOldAt = soon();
    const signedIn = tokenUntil(tooOldAt + 600, { auth_time: tooOldAt - 60 });
    const open1 = await RunningStream.begin(ground, client, signedIn);
    const secret = await RunningStream.begin(ground, client, signedIn, { model: 'secret' });
    const end = await secret.ended;
    expect(end).toMatchObject({ ...EXPIRED, body: FIRST_MESSAGE });
    expect(sinceEpoch(end)).toBeGreaterThanOrEqual(tooOldAt * 1000);
    expect(sinceEpoch(end)).toBeLessThan(tooOldAt * 1000 + 1000);
    expect((await ground.records(1))[0]?.detail).toBe('why=sign_in_too_old credential=token');
    await open1.goesOn();
  });
});

describe('a stream whose credentials are good for long', () => {
  it('ends when its tenant’s lease does, and another tenant’s goes on', async () => {
    ground = await HostileGround.start({ acme: { leaseMs: 400 } });
    const other = await RunningStream.begin(ground, await ground.client(ground.globex));
    const from = performance.now();
    const stream = await RunningStream.begin(ground, await ground.client());
    const end = await stream.ended;
    expect(end).toMatchObject({ ...EXPIRED, body: FIRST_MESSAGE });
    expect(end.at - from).toBeGreaterThanOrEqual(400);
    expect((await ground.records(1))[0]?.detail).toBe('why=lease credential=certificate');
    await other.goesOn();
  });

  it('is not touched when another’s on the same connection ends', async () => {
    await exactGround();
    const client = await ground.client();
    const exp = soon();
    const longer = await RunningStream.begin(ground, client, tokenUntil(exp + 600, { sub: 'bob' }));
    const shorter = await RunningStream.begin(ground, client, tokenUntil(exp));
    expect(await shorter.ended).toMatchObject(EXPIRED);
    await longer.goesOn();
    // What a client does who wants to go on: a new call, with a new token.
    await (await RunningStream.begin(ground, client, tokenUntil(exp + 600))).goesOn();
  });
});

describe('a stream that loses its lease', () => {
  /** A stream whose lease ends in a moment. */
  async function leased(options: { readonly silent?: boolean } = {}): Promise<RunningStream> {
    // With namespaces nothing of a message leaves that is as short as these, before it is whole.
    ground = await HostileGround.start({ acme: { leaseMs: 300, namespaces: 'off' } });
    return RunningStream.begin(ground, await ground.client(), {}, options);
  }

  it('before the model server has answered, ends with headers alone', async () => {
    const stream = await leased({ silent: true });
    expect(await stream.ended).toMatchObject({ ...EXPIRED, inTrailers: false });
  });

  it('amid a message, gets the rest of it, and nothing of the next', async () => {
    const stream = await leased();
    const from = performance.now();
    const second = frame(Buffer.alloc(40, 'x'));
    stream.server.write(second.subarray(0, 3));
    // Past its lease, and as far as may be from the end of the grace.
    while (performance.now() - from < 320) await delay(5);
    expect(stream.isOver).toBe(false);
    // What the client says by now is not for the model server any more.
    const heard = ground.upstream.calls[0]?.body.length;
    stream.client.write(frame(Buffer.from('late')));
    stream.server.write(second.subarray(3, 20));
    stream.server.write(Buffer.concat([second.subarray(20), frame(Buffer.from('next'))]));
    const end = await stream.ended;
    expect(end).toMatchObject({ ...EXPIRED, inTrailers: true });
    expect(end.body).toEqual(Buffer.concat([FIRST_MESSAGE, second]));
    expect(ground.upstream.calls[0]?.body.length).toBe(heard);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('amid a message that does not go on, is reset when the grace is over', async () => {
    const stream = await leased();
    const from = performance.now();
    stream.server.write(frame(Buffer.alloc(40)).subarray(0, 20));
    const end = await stream.ended;
    expect(end).toMatchObject({ status: -1, resetCode: 8 });
    expect(end.at - from).toBeGreaterThanOrEqual(LAPSE_GRACE_MS - 100);
    expect(await ground.balanced()).toEqual(BALANCED);
    const records = await ground.records(1);
    expect(records).toMatchObject([{ grpcStatus: 16, reason: 'authorization_expired' }]);
    expect(records[0]?.detail).toContain('not delivered: amid a message');
  });

  it('and does not read, keeps no more than the grace', async () => {
    ground = await HostileGround.start({ acme: { leaseMs: 300 } });
    const client = await ground.client(ground.acme, { initialWindowBytes: FIRST_MESSAGE.length });
    const stream = await RunningStream.begin(ground, client);
    stream.client.pause();
    stream.server.write(frame(Buffer.alloc(1000)));
    await eventually('it is over', () => stream.client.closed || stream.client.readableLength > 0);
    expect(await ground.balanced()).toEqual(BALANCED);
    const records = await ground.records(1);
    expect(records).toMatchObject([{ grpcStatus: 16, reason: 'authorization_expired' }]);
  });
});
