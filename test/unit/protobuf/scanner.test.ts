import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { planFields } from '../../../src/protobuf/field-plan.ts';
import { MAX_NESTING } from '../../../src/protobuf/nesting.ts';
import { MAX_CAPTURED_BYTES, WireScanner } from '../../../src/protobuf/scanner.ts';
import { TextCache } from '../../../src/protobuf/text-cache.ts';

const plan = planFields({
  1: { kind: 'captured', slot: 0, name: 'name' },
  2: {
    kind: 'message',
    shape: {
      1: { kind: 'captured', slot: 1, name: 'inner' },
      3: { kind: 'message', shape: { 1: { kind: 'payload' } } },
    },
  },
  3: { kind: 'payload' },
  4: { kind: 'number', wireType: 0, repeated: true },
  5: { kind: 'number', wireType: 5, repeated: true },
  6: { kind: 'number', wireType: 1, repeated: false },
});

interface Seen {
  readonly name: string;
  readonly inner: string;
  readonly why: string | undefined;
  readonly field: string | undefined;
}

/** Scans whole, in every two pieces, and byte by byte: all have to agree. */
function scan(message: Uint8Array, declared = message.length): Seen {
  const bytes = Buffer.from(message);
  const whole = scanPieces(bytes, [bytes.length], declared);
  for (let split = 1; split < Math.min(bytes.length, 200); split++)
    expect(scanPieces(bytes, [split, bytes.length], declared)).toEqual(whole);
  const each = Array.from({ length: bytes.length }, (_, i) => i + 1);
  expect(scanPieces(bytes, each, declared)).toEqual(whole);
  return whole;
}

