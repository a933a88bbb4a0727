import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { OtlpForwarder } from '../../../../src/demo/telemetry/otlp-forwarder.ts';
import { OtlpSink } from '../../../../src/demo/telemetry/otlp-sink.ts';
import { traceOfClient } from '../../../../src/demo/telemetry/span.ts';

const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

// Protobuf by hand, so that the sink is judged by the public field numbers and not by its own .proto.
const bytes = (field: number, value: Uint8Array | string): Buffer => {
  const content = Buffer.from(value);
  const length = content.length < 0x80 ? [content.length] : [(content.length & 0x7f) | 0x80, content.length >> 7];
  return Buffer.concat([Buffer.from([field * 8 + 2, ...length]), content]);
};
const fixed64 = (field: number, value: bigint): Buffer => {
  const buffer = Buffer.alloc(9);
  buffer.writeUInt8(field * 8 + 1);
  buffer.writeBigUInt64LE(value, 1);
  return buffer;
};
const varint = (field: number, value: number): Buffer => Buffer.from([field * 8, value]);
const TRACE = Buffer.alloc(16, 0xaa);
const CLIENT_TRACE = Buffer.alloc(16, 0xcc);
const span = Buffer.concat([
  bytes(1, TRACE),
  bytes(2, Buffer.alloc(8, 1)),
  bytes(5, 'ModelInfer'),
  varint(6, 2),
  fixed64(7, 1_000_000n),
  fixed64(8, 3_500_000n),
  bytes(9, Buffer.concat([bytes(1, 'bulkhead.tenant.id'), bytes(2, bytes(1, 'acme'))])),
  bytes(11, Buffer.concat([fixed64(1, 2_000_000n), bytes(2, 'reserve')])),
  bytes(13, Buffer.concat([bytes(1, CLIENT_TRACE), bytes(2, Buffer.alloc(8, 2))])),
]);
const traces = bytes(1, bytes(2, bytes(2, span)));
const logs = bytes(1, bytes(2, Buffer.concat([bytes(2, bytes(9, TRACE)), bytes(2, bytes(9, TRACE))])));

async function sinkThat(forwarder?: OtlpForwarder): Promise<OtlpSink> {
  const sink = await OtlpSink.listen(forwarder);
  closers.push(() => sink.close());
  return sink;
}

async function post(sink: OtlpSink, path: string, body: Buffer, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(`${sink.endpoint}${path}`, { method: 'POST', body: new Uint8Array(body), headers });
  await response.arrayBuffer();
  return response.status;
}

describe('OtlpSink', () => {
  it('keeps the spans that it is sent, gzipped or not', async () => {
    const sink = await sinkThat();
    expect(await post(sink, '/v1/traces', traces)).toBe(200);
    expect(await post(sink, '/v1/traces', gzipSync(traces), { 'content-encoding': 'gzip' })).toBe(200);
    expect(sink.spans).toHaveLength(2);
    expect(sink.spans[1]).toMatchObject({
      traceId: 'aa'.repeat(16),
      name: 'ModelInfer',
      kind: 'server',
      startMicros: 1_000,
      endMicros: 3_500,
      attributes: { 'bulkhead.tenant.id': 'acme' },
      events: [{ name: 'reserve', atMicros: 2_000 }],
      links: ['cc'.repeat(16)],
    });
  });

  it('finds a trace by the client’s context that it links to', async () => {
    const sink = await sinkThat();
    await post(sink, '/v1/traces', traces);
    expect(traceOfClient(sink.spans, 'cc'.repeat(16))).toHaveLength(1);
    expect(traceOfClient(sink.spans, 'dd'.repeat(16))).toEqual([]);
  });

  it('counts log records', async () => {
    const sink = await sinkThat();
    await post(sink, '/v1/logs', logs);
    expect(sink.logRecords).toBe(2);
  });

  it('refuses what is not OTLP', async () => {
    const sink = await sinkThat();
    expect(await post(sink, '/v1/other', traces)).toBe(404);
    expect(await post(sink, '/v1/traces', Buffer.from([0x0a, 0x7f]))).toBe(400);
    expect(await post(sink, '/v1/traces', Buffer.from('no gzip'), { 'content-encoding': 'gzip' })).toBe(400);
    expect(sink.spans).toEqual([]);
  });

  it('gives up waiting in time', async () => {
    const sink = await sinkThat();
    expect(await sink.waitFor(() => undefined, 60)).toBeUndefined();
  });
});

describe('OtlpForwarder', () => {
  it('is there only when the environment names an endpoint', () => {
    expect(OtlpForwarder.fromEnvironment({})).toBeUndefined();
    expect(OtlpForwarder.fromEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toBeUndefined();
  });

  it.each([
    ['http://c:4317', undefined, 'grpc'],
    ['http://c:4318', undefined, 'http/protobuf'],
    ['http://c:4317', 'http/protobuf', 'http/protobuf'],
    ['http://c:4318', 'grpc', 'grpc'],
  ])('speaks to %s with protocol %s: %s', (endpoint, protocol, expected) => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      ...(protocol === undefined ? {} : { OTEL_EXPORTER_OTLP_PROTOCOL: protocol }),
    };
    expect(OtlpForwarder.fromEnvironment(env)?.protocol).toBe(expected);
  });

  it('passes the same bytes on over HTTP, with the headers of the environment', async () => {
    const got: { url: string | undefined; key: unknown; body: Buffer }[] = [];
    const collector = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        got.push({ url: request.url, key: request.headers['x-key'], body: Buffer.concat(chunks) });
        response.end();
      });
    });
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
    closers.push(() => collector.close());
    const forwarder = OtlpForwarder.fromEnvironment({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}/`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%20b',
    });
    const sink = await sinkThat(forwarder);
    await post(sink, '/v1/traces', traces);
    await sink.waitFor(() => (forwarder?.tallies.traces.accepted === 1 ? true : undefined), 2_000);
    expect(got).toEqual([{ url: '/v1/traces', key: 'a b', body: traces }]);
  });

  it('passes the same bytes on over gRPC', async () => {
    const got: Buffer[] = [];
    const same = (value: Buffer): Buffer => value;
    const server = new Server();
    const method = {
      path: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    } as const;
    server.addService(
      { Export: method },
      {
        Export: (call: { request: Buffer }, done: (error: null, answer: Buffer) => void) => {
          got.push(call.request);
          done(null, Buffer.alloc(0));
        },
      },
    );
    const port = await new Promise<number>((resolve) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
    );
    closers.push(() => server.forceShutdown());
    const forwarder = OtlpForwarder.fromEnvironment({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    });
    await forwarder?.forward('logs', logs);
    expect(forwarder?.tallies.logs).toMatchObject({ accepted: 1, refused: 0 });
    expect(got).toEqual([logs]);
  });

  it('counts what was refused, and says why', async () => {
    const forwarder = OtlpForwarder.fromEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
    await forwarder?.forward('traces', traces);
    expect(forwarder?.tallies.traces).toMatchObject({ accepted: 0, refused: 1 });
    expect(forwarder?.tallies.traces.lastError).not.toBe('');
    expect(forwarder?.tallies.logs).toMatchObject({ accepted: 0, refused: 0 });
  });
});
