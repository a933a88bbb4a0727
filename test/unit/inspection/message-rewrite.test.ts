import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_GATHERED_BYTES } from '../../../src/inspection/gzip-rewrite.ts';
import { MessageInspector } from '../../../src/inspection/message-inspector.ts';
import { NAME_WINDOW_BYTES } from '../../../src/inspection/message-rewrite.ts';
import { MAX_NAME_LIST_BYTES, SharedMemoryKeys } from '../../../src/inspection/method-names.ts';
import { type MethodEntry, MethodTable } from '../../../src/inspection/method-table.ts';
import { Namespace } from '../../../src/inspection/namespace.ts';
import { servicesOf } from '../../../src/inspection/protocols.ts';
import { ResponseNames } from '../../../src/inspection/response-names.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { cuts, decoded, mapped, parameter, REQUEST, requests, textField } from '../../fakes/infer-messages.ts';
import { field, frame } from '../../fakes/raw-grpc-client.ts';

const LIMITS = { maxMessageBytes: 64 << 20, maxInflatedBytes: 64 << 20 };
const namespace = new Namespace('acme', Buffer.alloc(32, 1));
const table = new MethodTable(
  [],
  { services: servicesOf(['triton']), model: '' },
  { namespace, keys: new SharedMemoryKeys(['acme.', 'shared-']) },
);

function entryOf(method: string): MethodEntry {
  const entry = table.find(`/inference.GRPCInferenceService/${method}`);
  if (entry === undefined) throw new Error(`no method ${method}`);
  return entry;
}

/** What is standing for a call, and never below nothing. */
class Books {
  bytes = 0;
  hold(bytes: number): void {
    this.bytes += bytes;
  }
  letGo(bytes: number): void {
    this.bytes -= bytes;
    expect(this.bytes).toBeGreaterThanOrEqual(0);
  }
}

interface Sent {
  readonly bytes: Buffer;
  readonly denial?: Denial | undefined;
  /** What was put out before each message's verdict. */
  readonly early: readonly number[];
  readonly standing: number;
}

/** Sends a stream of frames through the inspector, as the request's side does. */
async function send(
  method: string,
  stream: Buffer,
  at: readonly number[] = [],
  encoding: 'identity' | 'gzip' = 'gzip',
): Promise<Sent> {
  const books = new Books();
  const inspector = new MessageInspector(entryOf(method), encoding, LIMITS, books);
  const out: Buffer[] = [];
  const early: number[] = [];
  const take = (): void => {
    out.push(...(inspector.rewrite?.takeOutput() ?? []));
  };
  const length = (): number => out.reduce((sum, piece) => sum + piece.length, 0);
  let start = 0;
  for (const end of [...at.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length]) {
    const chunk = stream.subarray(start, end);
    start = end;
    for (let offset = 0; offset < chunk.length; ) {
      const step = inspector.scan(chunk, offset);
      if (step === 'reject') {
        inspector.close();
        return { bytes: Buffer.concat(out), denial: inspector.denial, early, standing: books.bytes };
      }
      if (step === 'inflating') {
        await inspector.ready;
        continue;
      }
      if (step === 'message') early.push(length());
      take();
      if (step === 'more') break;
      offset = inspector.end;
    }
  }
  const denial = inspector.finish();
  inspector.close();
  return { bytes: Buffer.concat(out), denial, early, standing: books.bytes };
}

/** Messages of a stream, inflated. */
function messagesOf(stream: Buffer): readonly Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = at + 5 + stream.readUInt32BE(at + 1);
    const body = stream.subarray(at + 5, end);
    messages.push(stream[at] === 1 ? gunzipSync(body) : body);
    at = end;
  }
  return messages;
}

const expected = (message: Buffer): unknown =>
  mapped(decoded(REQUEST, message), (text) => `acme:${text}`, namespace.entering.integer);

