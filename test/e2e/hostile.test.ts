/**
 * Hostile input over a good certificate: each ends in a clear status or a connection error, leaves its audit record, and the next
 * call is fine. Memory stays flat over all of them together.
 */
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serializeInferRequest } from '../../src/demo/inference-client.ts';
import { auditRecord, auditRecords } from './harness/audit-records.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { FLAG, FRAME, frame, literalHeaders, RawConnection } from './harness/raw-connection.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const MIB = 1024 ** 2;
/** GOAWAY or close within this, as a peer that breaks the protocol deserves. */
const CLOSED_WITHIN_MS = 2_000;

let upstream: ModelUpstream;
let sidecar: Sidecar;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({
    tenants: ['acme', 'umbrella'].map((id) => ({ id, upstream: upstream.address })),
    extra: { workers: 1, limits: { maxInflated: '4MiB', coolOff: '0s' } },
  });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

const PATH = '/inference.GRPCInferenceService/ModelInfer';

const requestHeaders = (...more: readonly (readonly [string, string])[]): Buffer =>
  literalHeaders([
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', PATH],
    [':authority', 'acme.models.test'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ]);

/** A gRPC message as DATA carries it. */
function message(body: Buffer, compressed = false): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(compressed ? 1 : 0, 0);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

/** Header blocks and DATA above one frame's 16 KiB, cut into as many as it takes. */
function headersInFrames(stream: number, block: Buffer, endStream: boolean): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.length; at += 16_384) {
    const end = at + 16_384 >= block.length ? FLAG.endHeaders : 0;
    const first = at === 0 ? (endStream ? FLAG.endStream : 0) : 0;
    frames.push(
      frame(at === 0 ? FRAME.headers : FRAME.continuation, end | first, stream, block.subarray(at, at + 16_384)),
    );
  }
  return Buffer.concat(frames);
}

async function closes(connection: RawConnection): Promise<void> {
  await until('the connection’s end', () => (connection.closed ? true : undefined), CLOSED_WITHIN_MS);
}

