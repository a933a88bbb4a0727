/**
 * A tensor of 600 MB in either direction, with a slow reader too: every byte arrives, and the sidecar's resident memory rises by
 * less than 32 MB.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Child } from './harness/child.ts';
import { peerSource } from './harness/peer-file.ts';
import { Sidecar } from './harness/sidecar.ts';
import { inferMessageHead, RAW_INPUT_CONTENTS } from './harness/tensor-message.ts';
import { discardTensor, writeTensor } from './harness/tensor-stream.ts';

const MIB = 1024 ** 2;
const TENSOR_BYTES = 600 * MIB;
const MAX_RISE_BYTES = 32 * MIB;
const CHUNK_BYTES = 256 * 1024;
/** Slow enough that anything that is read ahead piles up, fast enough for a test. */
const SLOW_BYTES_PER_SECOND = 100 * MIB;

let sink: Child;
let sidecar: Sidecar;

beforeAll(async () => {
  sink = await Child.spawn('the sink', { command: process.execPath, args: [peerSource('tensor-sink.ts')] });
  const listening = /^port (\d+)$/m;
  await sink.until('listening', () => listening.test(sink.output));
  sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: `http://127.0.0.1:${listening.exec(sink.output)?.[1]}` }],
    // One thread, so that the memory before and after is of the thread that carries the tensor.
    extra: { workers: 1 },
  });
});

afterAll(async () => {
  await sidecar?.stop();
  await sink?.stop();
});

interface Transfer {
  readonly status: string;
  readonly sinkReceived: number;
  readonly received: number;
}

function open(headers: OutgoingHttpHeaders): {
  readonly session: ClientHttp2Session;
  readonly stream: ClientHttp2Stream;
} {
  const { pki } = sidecar.tenant('acme');
  const session = connect(`https://127.0.0.1:${sidecar.port}`, {
    servername: pki.serverName,
    ca: pki.ca.certPem,
    cert: pki.client.certPem,
    key: pki.client.keyPem,
    settings: { initialWindowSize: MIB },
  });
  const stream = session.request({
    ':method': 'POST',
    ':path': '/inference.GRPCInferenceService/ModelInfer',
    ':authority': pki.serverName,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  return { session, stream };
}

/** Sends a tensor and reads the answer, no faster than the rate. */
async function transfer(
  sendBytes: number,
  headers: OutgoingHttpHeaders,
  readBytesPerSecond: number,
): Promise<Transfer> {
  const { session, stream } = open(headers);
  let trailers: Record<string, unknown> = {};
  stream.on('trailers', (block) => {
    trailers = block;
  });
  stream.on('response', (block) => {
    if (block['grpc-status'] !== undefined) trailers = block;
  });
  stream.write(inferMessageHead('sink', sendBytes, RAW_INPUT_CONTENTS));
  const sending = writeTensor(stream, sendBytes, Buffer.alloc(CHUNK_BYTES, 3));
  const received = await discardTensor(stream, readBytesPerSecond);
  await sending;
  session.close();
  return { status: String(trailers['grpc-status']), sinkReceived: Number(trailers['x-sink-received']), received };
}

/** Runs it and says how far the sidecar's resident memory rose above where it stood before. */
async function rise<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly risenBytes: number }> {
  const before = sidecar.child.residentBytes();
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, sidecar.child.residentBytes());
  }, 20);
  const result = await work().finally(() => clearInterval(timer));
  peak = Math.max(peak, sidecar.child.residentBytes());
  return { result, risenBytes: peak - before };
}

describe('a tensor of 600 MB', () => {
  const cases = [
    ['is uploaded', TENSOR_BYTES, {}, Number.POSITIVE_INFINITY],
    [
      'is uploaded to a slow reader',
      TENSOR_BYTES,
      { 'x-sink-bytes-per-second': `${SLOW_BYTES_PER_SECOND}` },
      Number.POSITIVE_INFINITY,
    ],
    ['is downloaded', 1024, { 'x-sink-answer-bytes': `${TENSOR_BYTES}` }, Number.POSITIVE_INFINITY],
    ['is downloaded by a slow reader', 1024, { 'x-sink-answer-bytes': `${TENSOR_BYTES}` }, SLOW_BYTES_PER_SECOND],
  ] as const;

  it.each(cases)(
    '%s whole, with the sidecar’s memory rising by less than 32 MB',
    async (name, sendBytes, headers, rate) => {
      // One small call first: code that is compiled and pools that are filled once are not the tensor's.
      expect(await transfer(4 * MIB, { 'x-sink-answer-bytes': `${4 * MIB}` }, Number.POSITIVE_INFINITY)).toMatchObject({
        status: '0',
      });
      const startedAt = performance.now();
      const { result, risenBytes } = await rise(() => transfer(sendBytes, headers, rate));
      const seconds = (performance.now() - startedAt) / 1_000;
      process.stdout.write(
        `600 MB ${name}: resident memory +${(risenBytes / MIB).toFixed(1)} MiB, ${seconds.toFixed(1)} s\n`,
      );
      expect(result.status).toBe('0');
      const sent = inferMessageHead('sink', sendBytes, RAW_INPUT_CONTENTS).length + sendBytes;
      expect(result.sinkReceived).toBe(sent);
      expect(result.received).toBeGreaterThanOrEqual(Number('x-sink-answer-bytes' in headers ? TENSOR_BYTES : 0));
      expect(risenBytes).toBeLessThan(MAX_RISE_BYTES);
    },
  );
});