describe('a stream of requests', () => {
  it('goes on with its names in the namespace, plain and compressed, in any pieces, its ends only with their verdicts', async () => {
    const messages = fc.array(fc.tuple(requests, fc.boolean()), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(messages, cuts, async (all, at) => {
        const frames = all.map(([message, zipped]) => frame(zipped ? gzipSync(message) : message, zipped));
        const sent = await send('ModelStreamInfer', Buffer.concat(frames), at);
        if (sent.denial !== undefined) {
          expect(sent.denial).toMatchObject({ kind: 'payload_rejected' });
          return;
        }
        expect(sent.standing).toBe(0);
        const received = messagesOf(sent.bytes);
        expect(received.map((message) => decoded(REQUEST, message))).toEqual(all.map(([message]) => expected(message)));
        // What was out at a verdict ends before the message does.
        let end = 0;
        for (const [index, early] of sent.early.entries()) {
          end += 5 + sent.bytes.readUInt32BE(end + 1);
          expect([index, early < end]).toEqual([index, true]);
        }
      }),
      { numRuns: 600 },
    );
  });

  it('goes on byte for byte when it names nothing, and compressed when it was', async () => {
    const plain = frame(Buffer.concat([field(1, 'm'), field(7, Buffer.alloc(200_000, 7))]));
    const zipped = frame(gzipSync(Buffer.concat([field(1, 'm'), field(7, Buffer.alloc(200_000, 7))])), true);
    const noisy = frame(gzipSync(Buffer.concat([field(1, 'm'), field(7, noise(200_000))])), true);
    for (const one of [plain, zipped, noisy])
      for (const at of [[], [1, 3], [9], [5, 6, 7, 8], [30_000, 60_000, 90_000]]) {
        const sent = await send('ModelInfer', one, at);
        expect([sent.denial, sent.bytes.equals(one), sent.standing]).toEqual([undefined, true, 0]);
      }
  });

  it('leaves in constant memory, however long a message is', async () => {
    const long = frame(Buffer.concat([field(3, 'id'), field(7, Buffer.alloc(300_000))]));
    const inspector = new MessageInspector(entryOf('ModelInfer'), 'identity', LIMITS);
    let held = 0;
    let sent = 0;
    for (let at = 0; at < long.length; at += 1_000) {
      const chunk = long.subarray(at, at + 1_000);
      inspector.scan(chunk, 0);
      for (const piece of inspector.rewrite?.takeOutput() ?? []) sent += piece.length;
      held = Math.max(held, at + chunk.length - sent);
    }
    expect(sent).toBe(long.length + 'acme:'.length);
    expect(held).toBeLessThanOrEqual(NAME_WINDOW_BYTES + 5);
  });

  it('may name something in the window of its message, and not one byte behind it', async () => {
    const named = (before: number): Buffer => Buffer.concat([field(7, Buffer.alloc(before)), textField(3, 'id')]);
    // Tag and length of the tensor are four bytes, those of the id two.
    const fits = NAME_WINDOW_BYTES - 6;
    for (const [message, zipped] of [
      [named(fits), false],
      [named(fits), true],
    ] as const) {
      const sent = await send('ModelInfer', frame(zipped ? gzipSync(message) : message, zipped), [100, 20_000]);
      expect(sent.denial).toBeUndefined();
      expect(decoded(REQUEST, messagesOf(sent.bytes)[0] ?? Buffer.alloc(0))).toEqual(expected(message));
      const late = named(fits + 1);
      const refused = await send('ModelInfer', frame(zipped ? gzipSync(late) : late, zipped), [100, 20_000]);
      const why = 'names something too late in the message';
      expect(refused.denial).toEqual({ kind: 'payload_rejected', field: 'id', why });
    }
  });

  it('may inflate to as much as is gathered when it names something, and not to one byte more', async () => {
    const named = (bytes: number): Buffer => {
      const id = textField(3, 'id');
      return Buffer.concat([id, field(7, Buffer.alloc(bytes - id.length - 5))]);
    };
    const most = named(MAX_GATHERED_BYTES);
    expect(most).toHaveLength(MAX_GATHERED_BYTES);
    const sent = await send('ModelInfer', frame(gzipSync(most), true));
    expect([sent.denial, sent.bytes.length, sent.standing]).toEqual([undefined, MAX_GATHERED_BYTES + 10, 0]);
    const more = await send('ModelInfer', frame(gzipSync(named(MAX_GATHERED_BYTES + 1)), true));
    expect(more.denial).toMatchObject({ kind: 'payload_rejected', field: 'message' });
    expect([JSON.stringify(more.denial).includes('send it uncompressed'), more.standing]).toEqual([true, 0]);
    const nameless = frame(gzipSync(field(7, Buffer.alloc(MAX_GATHERED_BYTES * 2))), true);
    expect((await send('ModelInfer', nameless)).bytes.equals(nameless)).toBe(true);
  });

  it('does not wait for ever for a compressed stream that never gives a byte', async () => {
    // Empty stored blocks, five bytes each; the name stands behind them.
    const body = textField(3, 'id');
    const stored = Buffer.concat([Buffer.from([1, body.length, 0, 0xff - body.length, 0xff]), body]);
    const header = gzipSync('').subarray(0, 10);
    const trailer = gzipSync(body).subarray(-8);
    const empty = Buffer.concat(Array.from({ length: 20_000 }, () => Buffer.from([0, 0, 0, 0xff, 0xff])));
    const hostile = frame(Buffer.concat([header, empty, stored, trailer]), true);
    const at = Array.from({ length: 20 }, (_, index) => index * 5_000);
    const sent = await send('ModelInfer', hostile, at);
    expect(sent.denial).toMatchObject({ kind: 'payload_rejected', why: 'names something too late in the message' });
  });
});

