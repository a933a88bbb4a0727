import { gzipSync } from 'node:zlib';
import protoLoader from '@grpc/proto-loader';
import { beforeAll, describe, expect, it } from 'vitest';
import { MessageInspector, type ScanOutcome } from '../../../src/inspection/message-inspector.ts';
import { MethodTable } from '../../../src/inspection/method-table.ts';
import { PROTOCOL_NAMES, servicesOf } from '../../../src/inspection/protocols.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { MAX_TARGETS } from '../../../src/protobuf/findings.ts';

const LIMITS = { maxMessageBytes: 1 << 20, maxInflatedBytes: 1 << 20 };
const SERVICE = '/inference.GRPCInferenceService';
const AFTER = 'bytes after the end of the gzip data';

let inferRequest: (message: object) => Buffer;

beforeAll(async () => {
  const definition = await protoLoader.load('inference/grpc_inference_service.proto', {
    includeDirs: ['proto'],
    keepCase: true,
  });
  const service = definition['inference.GRPCInferenceService'];
  if (service === undefined || typeof service !== 'object') throw new Error('the proto has no service');
  const method = Reflect.get(service, 'ModelInfer');
  inferRequest = (message) => method.requestSerialize(message);
});

function frame(message: Buffer, flag = 0): Buffer {
  const framed = Buffer.alloc(5 + message.length);
  framed[0] = flag;
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, 5);
  return framed;
}

function inspector(
  method: string,
  encoding: 'identity' | 'gzip' = 'identity',
  limits: Partial<typeof LIMITS> = {},
): MessageInspector {
  const entry = new MethodTable(['test.Opaque']).find(method.startsWith('/') ? method : `${SERVICE}/${method}`);
  if (entry === undefined) throw new Error(`unknown method ${method}`);
  return new MessageInspector(entry, encoding, { ...LIMITS, ...limits });
}

interface Seen {
  readonly verdicts: { model: string; version: string; heldFrom: number; end: number }[];
  readonly denial: Denial | undefined;
  /** How many bytes had been let through when the last verdict, or the refusal, came. */
  readonly forwarded: number;
}

/** Plays the caller's part: forwards what may go, holds what must wait. */
async function relay(subject: MessageInspector, chunks: readonly Buffer[]): Promise<Seen> {
  const verdicts: Seen['verdicts'] = [];
  let position = 0;
  for (const chunk of chunks) {
    let offset = 0;
    for (;;) {
      let outcome: ScanOutcome = subject.scan(chunk, offset);
      for (let waits = 0; outcome === 'inflating'; waits++) {
        expect(waits).toBeLessThan(10_000);
        await subject.ready;
        outcome = subject.scan(chunk, offset);
      }
      if (outcome === 'reject') {
        expect(subject.scan(chunk, offset)).toBe('reject');
        return { verdicts, denial: subject.denial, forwarded: position + offset };
      }
      if (outcome === 'more') break;
      verdicts.push({
        model: subject.model,
        version: subject.version,
        heldFrom: position + offset,
        end: position + subject.end,
      });
      offset = subject.end;
      if (offset === chunk.length) break;
    }
    position += chunk.length;
  }
  return { verdicts, denial: subject.finish(), forwarded: position };
}

function pieces(bytes: Buffer, size: number): Buffer[] {
  const result: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) result.push(bytes.subarray(at, at + size));
  return result;
}

function payloadRejected(why: string, field = 'message'): Denial {
  return { kind: 'payload_rejected', field, why };
}

const request = () =>
  inferRequest({
    model_name: 'digits',
    model_version: '3',
    id: 'x'.repeat(20),
    inputs: [{ name: 'in', datatype: 'FP32', shape: [1, 4] }],
    raw_input_contents: [Buffer.alloc(64, 8)],
  });

