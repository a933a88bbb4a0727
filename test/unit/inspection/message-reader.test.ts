import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageInspector, type ScanOutcome } from '../../../src/inspection/message-inspector.ts';
import { SharedMemoryKeys } from '../../../src/inspection/method-names.ts';
import { type MethodEntry, MethodTable } from '../../../src/inspection/method-table.ts';
import { Namespace } from '../../../src/inspection/namespace.ts';
import { servicesOf } from '../../../src/inspection/protocols.ts';
import { ResponseNames } from '../../../src/inspection/response-names.ts';
import { field, frame } from '../../fakes/raw-grpc-client.ts';

const LIMITS = { maxMessageBytes: 1 << 20, maxInflatedBytes: 1 << 20 };
const BOOKS = { hold: (): void => undefined, letGo: (): void => undefined };
const namespace = new Namespace('acme', Buffer.alloc(32, 1));

/** A table of its own: nobody has read anything by it. */
function freshEntry(method = 'ModelInfer'): MethodEntry {
  const names = { namespace, keys: new SharedMemoryKeys(['acme.']) };
  const table = new MethodTable([], { services: servicesOf(['triton']), model: '' }, names);
  const entry = table.find(`/inference.GRPCInferenceService/${method}`);
  if (entry === undefined) throw new Error(`no method ${method}`);
  return entry;
}

interface Seen {
  readonly outcome: ScanOutcome | 'unfinished';
  readonly asked: readonly string[];
  readonly bytes: string;
  readonly why: string | undefined;
}

/** One unary call whose request comes in two pieces; its reader goes back as it does when the call is over. */
function call(entry: MethodEntry, request: Buffer, cut = 0): Seen {
  const inspector = new MessageInspector(entry, 'identity', LIMITS, BOOKS);
  const out: Buffer[] = [];
  let outcome: Seen['outcome'] = 'unfinished';
  for (const chunk of [request.subarray(0, cut), request.subarray(cut)]) {
    if (chunk.length === 0 || outcome === 'reject') continue;
    outcome = inspector.scan(chunk, 0);
    out.push(...(inspector.rewrite?.takeOutput() ?? []));
  }
  const { model, version } = inspector;
  const asked = outcome === 'message' ? [model, version, ...inspector.further.map((target) => target.model)] : [];
  const why = JSON.stringify(inspector.denial ?? inspector.finish());
  inspector.close();
  return { outcome, asked, bytes: Buffer.concat(out).toString('latin1'), why };
}

function answer(entry: MethodEntry, response: Buffer, cut = 0): string {
  const names = ResponseNames.of(entry, BOOKS);
  if (names === undefined) throw new Error('no names in its responses');
  const out: Buffer[] = [];
  for (const chunk of [response.subarray(0, cut), response.subarray(cut)]) {
    if (names.push(chunk) !== undefined) return 'refused';
    out.push(...names.takeOutput());
  }
  if (names.end() !== undefined) return 'refused';
  out.push(...names.takeOutput());
  return Buffer.concat(out).toString('latin1');
}

const infer = (...fields: Buffer[]): Buffer => frame(Buffer.concat(fields));
const SECRET = infer(field(1, 'secret-model'), field(2, '7'), field(3, 'secret-id'));