describe('a request about shared memory', () => {
  const register = (key: string): Buffer => frame(Buffer.concat([field(1, 'r'), field(2, key)]));

  it('has its region in the namespace, and names objects of its tenant only', async () => {
    for (const key of ['/acme.x', 'acme.x', '//acme.x', '/shared-x']) {
      const { denial, bytes } = await send('SystemSharedMemoryRegister', register(key));
      expect([key, denial]).toEqual([key, undefined]);
      expect(bytes.equals(frame(Buffer.concat([field(1, 'acme:r'), field(2, key)])))).toBe(true);
    }
    for (const key of ['', '/', '/globex.x', 'acme', '/acme./../globex.x', 'acme.x/y', '/ACME.x', ' acme.x']) {
      const { denial } = await send('SystemSharedMemoryRegister', register(key));
      expect([key, denial?.kind, denial?.kind === 'payload_rejected' && denial.field]).toEqual([
        key,
        'payload_rejected',
        'key',
      ]);
    }
  });

  it('names a region: without, it would be about those of all tenants', async () => {
    for (const method of ['SystemSharedMemoryUnregister', 'CudaSharedMemoryUnregister', 'CudaSharedMemoryRegister']) {
      const sent = await send(method, frame(field(1, 'r')));
      expect([sent.denial, sent.bytes.equals(frame(field(1, 'acme:r')))]).toEqual([undefined, true]);
      for (const all of [Buffer.alloc(0), field(1, ''), Buffer.concat([field(1, 'r'), field(1, '')])])
        expect((await send(method, frame(all))).denial).toMatchObject({ kind: 'payload_rejected', field: 'name' });
    }
  });

  it('may ask for the state of all, of which it is shown its own', async () => {
    expect((await send('SystemSharedMemoryStatus', frame(Buffer.alloc(0)))).bytes).toEqual(Buffer.alloc(5));
    expect((await send('SystemSharedMemoryStatus', frame(field(1, 'r')))).bytes).toEqual(frame(field(1, 'acme:r')));
  });
});

describe('a method without names', () => {
  it('is not rewritten, and neither is any when the namespaces are off', () => {
    expect(entryOf('ModelMetadata').names).toBeUndefined();
    const off = new MethodTable([]).find('/inference.GRPCInferenceService/ModelInfer');
    if (off === undefined) throw new Error('no method');
    expect(new MessageInspector(off, 'identity', LIMITS).rewrites).toBe(false);
  });
});

/** Passes a response, in pieces. */
function receive(
  method: string,
  response: Buffer,
  at: readonly number[] = [],
): { readonly bytes: Buffer; readonly why: string | undefined; readonly standing: number } {
  const books = new Books();
  const response_ = ResponseNames.of(entryOf(method), books);
  if (response_ === undefined) throw new Error(`no names in the response of ${method}`);
  const out: Buffer[] = [];
  let start = 0;
  let why: string | undefined;
  for (const end of [...at.map((cut) => cut % (response.length + 1)).sort((a, b) => a - b), response.length]) {
    why ??= response_.push(response.subarray(start, end));
    out.push(...response_.takeOutput());
    start = end;
  }
  why ??= response_.end();
  out.push(...response_.takeOutput());
  return { bytes: Buffer.concat(out), why, standing: books.bytes };
}