function scanPieces(bytes: Buffer, ends: readonly number[], declared: number): Seen {
  const scanner = new WireScanner(plan, new TextCache());
  scanner.begin(declared);
  let start = 0;
  let alive = true;
  for (const end of ends) {
    if (!alive) break;
    alive = scanner.push(bytes, start, end);
    start = end;
  }
  scanner.finish();
  const { refusal } = scanner;
  if (refusal !== undefined) return { name: '', inner: '', why: refusal.why, field: refusal.field };
  return { name: scanner.value(0), inner: scanner.value(1), why: undefined, field: undefined };
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const string = (field: number, text: string) => new BinaryWriter().tag(field, 2).string(text).finish();

describe('the wire scanner', () => {
  it('finds nothing in an empty message', () => {
    expect(scan(Buffer.alloc(0))).toEqual({ name: '', inner: '', why: undefined, field: undefined });
  });

  it('takes the last occurrence, also when it is empty', () => {
    expect(scan(Buffer.concat([string(1, 'a'), string(3, 'x'), string(1, 'b')])).name).toBe('b');
    expect(scan(hex('0a 01 61 0a 00')).name).toBe('');
  });

  it('merges a nested message that comes twice', () => {
    const nested = (inner: Uint8Array) => new BinaryWriter().tag(2, 2).bytes(inner).finish();
    const message = Buffer.concat([nested(string(1, 'a')), nested(string(3, '')), nested(Buffer.alloc(0))]);
    expect(scan(message).inner).toBe('a');
    expect(scan(Buffer.concat([message, nested(string(1, 'b'))])).inner).toBe('b');
  });

  it('does not take a nested field for an outer one, nor the reverse', () => {
    const message = Buffer.concat([string(1, 'outer'), new BinaryWriter().tag(2, 2).bytes(string(1, 'in')).finish()]);
    expect(scan(message)).toMatchObject({ name: 'outer', inner: 'in' });
  });

  it('steps over unknown fields of every wire type', () => {
    const name = string(1, 'n');
    const unknown = [
      hex('50 ffffffffffffffffff01'), // varint of ten bytes
      hex('51 0a01610a01610a01'), // fixed64 that looks like fields
      hex('52 03 0a0161'),
      hex('53 0a 01 61 58 05 5d 0a016100 53 54 54'), // a group with a field 1, an integer, a fixed32 and a group
      hex('55 0a016100'),
      hex('faffffff0f 00'), // the highest field number
    ];
    for (const field of unknown) {
      expect(scan(Buffer.concat([name, field]))).toMatchObject({ name: 'n', why: undefined });
      expect(scan(Buffer.concat([field, name]))).toMatchObject({ name: 'n', why: undefined });
    }
  });

  it('steps over numbers, packed or not', () => {
    expect(
      scan(hex('20 05 22 03 01 ff01 22 00 2d 01020304 2a 08 0102030405060708 31 0102030405060708 0a 01 61')).name,
    ).toBe('a');
  });

  it('reads tags and lengths that are longer than they need to be, up to five bytes', () => {
    expect(scan(hex('8a00 8100 61')).name).toBe('a');
    expect(scan(hex('8a80808000 8180808000 61')).name).toBe('a');
  });

  it.each([
    ['field number 0', '00 00', 'field number 0'],
    ['field number 0 with another wire type', '02 00', 'field number 0'],
    ['wire type 6 of a known field', '0e 00', 'a known field in another wire type'],
    ['wire type 7 of an unknown field', '57 00', 'unknown wire type'],
    ['a tag of six bytes', '8a8080808000 01 61', 'a tag or a length does not fit 32 bits'],
    ['a tag whose excess bits some parsers drop', '8a80808010 01 61', 'a tag or a length does not fit 32 bits'],
    ['a length of six bytes', '0a 818080808000 61', 'a tag or a length does not fit 32 bits'],
    ['a length whose excess bits some parsers drop', '0a 8180808010 61', 'a tag or a length does not fit 32 bits'],
    ['an integer of eleven bytes', '50 ffffffffffffffffffff01', 'an integer is longer than 10 bytes'],
    ['a string longer than the message', '0a 05 61', 'a field is longer than the message around it'],
    ['a fixed64 longer than the message', '51 00', 'a field is longer than the message around it'],
    ['a fixed32 longer than the message', '55 00', 'a field is longer than the message around it'],
    ['an end inside a tag', '8a', 'ends inside a field'],
    ['an end inside a length', '0a 81', 'ends inside a field'],
    ['an end inside an integer', '50 ff', 'ends inside a field'],
    ['an end after a tag', '0a', 'ends inside a field'],
    [
      'a string longer than its nested message',
      '12 03 0a 05 61 0a01610a',
      'a field is longer than the message around it',
    ],
    ['a tag cut by its nested message', '12 01 8a 00 01 61', 'a field is longer than the message around it'],
    ['a length cut by its nested message', '12 01 0a 01 61', 'a field is longer than the message around it'],
    ['a nested message longer than the message', '12 05 0a 01 61', 'a field is longer than the message around it'],
    ['a group end without a group', '54', 'a group ends that did not begin'],
    ['a group that ends as another', '53 5c', 'a group ends that did not begin'],
    ['a group that does not end', '53 58 05', 'a group does not end'],
    ['a group that outlives its nested message', '12 01 53 54', 'a group does not end'],
    ['invalid UTF-8', '0a 01 ff', 'not a text: invalid UTF-8 or a control character'],
    ['a NUL in a name', '0a 03 61 00 62', 'not a text: invalid UTF-8 or a control character'],
    ['invalid UTF-8 that is overwritten', '0a 01 ff 0a 01 61', 'not a text: invalid UTF-8 or a control character'],
    // Parsers that do not look at the wire type read this as the string `hello`, others as an integer and more fields.
    ['a planned field in another wire type', '08 05 68 65 6c 6c 6f', 'a known field in another wire type'],
    ['a known field in another wire type', '18 05 0a 03 61 62 63', 'a known field in another wire type'],
    ['a number as a string', '32 00', 'a known field in another wire type'],
    ['a number in the other fixed size', '35 00000000', 'a known field in another wire type'],
    // Some parsers read a list's last element to its end, behind the list's.
    ['a packed list of fixed32 that is uneven', '2a 05 0102030405', 'a packed list ends inside an element'],
    ['a packed list of integers that is cut', '22 02 01 80 0a 01 61', 'a packed list ends inside an element'],
    [
      'a nested message whose unknown field leaves it',
      '12 01 59 0a 06 646967697473',
      'a field is longer than the message around it',
    ],
    ['a planned field as a group', '0b 0c', 'a known field in another wire type'],
  ])('refuses %s', (_what, message, why) => {
    expect(scan(hex(message)).why).toBe(why);
  });

  it('refuses more bytes than were declared', () => {
    expect(scan(hex('0a 01 61 0a 01 62'), 3).why).toBe('a field is longer than the message around it');
  });

  it('accepts a group that ends where its message ends', () => {
    expect(scan(hex('53 54')).why).toBeUndefined();
    expect(scan(hex('12 02 53 54 0a 01 61')).name).toBe('a');
  });

  it('captures as many bytes as the limit and not one more', () => {
    expect(scan(string(1, 'x'.repeat(MAX_CAPTURED_BYTES))).name).toHaveLength(MAX_CAPTURED_BYTES);
    expect(scan(string(1, 'x'.repeat(MAX_CAPTURED_BYTES + 1)))).toMatchObject({ field: 'name', why: 'too long' });
  });

  it('nests as deep as the limit and not one deeper', () => {
    const groups = (depth: number) => Buffer.concat([Buffer.alloc(depth, 0x53), Buffer.alloc(depth, 0x54)]);
    expect(scan(groups(MAX_NESTING)).why).toBeUndefined();
    expect(scan(groups(MAX_NESTING + 1)).why).toBe('nested too deeply');
  });

  it('accepts a message of unknown length when it ends between two fields', () => {
    expect(scan(hex('0a 01 61'), Number.POSITIVE_INFINITY).name).toBe('a');
    expect(scan(hex('0a 02 61'), Number.POSITIVE_INFINITY).why).toBe('ends inside a field');
  });

  it('starts afresh with each message', () => {
    const scanner = new WireScanner(plan, new TextCache());
    const first = Buffer.from(string(1, 'first'));
    scanner.begin(first.length);
    expect(scanner.push(first, 0, first.length)).toBe(true);
    scanner.begin(1);
    expect(scanner.push(hex('0a'), 0, 1)).toBe(true);
    expect(scanner.finish()).toBe(false);
    scanner.begin(0);
    expect(scanner.finish()).toBe(true);
    expect(scanner.value(0)).toBe('');
  });

  it('steps over a payload of gigabytes without reading it', () => {
    const scanner = new WireScanner(plan, new TextCache());
    const head = hex('1a 80808080 0f'); // field 3, almost 4 GiB
    const bytes = 15 * 2 ** 28;
    const tail = Buffer.from(string(1, 'last'));
    scanner.begin(head.length + bytes + tail.length);
    scanner.push(head, 0, head.length);
    const chunk = Buffer.alloc(1 << 26, 0xff);
    for (let sent = 0; sent < bytes; sent += chunk.length) expect(scanner.push(chunk, 0, chunk.length)).toBe(true);
    expect(scanner.push(tail, 0, tail.length)).toBe(true);
    expect(scanner.finish()).toBe(true);
    expect(scanner.value(0)).toBe('last');
  });
});
