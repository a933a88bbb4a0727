/**
 * Headers as an attacker writes them: identities forged in every spelling, two values where one is meant, paths, types and
 * timeouts at their edges. What the model server is told about a caller comes from evidence, and from nowhere else.
 */
import { type IncomingHttpHeaders, sensitiveHeaders } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { markNeverIndexed } from '../../src/http2/never-indexed.ts';
import { issueClient } from '../../src/identity/issue.ts';
import { FrameClient, valueOf } from '../fakes/frame-client.ts';
import { fresh, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';

let ground: HostileGround;
beforeAll(async () => {
  ground = await HostileGround.start();
});
afterAll(() => ground.stop());

const pseudo = (path = INFER): string[] => [
  ':method',
  'POST',
  ':scheme',
  'https',
  ':path',
  path,
  ':authority',
  'acme.models.test',
];
const BASE = [...pseudo(), 'content-type', 'application/grpc', 'te', 'trailers'];

/** Sends one good message under this block. Gives what became of it and what reached the model server. */
async function send(block: readonly string[]): Promise<{ outcome: string; reached: IncomingHttpHeaders | undefined }> {
  const before = ground.upstream.calls.length;
  const client = await FrameClient.connect(ground.access(ground.acme));
  const id = client.open(block);
  client.data(id, inferRequest(), true);
  const outcome = await client.outcome(id);
  client.close();
  return { outcome, reached: ground.upstream.calls.slice(before)[0]?.headers };
}

/** Every header by which somebody could be named, in the spellings that some server reads as the same. */
const IDENTITIES = [
  'x-bulkhead-tenant-id',
  'x-bulkhead-principal',
  'x-bulkhead-scopes',
  'x-bulkhead-tenant-id-bin',
  'x_bulkhead_tenant_id',
  'x-bulkhead_tenant_id',
  'x-forwarded-client-cert',
  'x_forwarded_client_cert',
  'x-forwarded-for',
  'x-forwarded-user',
  'x-forwarded-host',
  'forwarded',
  'x-real-ip',
  'client-cert',
  'client-cert-chain',
  'client_cert',
  'l5d-client-id',
  'x-tenant-id',
  'x_tenant_id',
  'x-gateway-inference-fairness-id',
  'x-gateway-inference-objective',
  'x-envoy-external-address',
  'x-envoy-original-path',
  'grpc-trace-bin',
  'cookie',
  'proxy-authorization',
];

describe('identity headers', () => {
  it.each(IDENTITIES)('%s never reaches the model server as the client wrote it, once or twice', async (name) => {
    const { outcome, reached } = await send([...BASE, name, 'globex', 'x-own', '1', name, 'globex2']);
    expect(outcome).toBe('status 0');
    expect(JSON.stringify(reached)).not.toContain('globex');
    // The client's own metadata beside it does: the header was stripped, not the call refused.
    expect(reached?.['x-own']).toBe('1');
  });

  it('say who the evidence says it is', async () => {
    const { reached } = await send(BASE);
    expect(reached).toMatchObject({
      'x-bulkhead-tenant-id': 'acme',
      'x-bulkhead-principal': 'cert:spiffe://acme.example/client',
      'x-gateway-inference-fairness-id': 'acme',
      ':authority': `127.0.0.1:${ground.upstream.port}`,
    });
  });

  it('in upper case are no HTTP/2 at all', async () => {
    expect((await send([...BASE, 'X-Tenant-Id', 'globex'])).outcome).toBe('reset 1');
  });

  it("cannot be injected by a certificate's subject", async () => {
    const evil = '",URI=spiffe://globex.example/admin;Subject="x\\';
    const { ca, spiffeId } = ground.acme.pki;
    const certificate = issueClient(ca, { commonName: evil, spiffeId, days: 1 });
    const client = await ground.client(ground.acme, { certPem: certificate.certPem, keyPem: certificate.keyPem });
    const before = ground.upstream.calls.length;
    expect(await client.call(INFER, { chunks: [inferRequest()] })).toMatchObject({ status: 0 });
    const xfcc = String(ground.upstream.calls[before]?.headers['x-forwarded-client-cert']);
    // One element, whose quoted subject holds all of it: outside of quotes there is no comma and one URI.
    const unquoted = xfcc.replace(/"(?:[^"\\]|\\.)*"/g, '""');
    expect(unquoted).toBe(`Hash=${/Hash=([0-9a-f]{64})/.exec(xfcc)?.[1]};Subject="";URI=${spiffeId}`);
  });

  it("cannot be made ambiguous by spaces at a subject's end, which HTTP would drop", async () => {
    const client = await ground.client();
    const before = ground.upstream.calls.length;
    for (const sub of ['alice', 'alice ', 'alice\u00e9 x-tenant-id: globex%']) {
      const authorization = `Bearer ${ground.acme.issuer.token(fresh({ sub }))}`;
      expect(await client.call(INFER, { headers: { authorization }, chunks: [inferRequest()] })).toMatchObject({
        status: 0,
      });
    }
    const principals = ground.upstream.calls.slice(before).map(({ headers }) => headers['x-bulkhead-principal']);
    expect(principals).toEqual(['token:alice', 'token:alice%20', 'token:alice%C3%A9 x-tenant-id: globex%25']);
  });
});