describe('what reads a call’s messages', () => {
  it('is used again by the next call to the method, which sees nothing of the one before', () => {
    const entry = freshEntry();
    expect(call(entry, SECRET).asked).toEqual(['secret-model', '7']);
    expect(entry.requests?.idle).toBe(1);
    const next = call(entry, infer());
    expect(next).toEqual({ outcome: 'message', asked: ['', ''], bytes: infer().toString('latin1'), why: undefined });
    expect(entry.requests?.idle).toBe(1);
  });

  it('keeps no value of a call while it waits', () => {
    const entry = freshEntry();
    call(entry, SECRET);
    const reader = entry.requests?.take();
    expect([0, 1, 2, 3].map((slot) => reader?.scanner.value(slot))).toEqual(['', '', '', '']);
    expect([reader?.rewrite?.edits.any, reader?.rewrite?.edits.named]).toEqual([false, false]);
    expect([reader?.rewrite?.takeOnly(), reader?.rewrite?.takeOutput(), reader?.rewrite?.standing]).toEqual([
      undefined,
      [],
      undefined,
    ]);
  });

  it('is one call’s alone for as long as it reads', () => {
    const entry = freshEntry();
    call(entry, SECRET);
    const one = new MessageInspector(entry, 'identity', LIMITS, BOOKS);
    const other = new MessageInspector(entry, 'identity', LIMITS, BOOKS);
    expect([one.scan(SECRET.subarray(0, 20), 0), other.scan(SECRET.subarray(0, 12), 0)]).toEqual(['more', 'more']);
    expect(one.rewrite).not.toBe(other.rewrite);
    expect(one.scan(SECRET.subarray(20), 0)).toBe('message');
    expect(other.scan(infer(field(1, 'secret-moXYZ')).subarray(12), 0)).toBe('more');
    expect([one.model, other.model]).toEqual(['secret-model', '']);
  });

  it('is not used again after a message that was refused, or did not come to its end', () => {
    const entry = freshEntry();
    for (const bytes of [infer(field(1, 'a\u0000b')), SECRET.subarray(0, -3), SECRET.subarray(0, 9)]) {
      expect(call(entry, bytes).why).toBeDefined();
      expect(entry.requests?.idle).toBe(0);
    }
  });

  it('reads nothing more for a call that has given it back', () => {
    const entry = freshEntry();
    const inspector = new MessageInspector(entry, 'identity', LIMITS, BOOKS);
    expect(inspector.scan(SECRET, 0)).toBe('message');
    inspector.close();
    inspector.close();
    expect(entry.requests?.idle).toBe(1);
    expect([inspector.scan(SECRET, 0), inspector.denial?.kind]).toEqual(['reject', 'internal']);
    expect(entry.requests?.idle).toBe(1);
  });

  it('is kept for few calls, however many there were at once', () => {
    const readers = freshEntry().requests;
    const many = Array.from({ length: 50 }, () => readers?.take());
    for (const reader of many) if (reader !== undefined) readers?.give(reader);
    expect(readers?.idle).toBe(4);
  });

  it('pays with the account of the call that uses it', () => {
    const held: string[] = [];
    const account = (name: string): typeof BOOKS => ({ ...BOOKS, hold: () => void held.push(name) });
    const entry = freshEntry();
    for (const name of ['first', 'second']) {
      const inspector = new MessageInspector(entry, 'identity', LIMITS, account(name));
      inspector.scan(SECRET.subarray(0, 20), 0);
      inspector.scan(SECRET.subarray(20), 0);
      inspector.rewrite?.takeOutput();
      inspector.close();
    }
    expect(held).toEqual(['first', 'second']);
  });

  it('finds in any call what one that reads for the first time finds', () => {
    const text = fc.constantFrom('', 'm', 'acme:m', 'other:m', 'a\u0000', 'x'.repeat(200));
    const part = fc.oneof(
      fc.tuple(fc.constantFrom(1, 2, 3), text).map(([number, value]) => field(number, value)),
      fc.constantFrom(Buffer.from([0x0b]), Buffer.from([0x3a, 0x7f, 1]), field(7, Buffer.alloc(40))),
    );
    const request = fc.tuple(fc.array(part, { maxLength: 6 }), fc.nat(300), fc.boolean());
    fc.assert(
      fc.property(fc.array(request, { minLength: 2, maxLength: 8 }), (calls) => {
        const entry = freshEntry();
        for (const [parts, cut, whole] of calls) {
          const framed = infer(...parts);
          const sent = whole ? framed : framed.subarray(0, -2);
          expect(call(entry, sent, cut)).toEqual(call(freshEntry(), sent, cut));
          expect(answer(entry, sent, cut)).toBe(answer(freshEntry(), sent, cut));
        }
      }),
    );
  });
});

describe('what reads a response', () => {
  it('is given back between two messages, and used again by the next call', () => {
    const entry = freshEntry();
    const names = ResponseNames.of(entry, BOOKS);
    const response = infer(field(1, 'm'), field(3, 'acme:id'));
    names?.push(response.subarray(0, 8));
    names?.takeOutput();
    expect(entry.responses?.idle).toBe(0);
    names?.push(response.subarray(8));
    const [piece] = names?.takeOutput() ?? [];
    expect(piece?.equals(infer(field(1, 'm'), field(3, 'id')))).toBe(true);
    expect(entry.responses?.idle).toBe(1);
    expect(answer(entry, infer())).toBe(infer().toString('latin1'));
    expect(entry.responses?.idle).toBe(1);
  });

  it('keeps nothing of a list that was not passed on', () => {
    const entry = freshEntry('SystemSharedMemoryStatus');
    const list = infer(field(1, Buffer.concat([field(1, 'acme:r'), field(2, Buffer.concat([field(1, 'acme:r')]))])));
    expect(answer(entry, list.subarray(0, -1))).toBe('refused');
    expect(entry.responses?.idle).toBe(0);
    expect(answer(entry, list)).toBe(answer(freshEntry('SystemSharedMemoryStatus'), list));
    expect(entry.responses?.idle).toBe(1);
  });
});