describe('a stream of responses', () => {
  const response = (id: string): Buffer =>
    frame(field(2, Buffer.concat([field(1, 'm'), field(3, id), field(6, noise(40))])));

  it('has the client’s own names, at every split', () => {
    const stream = Buffer.concat([response('acme:1'), response(''), response('acme:2')]);
    const own = Buffer.concat([response('1'), response(''), response('2')]);
    for (let cut = 0; cut <= stream.length; cut++)
      expect(receive('ModelStreamInfer', stream, [cut, cut + 1])).toEqual({ bytes: own, why: undefined, standing: 0 });
  });

  it('goes on as it came where it cannot be read: compressed, broken, or cut short', () => {
    const broken = [
      frame(gzipSync(field(2, field(3, 'acme:x'))), true),
      frame(Buffer.from('no protobuf at all')),
      frame(Buffer.from('ff', 'hex')),
      frame(Buffer.concat([field(2, field(3, 'acme:x')), Buffer.from('0b', 'hex')])),
      frame(Buffer.concat([field(2, field(6, Buffer.alloc(NAME_WINDOW_BYTES * 2))), Buffer.from('07', 'hex')])),
    ];
    for (const one of [...broken, response('acme:1').subarray(0, 20), response('x').subarray(0, 3)]) {
      const both = Buffer.concat([response('x'), one]);
      for (let cut = 0; cut <= Math.min(both.length, 200); cut++)
        expect(receive('ModelStreamInfer', both, [cut])).toEqual({ bytes: both, why: undefined, standing: 0 });
    }
  });

  it('is cut by no number that makes a message longer than its frame can say', () => {
    const sequence = parameter(4, 'sequence_id', { int64: 1n });
    const head = Buffer.concat([sequence, Buffer.from('32e0ffffff0f', 'hex'), Buffer.alloc(NAME_WINDOW_BYTES)]);
    const message = frame(head);
    message.writeUInt32BE(0xffff_ffff, 1);
    expect(receive('ModelInfer', message)).toEqual({ bytes: message, why: undefined, standing: 0 });
  });
});

describe('a list of regions', () => {
  const region = (name: string): Buffer => field(1, Buffer.concat([field(1, name), field(2, field(1, name))]));

  it('has the tenant’s own, at every split, and nothing is held when it has ended', () => {
    const list = frame(Buffer.concat([region('globex:r'), region('acme:r'), region('x'), region('acme:s')]));
    const own = frame(Buffer.concat([region('r'), region('s')]));
    for (let cut = 0; cut <= list.length; cut++)
      expect(receive('SystemSharedMemoryStatus', list, [cut])).toEqual({ bytes: own, why: undefined, standing: 0 });
  });

  it('is not passed on where it cannot be told apart', () => {
    const own = region('acme:r');
    const cases: readonly (readonly [Buffer, string])[] = [
      [frame(gzipSync(own), true), 'a list of names that cannot be read'],
      [frame(Buffer.from('no protobuf')), 'a list of names that cannot be read'],
      [frame(Buffer.concat([own, Buffer.from('0a7f', 'hex')])), 'a list of names that cannot be read'],
      [frame(own).subarray(0, 12), 'a list of names that ends before it is whole'],
    ];
    for (const [list, why] of cases)
      for (let cut = 0; cut < list.length; cut++) {
        const received = receive('CudaSharedMemoryStatus', list, [cut]);
        expect([received.why, received.bytes.length]).toEqual([why, 0]);
      }
  });

  it('may be as long as the limit and not one byte longer', () => {
    const filled = (bytes: number): Buffer => {
      const own = region('acme:r');
      const rest = bytes - own.length;
      // One entry, whose value is as long as it takes.
      const inside = rest - 4 - 4;
      return Buffer.concat([own, field(1, field(9, Buffer.alloc(inside)))]);
    };
    const most = filled(MAX_NAME_LIST_BYTES);
    expect(most).toHaveLength(MAX_NAME_LIST_BYTES);
    const passed = receive('SystemSharedMemoryStatus', frame(most), [500_000]);
    expect(passed).toEqual({ bytes: frame(region('r')), why: undefined, standing: 0 });
    const more = receive('SystemSharedMemoryStatus', frame(filled(MAX_NAME_LIST_BYTES + 1)), [500_000]);
    expect([more.why, more.bytes.length]).toEqual(['a list of names that cannot be read', 0]);
  });

  it('shows nothing of another tenant’s that stands across its limit', () => {
    const other = field(1, field(1, `globex:${'r'.repeat(100)}`));
    const own = field(1, field(1, `acme:${'r'.repeat(MAX_NAME_LIST_BYTES - other.length - 5)}`));
    expect(own.length).toBeLessThan(MAX_NAME_LIST_BYTES);
    const list = frame(Buffer.concat([own, other]));
    expect(list.length - 5).toBeGreaterThan(MAX_NAME_LIST_BYTES);
    for (let cut = MAX_NAME_LIST_BYTES; cut < list.length; cut++) {
      const received = receive('SystemSharedMemoryStatus', list, [cut]);
      expect([cut, received.why, received.bytes.length]).toEqual([cut, 'a list of names that cannot be read', 0]);
    }
  });
});

it('rewrites no number twice in one message', async () => {
  const message = Buffer.concat([field(1, 'm'), parameter(4, 'sequence_id', { int64: 5n })]);
  const sent = await send('ModelInfer', frame(message));
  expect(decoded(REQUEST, messagesOf(sent.bytes)[0] ?? Buffer.alloc(0))).toEqual(expected(message));
});

function noise(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  let state = 1;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    buffer[at] = state >>> 16;
  }
  return buffer;
}