describe('an uncompressed message', () => {
  it('gives its model and version when its last byte is there, however it is split', async () => {
    const bytes = frame(request());
    for (let size = 1; size <= bytes.length; size++) {
      const seen = await relay(inspector('ModelInfer'), pieces(bytes, size));
      expect(seen.denial).toBeUndefined();
      expect(seen.verdicts).toMatchObject([{ model: 'digits', version: '3', end: bytes.length }]);
      // The last piece, and with it the last byte, was held.
      expect(seen.verdicts[0]?.heldFrom).toBeLessThan(bytes.length);
    }
  });

  it('is judged by the last model_name in it, split at any byte', async () => {
    const bytes = frame(Buffer.concat([request(), inferRequest({ model_name: 'secret' })]));
    for (let split = 1; split < bytes.length; split++) {
      const seen = await relay(inspector('ModelInfer'), [bytes.subarray(0, split), bytes.subarray(split)]);
      expect(seen.verdicts.map((verdict) => verdict.model)).toEqual(['secret']);
    }
  });

  it('may be empty, and then names no model', async () => {
    const seen = await relay(inspector('ModelInfer'), [frame(Buffer.alloc(0))]);
    expect(seen.verdicts).toMatchObject([{ model: '', version: '', end: 5 }]);
    expect(seen.denial).toBeUndefined();
  });

  it('is accepted at the size limit and refused one byte above, before any of its bytes', async () => {
    const message = request();
    const fits = await relay(inspector('ModelInfer', 'identity', { maxMessageBytes: message.length }), [
      frame(message),
    ]);
    expect(fits.denial).toBeUndefined();
    const above = await relay(inspector('ModelInfer', 'identity', { maxMessageBytes: message.length - 1 }), [
      frame(message),
    ]);
    expect(above.denial).toEqual({
      kind: 'message_too_large',
      bytes: message.length,
      limitBytes: message.length - 1,
    });
    expect(above.forwarded).toBe(0);
  });

  it('is refused when it is broken', async () => {
    const seen = await relay(inspector('ModelInfer'), [frame(Buffer.from([0x0a, 0x05, 0x61]))]);
    expect(seen.denial).toEqual(payloadRejected('a field is longer than the message around it'));
    const cut = await relay(inspector('ModelInfer'), [frame(Buffer.from([0x0a]))]);
    expect(cut.denial).toEqual(payloadRejected('ends inside a field'));
    const utf8 = await relay(inspector('ModelInfer'), [frame(Buffer.from([0x0a, 0x01, 0xff]))]);
    expect(utf8.denial).toMatchObject({ kind: 'payload_rejected', field: 'model_name' });
  });

  it('is refused when its model hides behind a NUL, which ends a C string', async () => {
    const seen = await relay(inspector('ModelInfer'), [frame(inferRequest({ model_name: 'secret\0-shared' }))]);
    expect(seen.denial).toMatchObject({ kind: 'payload_rejected', field: 'model_name' });
  });
});

describe('the stream around messages', () => {
  it('has a verdict for each message of a streaming call', async () => {
    const names = ['a', 'b', 'c'];
    const bytes = Buffer.concat(names.map((model_name) => frame(inferRequest({ model_name }))));
    for (const size of [1, 3, 7, bytes.length]) {
      const seen = await relay(inspector('ModelStreamInfer'), pieces(bytes, size));
      expect(seen.verdicts.map((verdict) => verdict.model)).toEqual(names);
      expect(seen.denial).toBeUndefined();
    }
  });

  it('forgets one message before the next: a version does not carry over', async () => {
    const bytes = Buffer.concat([
      frame(inferRequest({ model_name: 'a', model_version: '7' })),
      frame(inferRequest({ model_name: 'b' })),
    ]);
    const seen = await relay(inspector('ModelStreamInfer'), [bytes]);
    expect(seen.verdicts).toMatchObject([
      { model: 'a', version: '7' },
      { model: 'b', version: '' },
    ]);
  });

  it('holds one message only for a unary method', async () => {
    const bytes = Buffer.concat([frame(request()), frame(request())]);
    const seen = await relay(inspector('ModelInfer'), [bytes]);
    expect(seen.denial).toEqual(payloadRejected('more than one message'));
    expect(seen.verdicts).toHaveLength(1);
  });

  it('may not end inside a message, or without the one of a unary method', async () => {
    const bytes = frame(request());
    for (const cut of [1, 4, 5, bytes.length - 1]) {
      const seen = await relay(inspector('ModelInfer'), [bytes.subarray(0, cut)]);
      expect(seen.denial).toEqual(payloadRejected('the stream ends inside a message'));
    }
    expect(inspector('ModelInfer').finish()).toEqual(payloadRejected('the stream ends without a message'));
    expect(inspector('ModelStreamInfer').finish()).toBeUndefined();
    expect(inspector('/test.Opaque/Any').finish()).toBeUndefined();
  });

  it('may not carry a flag that gRPC does not know', async () => {
    const seen = await relay(inspector('ModelInfer'), [frame(request(), 2)]);
    expect(seen.denial).toEqual(payloadRejected('the compressed flag is neither 0 nor 1'));
  });
});

describe('a method that reads no model', () => {
  it('has its framing followed, and nothing else looked at', async () => {
    const garbage = frame(Buffer.alloc(100, 0xff));
    for (const method of ['ServerLive', '/test.Opaque/Any']) {
      const seen = await relay(inspector(method), pieces(garbage, 9));
      expect(seen.denial).toBeUndefined();
      expect(seen.verdicts).toMatchObject([{ model: '', end: 105 }]);
    }
  });

  it('has its compressed messages passed on as they are', async () => {
    const seen = await relay(inspector('ServerLive', 'gzip'), [frame(Buffer.from('not gzip'), 1)]);
    expect(seen.denial).toBeUndefined();
  });
});