describe('a header that means one thing', () => {
  it.each([
    ['content-type', 'application/grpc', 'application/grpc+proto'],
    ['grpc-encoding', 'identity', 'gzip'],
    ['grpc-encoding', 'gzip', 'identity'],
    ['grpc-timeout', '10S', '99999999H'],
  ])('is refused when %s comes twice', async (name, first, second) => {
    const block = name === 'content-type' ? [...pseudo(), 'te', 'trailers'] : BASE;
    expect(await send([...block, name, first, name, second])).toEqual({ outcome: 'status 3', reached: undefined });
    // Once, the same is fine.
    expect((await send([...block, name, first])).outcome).toBe('status 0');
  });

  it.each([
    ['pseudo-fields after others', [...BASE.slice(0, 4), ...BASE.slice(8), ':path', INFER]],
    ['two paths', [...BASE.slice(0, 6), ':path', '/other.Service/Method', ...BASE.slice(6)]],
    ['an unknown pseudo-field', [':protocol', 'websocket', ...BASE]],
    ['a connection header', [...BASE, 'connection', 'x-tenant-id']],
    ['transfer-encoding', [...BASE, 'transfer-encoding', 'chunked']],
    ['te other than trailers', [...pseudo(), 'content-type', 'application/grpc', 'te', 'gzip']],
    ['a line break in a value', [...BASE, 'x-own', 'a\r\nx-tenant-id: globex']],
    ['a NUL in a value', [...BASE, 'x-own', 'a\0b']],
    ['two hosts', [...BASE, 'host', 'globex.models.test']],
    ['userinfo in :authority', BASE.map((text) => (text === 'acme.models.test' ? 'globex@acme.models.test' : text))],
  ])('is malformed with %s', async (_name, block) => {
    expect(await send(block)).toEqual({ outcome: 'reset 1', reached: undefined });
  });

  it("decides nothing by :authority: another tenant's name there leads nowhere else", async () => {
    const { outcome, reached } = await send(
      BASE.map((text) => (text === 'acme.models.test' ? 'globex.models.test' : text)),
    );
    expect(outcome).toBe('status 0');
    expect(reached?.['x-bulkhead-tenant-id']).toBe('acme');
    const last = (await ground.sidecar.calls()).at(-1);
    expect(last).toMatchObject({ tenant: 'acme', outcome: 'ok' });
  });
});

describe('credentials', () => {
  it('that come twice match nobody, even when both are good', async () => {
    const token = `Bearer ${ground.acme.issuer.token(fresh())}`;
    expect((await send([...BASE, 'authorization', token])).outcome).toBe('status 0');
    expect((await send([...BASE, 'authorization', token, 'authorization', token])).outcome).toBe('status 16');
    expect((await send([...BASE, 'x-api-key', ground.acme.apiKey])).outcome).toBe('status 0');
    expect((await send([...BASE, 'x-api-key', ground.acme.apiKey, 'x-api-key', ground.acme.apiKey])).outcome).toBe(
      'status 16',
    );
  });

  it('of two tenants do not mix, in either header', async () => {
    const mine = `Bearer ${ground.acme.issuer.token(fresh())}`;
    expect((await send([...BASE, 'authorization', mine, 'x-api-key', ground.globex.apiKey])).outcome).toBe('status 7');
    // Nobody here can prove the other tenant's token: it is answered like one that nobody has issued.
    const theirs = `Bearer ${ground.globex.issuer.token(fresh())}`;
    expect((await send([...BASE, 'authorization', theirs, 'x-api-key', ground.acme.apiKey])).outcome).toBe('status 16');
  });
});

