/**
 * Calls out: a client that knows nothing of TLS, the egress listener, and an upstream that is node:http2 or our own ingress.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect, createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { EgressConfig, LimitsConfig } from '../../../src/config/generation.ts';
import type { UpstreamConfig } from '../../../src/config/upstream-config.ts';
import { FrameType } from '../../../src/http2/frame.ts';
import type { ConnectionLimits } from '../../../src/http2/limits.ts';
import { createCa } from '../../../src/identity/issue.ts';
import { freePort } from '../../e2e/harness/free-port.ts';
import { FakeUpstream, respond } from '../../fakes/fake-upstream.ts';
import { dataFrame, FrameClient, frameBytes, headerFrame } from '../../fakes/frame-client.ts';
import { eventually, HostileGround, INFER, inferRequest } from '../../fakes/hostile-ground.ts';
import { egressConfig, InProcessEgress } from '../../fakes/in-process-egress.ts';
import { RawGrpcClient } from '../../fakes/raw-grpc-client.ts';
import { GRPC_HEADERS, RawUpstream } from '../../fakes/raw-upstream.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { tenantId } from '../../fakes/trust.ts';

const ECHO = '/test.Echo/Echo';
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function upstreamServer(): Promise<FakeUpstream> {
  const upstream = await FakeUpstream.start();
  closing.push(() => upstream.stop());
  return upstream;
}

interface Ground {
  readonly egress: InProcessEgress;
  readonly config: EgressConfig;
  readonly client: RawGrpcClient;
}

async function ground(
  upstream: UpstreamConfig,
  changes: Partial<EgressConfig> = {},
  limits: Partial<LimitsConfig> = {},
  connectionLimits: Partial<ConnectionLimits> = {},
): Promise<Ground> {
  const config = egressConfig(await freePort(), upstream, changes);
  const egress = await InProcessEgress.start([config], limits, connectionLimits);
  closing.push(() => egress.stop());
  return { egress, config, client: await clientOf(config) };
}

async function clientOf({ address }: EgressConfig): Promise<RawGrpcClient> {
  const client = await RawGrpcClient.plain(address.kind === 'tcp' ? address.port : address.path);
  closing.push(() => client.close());
  return client;
}

describe('a call', () => {
  it('goes to the upstream as it is, with its credentials, and its answer comes back as it is', async () => {
    const upstream = await upstreamServer();
    upstream.answer = (stream) => {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'x-seen': 'yes' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-last': 'word' }));
      stream.on('data', (chunk: Buffer) => stream.write(chunk));
      stream.on('end', () => stream.end());
    };
    const { client } = await ground({ ...upstream.config, authority: 'acme.models.test' });
    const sent = inferRequest();
    const answer = await client.call(ECHO, {
      headers: { authorization: 'Bearer t.o.k', 'x-api-key': 'bk_a_b', 'x-mine': 'kept', 'grpc-timeout': '5S' },
      chunks: [sent],
    });
    expect([answer.status, answer.headers['x-seen'], answer.trailers['x-last']]).toEqual([0, 'yes', 'word']);
    expect(answer.body).toEqual(sent);
    const headers: Readonly<Record<string, unknown>> = upstream.calls[0]?.headers ?? {};
    expect(headers).toMatchObject({
      ':path': ECHO,
      ':authority': 'acme.models.test',
      ':scheme': 'http',
      te: 'trailers',
      authorization: 'Bearer t.o.k',
      'x-api-key': 'bk_a_b',
      'x-mine': 'kept',
    });
    const [, left, unit] = /^(\d+)([a-zA-Z])$/.exec(String(headers['grpc-timeout'])) ?? [];
    const micros = Number(left) * (unit === 'u' ? 1 : unit === 'm' ? 1_000 : Number.NaN);
    expect(micros).toBeGreaterThan(3_000_000);
    expect(micros).toBeLessThan(5_000_000);
  });

  it.each(['x-bulkhead-tenant-id', 'x-forwarded-client-cert', 'x-envoy-peer-metadata', 'x-tenant-id', 'cookie'])(
    'does not carry %s on, by which it would pretend to be somebody',
    async (header) => {
      const upstream = await upstreamServer();
      const { client } = await ground(upstream.config);
      expect((await client.call(ECHO, { headers: { [header]: 'forged' } })).status).toBe(0);
      expect(upstream.calls[0]?.headers).not.toHaveProperty(header);
    },
  );

  it('is written down once, as the listener’s tenant, in the client’s own trace', async () => {
    const upstream = await upstreamServer();
    const { client, egress, config } = await ground(upstream.config);
    await client.call(ECHO, { headers: { traceparent: TRACEPARENT }, chunks: [inferRequest()] });
    const calls = await egress.calls();
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatchObject({
      tenant: 'acme',
      tenantVerified: true,
      caller: `egress:${config.listen}`,
      peerAddress: '127.0.0.1',
      certificateSha256: '',
      method: 'test.Echo/Echo',
      outcome: 'ok',
      grpcStatus: 0,
      requestBytes: inferRequest().length,
      requestMessages: 1,
      responseBytes: 5,
      responseMessages: 1,
      upstream: upstream.config.display,
      traceId: TRACEPARENT.slice(3, 35),
      clientTrace: { traceId: TRACEPARENT.slice(3, 35), spanId: TRACEPARENT.slice(36, 52), as: 'parent' },
      gates: [{ gate: 'upstream', verdict: 'pass' }],
    });
    const ours = `00-${calls[0]?.traceId}-${calls[0]?.upstreamSpanId}-01`;
    expect(upstream.calls[0]?.headers['traceparent']).toBe(ours);
    expect(egress.bytesInFlight()).toBe(0);
  });

  it.each([
    ['a path that is none', '/nonsense', {}, 12, 'METHOD_UNKNOWN', 'path_malformed'],
    ['a timeout that is none', ECHO, { 'grpc-timeout': '5' }, 3, 'REQUEST_MALFORMED', 'header_malformed'],
    ['no time left', ECHO, { 'grpc-timeout': '0S' }, 4, 'DEADLINE_EXCEEDED', 'deadline_exceeded'],
  ])(
    'with %s is refused here, and recorded',
    async (_, path, headers: Readonly<Record<string, string>>, status, reason, kind) => {
      const upstream = await upstreamServer();
      const { client, egress } = await ground(upstream.config);
      const answer = await client.call(path, { headers: { traceparent: TRACEPARENT, ...headers } });
      expect([answer.status, answer.reason]).toEqual([status, reason]);
      const traceId = TRACEPARENT.slice(3, 35);
      expect(await egress.calls()).toMatchObject([{ reason: kind, grpcStatus: status, traceId }]);
      expect(upstream.calls).toHaveLength(0);
    },
  );

  it('that is not gRPC gets an HTTP answer', async () => {
    const { client } = await ground((await upstreamServer()).config);
    expect((await client.call(ECHO, { headers: { 'content-type': 'text/html' } })).headers[':status']).toBe(415);
  });

  it('is refused while the audit log cannot be written', async () => {
    const { client, egress } = await ground((await upstreamServer()).config);
    egress.refusing = { kind: 'audit_unavailable', why: 'full' };
    expect(await client.call(ECHO)).toMatchObject({ status: 14, reason: 'AUDIT_UNAVAILABLE' });
  });

  it('ends at its deadline, upstream too', async () => {
    const upstream = await upstreamServer();
    upstream.answer = () => undefined;
    const { client, egress } = await ground(upstream.config);
    const answer = await client.call(ECHO, { headers: { 'grpc-timeout': '50m' } });
    expect(answer.status).toBe(4);
    await eventually('the upstream stream is reset', () => upstream.calls[0]?.reset === true);
    expect(await egress.calls()).toMatchObject([{ outcome: 'failed', reason: 'deadline_exceeded' }]);
  });

  it('without a deadline has the longest that a call may have, and one with a later deadline too', async () => {
    const upstream = await upstreamServer();
    upstream.answer = () => undefined;
    const { client } = await ground(upstream.config, {}, { maxDeadlineMs: 60 });
    expect((await client.call(ECHO)).status).toBe(4);
    expect((await client.call(ECHO, { headers: { 'grpc-timeout': '1H' } })).status).toBe(4);
    for (const { headers } of upstream.calls) expect(headers['grpc-timeout']).toMatch(/^\d{4,5}u$/);
  });

  it('that its client gives up is given up upstream', async () => {
    const upstream = await upstreamServer();
    upstream.answer = () => undefined;
    const { client, egress } = await ground(upstream.config);
    await client.call(ECHO, { chunks: [inferRequest()], cancelAfterMs: 30 });
    await eventually('the upstream stream is reset', () => upstream.calls[0]?.reset === true);
    expect(await egress.calls()).toMatchObject([{ outcome: 'cancelled', grpcStatus: 1 }]);
    expect(egress.bytesInFlight()).toBe(0);
  });

  it('that the upstream never looked at is handed back untouched, for its client to repeat', async () => {
    const upstream = await upstreamServer();
    upstream.answer = (stream) => stream.close(7);
    const { client, egress } = await ground(upstream.config);
    expect((await client.call(ECHO, { chunks: [inferRequest()] })).resetCode).toBe(7);
    expect(await egress.calls()).toMatchObject([{ outcome: 'failed', grpcStatus: 14, reason: 'upstream_unavailable' }]);
  });

  it('that the upstream breaks off is INTERNAL', async () => {
    const upstream = await RawUpstream.start();
    closing.push(() => upstream.stop());
    upstream.script = (connection, id) => {
      connection.headers(id, GRPC_HEADERS, false);
      connection.data(id, Buffer.alloc(5));
      connection.reset(id, 2);
    };
    const { client, egress } = await ground(upstream.config());
    expect((await client.call(ECHO)).status).toBe(13);
    expect(await egress.calls()).toMatchObject([{ outcome: 'failed', reason: 'upstream_protocol' }]);
  });

  it('that the upstream ends without a status is UNKNOWN, and no success on record', async () => {
    const upstream = await RawUpstream.start();
    closing.push(() => upstream.stop());
    upstream.script = (connection, id) => connection.headers(id, GRPC_HEADERS, true);
    const { client, egress } = await ground(upstream.config());
    expect((await client.call(ECHO)).status).toBe(2);
    expect(await egress.calls()).toMatchObject([{ outcome: 'failed', grpcStatus: 2, reason: 'upstream_protocol' }]);
  });

  it('that the upstream gives up at the deadline, a little before our own clock looks again, is told as the deadline', async () => {
    const upstream = await RawUpstream.start();
    closing.push(() => upstream.stop());
    upstream.script = (connection, id) => void setTimeout(() => connection.reset(id, 8), 95);
    const { client } = await ground(upstream.config());
    for (const timeout of ['86m', '88m', '90m']) {
      expect((await client.call(ECHO, { headers: { 'grpc-timeout': timeout } })).reason).toBe('DEADLINE_EXCEEDED');
    }
  });

  it('to nobody is UNAVAILABLE, and the record says why', async () => {
    const upstream = await FakeUpstream.start();
    await upstream.stop();
    const { client, egress } = await ground(upstream.config);
    expect(await client.call(ECHO)).toMatchObject({ status: 14, reason: 'UPSTREAM_UNAVAILABLE' });
    expect(await egress.calls()).toMatchObject([{ detail: expect.stringContaining('ECONNREFUSED') }]);
  });

  it('waits with all that it has for a connection, and takes up no more than its window', async () => {
    const upstream = await upstreamServer();
    let reading: (() => void) | undefined;
    upstream.answer = (stream) => {
      stream.pause();
      reading = () => stream.resume();
      stream.on('end', () => respond(stream));
    };
    const { client, egress } = await ground(upstream.config, { byteAccountBytes: 256 * 1024 });
    const body = randomBytes(4 * 1024 * 1024);
    const call = client.call(ECHO, { chunks: [body] });
    await eventually('the upstream has its call', () => reading !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 100));
    // The client's window of one stream, and what the upstream's own window has let through.
    expect(egress.bytesInFlight()).toBeLessThanOrEqual(512 * 1024);
    reading?.();
    expect((await call).status).toBe(0);
    expect(upstream.calls[0]?.body.equals(body)).toBe(true);
    expect(egress.bytesInFlight()).toBe(0);
  });

  it('is one of 200 at once, each with its own bytes', async () => {
    const upstream = await upstreamServer();
    upstream.answer = (stream) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => respond(stream, 0, Buffer.concat(chunks)));
    };
    const { client, egress } = await ground({ ...upstream.config, maxPendingCalls: 200 });
    const bodies = Array.from({ length: 200 }, () => randomBytes(3_000));
    const answers = await Promise.all(bodies.map((body) => client.call(ECHO, { chunks: [body] })));
    expect(answers.map(({ status, body }, index) => status === 0 && body.equals(bodies[index] ?? body))).not.toContain(
      false,
    );
    expect(await egress.calls(200)).toHaveLength(200);
    expect(egress.bytesInFlight()).toBe(0);
  });
});

describe('a listener', () => {
  it('serves a Unix socket, and takes the place of one that its process left behind', async () => {
    const upstream = await upstreamServer();
    const path = join(temporaryDirectory(), 'acme.sock');
    const listener = {
      ...egressConfig(0, upstream.config),
      listen: `unix:${path}`,
      address: { kind: 'unix', path },
    } as const;
    const first = await InProcessEgress.start([listener]);
    const client = await RawGrpcClient.plain(path);
    expect((await client.call(ECHO)).status).toBe(0);
    expect(await first.calls()).toMatchObject([{ caller: `egress:unix:${path}`, peerAddress: '', peerPort: 0 }]);
    client.close();
    await first.stop();
    expect(existsSync(path)).toBe(false);
  });

  it('does not take a Unix socket from a process that answers on it', async () => {
    const path = join(temporaryDirectory(), 'taken.sock');
    const other = createNetServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    closing.push(() => void other.close());
    const listener = { ...egressConfig(0, (await upstreamServer()).config), listen: `unix:${path}` } as const;
    await expect(InProcessEgress.start([{ ...listener, address: { kind: 'unix', path } }])).rejects.toThrow(
      'EADDRINUSE',
    );
  });

  it('puts a peer that is no HTTP/2 client on record', async () => {
    const { egress, config } = await ground((await upstreamServer()).config);
    const socket = connect(config.address.kind === 'tcp' ? config.address.port : 0, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.end('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve));
    const refusals = (await egress.records()).filter((record) => record.type === 'refusal');
    expect(refusals).toMatchObject([
      { tenantClaim: 'acme', detail: expect.stringContaining(`egress:${config.listen}`) },
    ]);
  });

  it('follows its configuration: the next call is the new tenant’s, and runs over the new upstream', async () => {
    const [before, after] = [await upstreamServer(), await upstreamServer()];
    const { egress, config, client } = await ground(before.config);
    let release: (() => void) | undefined;
    before.answer = (stream) => {
      release = () => respond(stream);
    };
    const running = client.call(ECHO);
    await eventually('the call runs', () => release !== undefined);
    await egress.apply([{ ...config, tenant: tenantId('globex'), upstream: after.config }]);
    expect((await client.call(ECHO)).status).toBe(0);
    release?.();
    expect((await running).status).toBe(0);
    expect((await egress.calls(2)).map(({ tenant, upstream }) => [tenant, upstream])).toEqual([
      ['globex', after.config.display],
      ['acme', before.config.display],
    ]);
  });

  it('comes and goes with the configuration, and running calls end as they would', async () => {
    const upstream = await upstreamServer();
    const { egress, config, client } = await ground(upstream.config);
    let release: (() => void) | undefined;
    upstream.answer = (stream) => {
      release = () => respond(stream);
    };
    const running = client.call(ECHO);
    await eventually('the call runs', () => release !== undefined);
    const next = egressConfig(await freePort(), upstream.config, { slot: 1 });
    await egress.apply([next]);
    await expect(clientOf(config)).rejects.toThrow();
    upstream.answer = undefined;
    expect((await (await clientOf(next)).call(ECHO)).status).toBe(0);
    release?.();
    expect((await running).status).toBe(0);
    await eventually('the old listener has left', () => egress.egress.calls === 0);
  });

  it('that cannot be bound in a reload is on record, is tried again, and keeps no connections until it is', async () => {
    const upstream = await upstreamServer();
    const { egress, config } = await ground(upstream.config);
    const warm = await RawUpstream.start({});
    closing.push(() => warm.stop());
    const port = await freePort();
    const other = createNetServer();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    const next = egressConfig(port, warm.config({ minConnections: 1 }), { slot: 1 });
    await egress.apply([config, next]);
    expect(await egress.records()).toMatchObject([{ type: 'refusal', reason: 'EGRESS_CANNOT_LISTEN' }]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(warm.connections.filter(({ socket }) => !socket.destroyed)).toEqual([]);
    await new Promise((resolve) => other.close(resolve));
    await eventually('it is bound', () => warm.connections.some(({ socket }) => !socket.destroyed));
    await expect(clientOf(next)).resolves.toBeDefined();
  });

  it('that drains lets running calls end, and cuts those that do not', async () => {
    const upstream = await upstreamServer();
    upstream.answer = () => undefined;
    const { egress, client } = await ground(upstream.config);
    const hanging = client.call(ECHO);
    await eventually('the call runs', () => upstream.calls.length === 1);
    expect(await egress.egress.drain(50)).toBe(1);
    expect((await hanging).status).toBe(-1);
    expect(await egress.calls()).toMatchObject([{ outcome: 'cancelled' }]);
  });

  it('asks a connection to end at its age, and its client connects anew', async () => {
    const upstream = await upstreamServer();
    const { client, config } = await ground(upstream.config, {}, { maxConnectionAgeMs: 100 });
    await new Promise<void>((resolve) => client.session.once('goaway', () => resolve()));
    expect((await (await clientOf(config)).call(ECHO)).status).toBe(0);
  });

  it('takes as many connections as it may, and not one more', async () => {
    const { egress, config } = await ground((await upstreamServer()).config, {}, { maxConnections: 2 });
    await clientOf(config);
    await expect(clientOf(config)).rejects.toThrow();
    expect(await egress.records()).toMatchObject([{ type: 'refusal', reason: 'CONNECTION_LIMIT' }]);
  });
});

describe('a program of the pod that stands still', () => {
  const quick: Partial<ConnectionLimits> = { streamStallMs: 60, streamStallBytes: 1_000 };
  const HEADERS = [
    ...[':method', 'POST', ':scheme', 'http', ':path', ECHO, ':authority', 'egress.test'],
    ...['content-type', 'application/grpc', 'te', 'trailers'],
  ];

  async function stalled(limits: Partial<ConnectionLimits>, upstream: FakeUpstream, ...frames: readonly Buffer[]) {
    const { egress, config } = await ground(upstream.config, {}, {}, limits);
    const program = await FrameClient.plain(config.address.kind === 'tcp' ? config.address.port : 0);
    closing.push(() => program.close());
    program.write(...frames);
    return { egress, program };
  }

  it.each([
    ['amid a message', inferRequest().subarray(0, 6)],
    ['amid the length of a message', Buffer.alloc(3)],
  ])('%s has its call reset', async (_where, half) => {
    const upstream = await upstreamServer();
    const frames = [headerFrame(1, HEADERS, false), dataFrame(1, half)];
    const { egress, program } = await stalled(quick, upstream, ...frames);
    expect((await program.settled(1)).resetCode).toBe(11);
    expect(await egress.calls()).toMatchObject([
      {
        outcome: 'failed',
        grpcStatus: 8,
        detail: 'streamStallMs exceeded: the peer does not go on with its message',
      },
    ]);
    await eventually('the upstream stream is reset', () => upstream.calls[0]?.reset === true);
    expect(egress.bytesInFlight()).toBe(0);
  });

  it('by not reading has its call reset', async () => {
    const upstream = await upstreamServer();
    const noWindow = frameBytes(FrameType.SETTINGS, 0, 0, Buffer.of(0, 4, 0, 0, 0, 0));
    const frames = [noWindow, headerFrame(1, HEADERS, true)];
    const { egress, program } = await stalled(quick, upstream, ...frames);
    expect((await program.settled(1)).resetCode).toBe(11);
    expect(await egress.calls()).toMatchObject([{ detail: 'streamStallMs exceeded: the peer does not read' }]);
  });

  it('between messages, or with the limit far away, keeps its call', async () => {
    const upstream = await upstreamServer();
    const whole = [headerFrame(1, HEADERS, false), dataFrame(1, inferRequest())];
    const half = [headerFrame(1, HEADERS, false), dataFrame(1, inferRequest().subarray(0, 6))];
    const between = await stalled(quick, upstream, ...whole);
    const far = await stalled({}, upstream, ...half);
    await eventually('both calls run', () => upstream.calls.length === 2);
    // Three looks and more.
    await new Promise((resolve) => setTimeout(resolve, 250));
    for (const { program } of [between, far]) expect(program.stream(1).resetCode).toBe(undefined);
  });

  it('before it has said anything is gone in time', async () => {
    const { egress, config } = await ground((await upstreamServer()).config, {}, {}, { settingsAckTimeoutMs: 50 });
    const socket = connect(config.address.kind === 'tcp' ? config.address.port : 0, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(await egress.records()).toMatchObject([{ type: 'refusal', reason: 'HTTP2_LIMIT_settingsAckTimeoutMs' }]);
  });

  it('is probed, and gone when it does not answer', async () => {
    const limits = { serverKeepaliveMs: 40, keepaliveTimeoutMs: 40 };
    const upstream = await upstreamServer();
    upstream.answer = () => undefined;
    const { egress, program } = await stalled(limits, upstream, headerFrame(1, HEADERS, true));
    program.stopReading();
    await eventually('its end', () => egress.egress.connections === 1);
    expect(await egress.calls()).toMatchObject([{ outcome: 'cancelled', detail: 'connection: protocol' }]);
  });
});

describe('through our own ingress', () => {
  async function pair(changes: { readonly caPem?: string; readonly withoutCertificate?: true } = {}) {
    const hostile = await HostileGround.start({
      acme: {
        accept: ['certificate', 'api-key'],
        quota: { perTenant: { callsPerSecond: 0.01, burst: 2 }, perCaller: undefined, maxConcurrentCalls: undefined },
      },
    });
    closing.push(() => hostile.stop());
    const { pki } = hostile.acme;
    const upstream: UpstreamConfig = {
      target: { kind: 'tcp', host: '127.0.0.1', port: hostile.sidecar.port },
      tls: {
        caPem: changes.caPem ?? pki.ca.certPem,
        serverName: pki.serverName,
        clientCertificate:
          changes.withoutCertificate === true ? undefined : { chainPem: pki.client.certPem, keyPem: pki.client.keyPem },
      },
      display: `https://127.0.0.1:${hostile.sidecar.port}`,
      connectTimeoutMs: 1_000,
      maxConnections: 4,
      maxPendingCalls: 100,
      authority: pki.serverName,
    };
    return { hostile, ...(await ground(upstream)) };
  }

  it('a client without TLS is the certificate’s identity, in one trace from end to end', async () => {
    const { hostile, client, egress } = await pair();
    expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    const [out] = await egress.calls();
    const [into] = await hostile.records(1);
    expect(into).toMatchObject({
      caller: `cert:${hostile.acme.pki.spiffeId}`,
      outcome: 'ok',
      traceId: expect.any(String),
    });
    // The ingress's tenant links a client's trace unless it trusts it: the link is our client span.
    expect(into?.clientTrace).toMatchObject({ traceId: out?.traceId, spanId: out?.upstreamSpanId });
    expect(hostile.upstream.calls[0]?.headers['x-bulkhead-principal']).toBe(`cert:${hostile.acme.pki.spiffeId}`);
  });

  it('an API key is judged by the ingress', async () => {
    const { hostile, client } = await pair();
    const good = await client.call(INFER, { headers: { 'x-api-key': hostile.acme.apiKey }, chunks: [inferRequest()] });
    expect(good.status).toBe(0);
    const bad = await client.call(INFER, {
      headers: { 'x-api-key': `${hostile.acme.apiKey}x` },
      chunks: [inferRequest()],
    });
    expect([bad.status, bad.reason]).toEqual([16, 'API_KEY_INVALID']);
  });

  it('its denials arrive as they are: status, details, and when to come back', async () => {
    const { client, egress } = await pair();
    const denied = await client.call(INFER, { chunks: [inferRequest('forbidden')] });
    expect([denied.status, denied.reason]).toEqual([7, 'MODEL_ACCESS_DENIED']);
    await client.call(INFER, { chunks: [inferRequest()] });
    const limited = await client.call(INFER, { chunks: [inferRequest()] });
    expect([limited.status, limited.reason]).toEqual([8, 'RATE_LIMITED']);
    expect(Number(limited.headers['grpc-retry-pushback-ms'])).toBeGreaterThan(1_000);
    expect(limited.headers['ratelimit']).toMatch(/^"tenant";r=0;t=\d+$/);
    expect((await egress.calls(3)).map(({ outcome, grpcStatus, reason }) => [outcome, grpcStatus, reason])).toEqual([
      ['ok', 7, ''],
      ['ok', 0, ''],
      ['ok', 8, ''],
    ]);
  });

  it('an ingress of another CA is UNAVAILABLE, and the record says why', async () => {
    const { client, egress, hostile } = await pair({ caPem: createCa({ commonName: 'other', days: 1 }).certPem });
    expect(await client.call(INFER, { chunks: [inferRequest()] })).toMatchObject({
      status: 14,
      reason: 'UPSTREAM_UNAVAILABLE',
    });
    expect(await egress.calls()).toMatchObject([
      {
        outcome: 'failed',
        reason: 'upstream_unavailable',
        detail: expect.stringMatching(/verify the first certificate/),
      },
    ]);
    expect(hostile.upstream.calls).toHaveLength(0);
  });

  it('without a certificate it gets nowhere: the certificate is what opens the ingress', async () => {
    const { client, egress, hostile } = await pair({ withoutCertificate: true });
    expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(14);
    expect(await egress.calls()).toMatchObject([{ outcome: 'failed', detail: expect.stringContaining('ertificate') }]);
    expect(hostile.upstream.calls).toHaveLength(0);
  });
});