describe('a compressed message', () => {
  it('gives its model however it is split, and holds its last piece', async () => {
    const bytes = frame(gzipSync(request()), 1);
    for (let size = 1; size <= bytes.length; size += size < 30 ? 1 : 7) {
      const seen = await relay(inspector('ModelInfer', 'gzip'), pieces(bytes, size));
      expect(seen.denial).toBeUndefined();
      expect(seen.verdicts).toMatchObject([{ model: 'digits', version: '3', end: bytes.length }]);
      expect(seen.verdicts[0]?.heldFrom).toBeLessThan(bytes.length);
    }
  });

  it('may be followed by another, plain or compressed, in the same chunk', async () => {
    const bytes = Buffer.concat([
      frame(gzipSync(inferRequest({ model_name: 'a' })), 1),
      frame(inferRequest({ model_name: 'b' })),
      frame(gzipSync(inferRequest({ model_name: 'c' })), 1),
    ]);
    for (const size of [1, 11, bytes.length]) {
      const seen = await relay(inspector('ModelStreamInfer', 'gzip'), pieces(bytes, size));
      expect(seen.verdicts.map((verdict) => verdict.model)).toEqual(['a', 'b', 'c']);
    }
  });

  it('needs grpc-encoding', async () => {
    const seen = await relay(inspector('ModelInfer'), [frame(gzipSync(request()), 1)]);
    expect(seen.denial).toMatchObject({ kind: 'encoding_unsupported' });
  });

  it('may inflate to the limit and not one byte further', async () => {
    const message = request();
    const bytes = frame(gzipSync(message), 1);
    const fits = await relay(inspector('ModelInfer', 'gzip', { maxInflatedBytes: message.length }), [bytes]);
    expect(fits.denial).toBeUndefined();
    const above = await relay(inspector('ModelInfer', 'gzip', { maxInflatedBytes: message.length - 1 }), [bytes]);
    expect(above.denial).toMatchObject({ kind: 'message_too_large', limitBytes: message.length - 1 });
    expect(above.verdicts).toEqual([]);
  });

  it('that is a bomb is stopped at the limit', async () => {
    const bomb = gzipSync(inferRequest({ model_name: 'a', raw_input_contents: [Buffer.alloc(64 << 20)] }));
    const seen = await relay(inspector('ModelInfer', 'gzip'), pieces(frame(bomb, 1), 16_384));
    expect(seen.denial).toMatchObject({ kind: 'message_too_large', limitBytes: LIMITS.maxInflatedBytes });
    if (seen.denial?.kind !== 'message_too_large') throw new Error('unreachable');
    // At most one piece of output above the limit was ever made.
    expect(seen.denial.bytes).toBeLessThanOrEqual(LIMITS.maxInflatedBytes + 65_536);
  });

  const broken: [string, (gzip: Buffer) => Buffer, string][] = [
    ['is not gzip', () => Buffer.alloc(40, 1), 'not a plain gzip header'],
    ['is shorter than gzip can be', (gzip) => gzip.subarray(0, 12), 'too short for gzip'],
    ['is cut', (gzip) => gzip.subarray(0, gzip.length - 9), 'the gzip data is broken'],
    ['has a second member', (gzip) => Buffer.concat([gzip, gzipSync(Buffer.from('x'))]), AFTER],
    ['has zeros behind it', (gzip) => Buffer.concat([gzip, Buffer.alloc(10)]), AFTER],
    ['has a wrong checksum', (gzip) => flip(gzip, gzip.length - 8), 'wrong gzip checksum'],
    ['has a wrong size', (gzip) => flip(gzip, gzip.length - 4), 'wrong gzip size'],
    ['has a name in its header', (gzip) => withName(gzip), 'not a plain gzip header'],
  ];
  it.each(broken)('that %s is refused, however it is split', async (_what, breakIt, why) => {
    const bytes = frame(breakIt(gzipSync(request())), 1);
    for (const size of [1, 10, 23, bytes.length - 1, bytes.length]) {
      const seen = await relay(inspector('ModelInfer', 'gzip'), pieces(bytes, size));
      expect(seen.denial?.kind).toBe('payload_rejected');
      if (size === bytes.length && why !== 'the gzip data is broken') expect(seen.denial).toMatchObject({ why });
      expect(seen.verdicts).toEqual([]);
    }
  });

  it('with a second member would show another model to a server that goes on reading', async () => {
    const first = gzipSync(inferRequest({ model_name: 'mine' }));
    const second = gzipSync(inferRequest({ model_name: 'secret' }));
    const seen = await relay(inspector('ModelInfer', 'gzip'), [frame(Buffer.concat([first, second]), 1)]);
    expect(seen.denial).toMatchObject({ kind: 'payload_rejected' });
    const { gunzipSync } = await import('node:zlib');
    expect(gunzipSync(Buffer.concat([first, second])).includes('secret')).toBe(true);
  });

  it('ends where it ends also when the caller kept only the rest of the chunk', async () => {
    const plain = frame(inferRequest({ model_name: 'a' }));
    const zipped = frame(gzipSync(inferRequest({ model_name: 'b' })), 1);
    const chunk = Buffer.concat([plain, zipped, plain]);
    const subject = inspector('ModelStreamInfer', 'gzip');
    expect(subject.scan(chunk, 0)).toBe('message');
    expect(subject.scan(chunk, subject.end)).toBe('inflating');
    await subject.ready;
    const rest = chunk.subarray(plain.length);
    expect(subject.scan(rest, 0)).toBe('message');
    expect(subject).toMatchObject({ model: 'b', end: zipped.length });
    expect(subject.scan(rest, subject.end)).toBe('message');
    expect(subject).toMatchObject({ model: 'a', end: rest.length });
  });

  it('waits with its next piece while one is being inflated', () => {
    const subject = inspector('ModelInfer', 'gzip');
    const bytes = frame(gzipSync(request()), 1);
    expect(subject.scan(bytes.subarray(0, 30), 0)).toBe('more');
    expect(subject.scan(bytes.subarray(30, 40), 0)).toBe('inflating');
    expect(subject.ready).toBeInstanceOf(Promise);
    subject.close();
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

function withName(gzip: Buffer): Buffer {
  const header = Buffer.from(gzip.subarray(0, 10));
  header[3] = 8;
  return Buffer.concat([header, Buffer.from('name\0'), gzip.subarray(10)]);
}

describe('a message of several models', () => {
  const table = new MethodTable([], { services: servicesOf(PROTOCOL_NAMES), model: 'llama' });
  const inspect = (path: string, message: Buffer) => {
    const entry = table.find(path);
    if (entry === undefined) throw new Error(`unknown method ${path}`);
    const subject = new MessageInspector(entry, 'identity', LIMITS);
    return { subject, outcome: subject.scan(frame(message), 0) };
  };
  const nested = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([0x0a, bytes.length]), bytes]);
  /** A MultiInferenceRequest with a task for each. */
  const tasks = (...models: readonly string[]): Buffer =>
    Buffer.concat(models.map((model) => nested(nested(nested(Buffer.from(model))))));
  const MULTI = '/tensorflow.serving.PredictionService/MultiInference';

  it('has the first and those that differ from it', () => {
    const { subject, outcome } = inspect(MULTI, tasks('a', 'b', 'a', ''));
    expect(outcome).toBe('message');
    expect([subject.model, subject.version]).toEqual(['a', '']);
    expect(subject.further).toEqual([
      { model: 'b', version: '' },
      { model: '', version: '' },
    ]);
  });

  it('has none of them left for the next message', () => {
    const predict = table.find('/tensorflow.serving.PredictionService/Predict');
    expect(predict?.plan?.repeated).toBe(false);
    const { subject } = inspect('/tensorflow.serving.PredictionService/Predict', nested(nested(Buffer.from('a'))));
    expect([subject.model, subject.further]).toEqual(['a', []]);
    expect(inspect(MULTI, tasks()).subject).toMatchObject({ model: '', further: [] });
  });

  it('names as many models as the limit and not one more', () => {
    const names = (count: number) => Array.from({ length: count }, (_, index) => `m${String(index)}`);
    const whole = inspect(MULTI, tasks(...names(MAX_TARGETS), 'm0'));
    expect([whole.outcome, whole.subject.further.length]).toEqual(['message', MAX_TARGETS - 1]);
    const over = inspect(MULTI, tasks(...names(MAX_TARGETS + 1)));
    expect(over.outcome).toBe('reject');
    expect(over.subject.denial).toEqual({
      kind: 'payload_rejected',
      field: 'message',
      why: 'names too many models',
    });
  });

  it('that names none has the server’s only one', () => {
    const { subject } = inspect('/vllm.grpc.engine.VllmEngine/Generate', Buffer.from('whatever it is'));
    expect([subject.model, subject.version, subject.further]).toEqual(['llama', '', []]);
  });
});