describe('content types', () => {
  it.each([
    ['application/grpc', 'status 0'],
    ['application/grpc+proto', 'status 0'],
    ['application/grpc;charset=utf-8', 'status 0'],
    // What is not protobuf cannot be read, and what cannot be read does not pass where a model must be known.
    ['application/grpc+json', 'HTTP 415'],
    ['application/grpc+thrift', 'HTTP 415'],
    ['application/grpc+proto2', 'HTTP 415'],
    ['application/grpc-web', 'HTTP 415'],
    ['application/grpc-web+proto', 'HTTP 415'],
    ['application/GRPC', 'HTTP 415'],
    ['application/grpcx', 'HTTP 415'],
    ['text/html', 'HTTP 415'],
    ['', 'HTTP 415'],
  ])('%s: %s', async (contentType, expected) => {
    const { outcome, reached } = await send([...pseudo(), 'content-type', contentType, 'te', 'trailers']);
    expect(outcome).toBe(expected);
    expect(reached === undefined).toBe(expected !== 'status 0');
  });

  it('in another codec pass where no message is read', async () => {
    const opaque = 'acme.Opaque';
    ground.sidecar.apply(
      ground.generation({
        acme: {
          opaqueServices: [opaque],
          roles: [{ name: 'all', methods: [`${opaque}/*`], models: ['*'], versions: ['*'], source: 'tenant.yaml:1' }],
        },
      }),
    );
    const block = [...pseudo(`/${opaque}/Call`), 'content-type', 'application/grpc+json', 'te', 'trailers'];
    expect((await send(block)).outcome).toBe('status 0');
    ground.sidecar.apply(ground.generation());
  });
});

describe('grpc-timeout', () => {
  it.each([
    ['99999999H', 'status 0'],
    ['99999999S', 'status 0'],
    ['0H', 'status 4'],
    ['0n', 'status 4'],
    ['1n', 'status 4'],
    ['-1S', 'status 3'],
    ['+1S', 'status 3'],
    ['1.5S', 'status 3'],
    ['1s', 'status 3'],
    ['S', 'status 3'],
    ['', 'status 3'],
    ['100000000S', 'status 3'],
    ['1S, 2S', 'status 3'],
    ['0x1S', 'status 3'],
    ['١S', 'status 3'],
  ])('%s: %s', async (timeout, expected) => {
    const { outcome, reached } = await send([...BASE, 'grpc-timeout', Buffer.from(timeout).toString('latin1')]);
    expect(outcome).toBe(expected);
    if (expected === 'status 3') expect(reached).toBeUndefined();
    if (expected === 'status 0') expect(String(reached?.['grpc-timeout'])).toMatch(/^[1-9]\d{0,7}[muS]$/);
  });
});

describe('headers that make no sense', () => {
  it("are on record with the client's trace all the same", async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const { outcome } = await send([...BASE, 'traceparent', `00-${traceId}-00f067aa0ba902b7-01`, 'grpc-timeout', 'x']);
    expect(outcome).toBe('status 3');
    expect((await ground.records(1)).at(-1)).toMatchObject({ reason: 'header_malformed', clientTrace: { traceId } });
  });
});

describe('a header that its client wants in no compression table (RFC 7541 §6.2.3)', () => {
  it('is in none on its way to the model server, and the others may be', async () => {
    for (const names of [['x-own'], []]) {
      const block = [...BASE, 'x-own', 'secret', 'x-other', 'secret'];
      if (names.length > 0) markNeverIndexed(block, new Set(names));
      const { outcome, reached } = await send(block);
      const never: unknown = Reflect.get(reached ?? {}, sensitiveHeaders);
      expect([outcome, reached?.['x-own'], never]).toEqual(['status 0', 'secret', names]);
    }
  });
});

describe('a great deal of metadata', () => {
  it('passes up to the limit of the header list, binary values byte by byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('base64');
    const { outcome, reached } = await send([...BASE, 'data-bin', bytes, 'x-long', 'a'.repeat(8 * 1024)]);
    expect(outcome).toBe('status 0');
    expect(reached?.['data-bin']).toBe(bytes);
    expect(reached?.['x-long']).toHaveLength(8 * 1024);
  });

  it('beyond it ends the stream and not the connection, and never goes up', async () => {
    const client = await FrameClient.connect(ground.access(ground.acme));
    const before = ground.upstream.calls.length;
    const large = client.open([...BASE, 'x-long', 'a'.repeat(16 * 1024 - 600)], true);
    expect(await client.outcome(large)).toMatch(/^reset 11|^status 3/);
    const next = client.open(BASE);
    client.data(next, inferRequest(), true);
    expect(await client.outcome(next)).toBe('status 0');
    expect(valueOf(client.stream(next).fields, ':status')).toBe('200');
    client.close();
    expect(ground.upstream.calls.length).toBe(before + 1);
  });
});