/** The call after the attack, of the attacking tenant and of another. */
async function stillServes(): Promise<void> {
  for (const tenant of ['acme', 'umbrella']) {
    const client = tenantClient(sidecar, tenant);
    expect(await client.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
    client.close();
  }
}

/** Sends a raw message as acme's ModelInfer and gives the status line that a caller reads. */
async function inferRaw(body: Buffer): Promise<{ readonly code: string; readonly reason: string }> {
  const client = tenantClient(sidecar, 'acme');
  const outcome = await client.inferBytes(body);
  client.close();
  return outcome;
}

describe('hostile input after a good handshake', () => {
  it('random bytes instead of HTTP/2 end the connection', async () => {
    const connection = await RawConnection.open(sidecar, 'acme');
    connection.write(randomBytes(4_096));
    await closes(connection);
    await auditRecord(
      sidecar,
      'the refused connection',
      (record) =>
        record.type === 'refusal' && record.reason === 'HTTP2_PROTOCOL_ERROR' && record.tenantClaim === 'acme',
    );
    await stillServes();
  });

  it('a frame that is cut short and then closed is forgotten with its connection', async () => {
    const before = (await auditRecords(sidecar)).length;
    const connection = await RawConnection.openHttp2(sidecar, 'acme');
    connection.write(headersInFrames(1, requestHeaders(), false));
    connection.write(
      frame(FRAME.data, 0, 1, message(serializeInferRequest({ modelName: 'digits', inputs: [] }))).subarray(0, 12),
    );
    await until('an answer to SETTINGS', () => (connection.frames.length > 0 ? true : undefined), CLOSED_WITHIN_MS);
    connection.end();
    await closes(connection);
    const record = await until(
      'the record of the call that was cut off',
      async () => (await auditRecords(sidecar)).slice(before).find(({ type }) => type === 'call'),
      10_000,
    );
    expect(record).toMatchObject({ type: 'call', tenant: 'acme', outcome: 'cancelled', grpcStatus: 1 });
    await stillServes();
  });

  it('100 KB of headers never reach the upstream', async () => {
    const seen = upstream.seen.length;
    const connection = await RawConnection.openHttp2(sidecar, 'acme');
    connection.write(headersInFrames(1, requestHeaders(['x-long', 'a'.repeat(100 * 1024)]), true));
    const verdict = await until(
      'RST_STREAM, GOAWAY or an answer',
      () =>
        connection.frames.find(
          ({ type, stream }) => type === FRAME.goaway || (stream === 1 && type !== FRAME.windowUpdate),
        ),
      CLOSED_WITHIN_MS,
    );
    expect([FRAME.goaway, FRAME.rstStream, FRAME.headers]).toContain(verdict.type);
    connection.destroy();
    expect(upstream.seen).toHaveLength(seen);
    await auditRecord(
      sidecar,
      'the headers',
      (record) => record.type === 'refusal' && /HEADER/i.test(record.reason + record.detail),
    );
    await stillServes();
  });

  it('a broken protobuf is INVALID_ARGUMENT', async () => {
    // A length that runs past the message's end, an unknown wire type, and a field that ends within its tag.
    for (const body of [[0x0a, 0x7f, 0x41], [0x0f, 0x01], [0x80]]) {
      const seen = upstream.seen.length;
      expect(await inferRaw(Buffer.from(body))).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'PAYLOAD_REJECTED' });
      expect(upstream.seen).toHaveLength(seen);
    }
    const records = (await auditRecords(sidecar)).filter(
      (record) => record.type === 'call' && record.reason === 'payload_rejected',
    );
    expect(records).toHaveLength(3);
    await stillServes();
  });

  it('a gzip bomb stops at the inflation limit', async () => {
    const seen = upstream.seen.length;
    // The model's name first, then 512 MiB of zeros as an unknown field: 500 KiB on the wire.
    const bomb = gzipSync(
      Buffer.concat([serializeInferRequest({ modelName: 'digits', inputs: [] }), zeros(512 * MIB)]),
    );
    const before = sidecar.child.residentBytes();
    const connection = await RawConnection.openHttp2(sidecar, 'acme');
    connection.write(headersInFrames(1, requestHeaders(['grpc-encoding', 'gzip']), false));
    const body = message(bomb, true);
    // The default window of 64 KiB takes the first of it, which already inflates too far.
    for (let at = 0; at < 48 * 1024; at += 16_384)
      connection.write(frame(FRAME.data, 0, 1, body.subarray(at, at + 16_384)));
    const record = await auditRecord(
      sidecar,
      'the bomb',
      (candidate) => candidate.type === 'call' && candidate.reason === 'message_too_large',
    );
    expect(record).toMatchObject({ tenant: 'acme', outcome: 'denied', grpcStatus: 8 });
    expect(sidecar.child.residentBytes() - before).toBeLessThan(32 * MIB);
    expect(upstream.seen).toHaveLength(seen);
    connection.destroy();
    await stillServes();
  });

  it('leaves memory flat when it goes on and on', async () => {
    const attack = async (): Promise<void> => {
      const noise = await RawConnection.open(sidecar, 'acme');
      noise.write(randomBytes(16_384));
      await closes(noise);
      const headers = await RawConnection.openHttp2(sidecar, 'acme');
      headers.write(headersInFrames(1, requestHeaders(['x-long', 'a'.repeat(100 * 1024)]), true));
      await until('frames', () => (headers.frames.length > 1 ? true : undefined), CLOSED_WITHIN_MS);
      headers.destroy();
      await inferRaw(Buffer.from([0x0a, 0x7f, 0x41]));
    };
    for (let i = 0; i < 20; i++) await attack();
    const before = sidecar.child.residentBytes();
    for (let i = 0; i < 100; i++) await attack();
    expect(sidecar.child.residentBytes() - before).toBeLessThan(32 * MIB);
    await stillServes();
  });
});

/** An unknown length-delimited field (15) of so many zeros. */
function zeros(length: number): Buffer {
  const bytes: number[] = [(15 << 3) | 2];
  let left = length;
  for (; left >= 128; left >>>= 7) bytes.push((left & 127) | 128);
  return Buffer.concat([Buffer.from([...bytes, left]), Buffer.alloc(length)]);
}
