import { describe, expect, it } from 'vitest';
import { DerCursor, DerError, integerOf, timeOf } from '../../../src/identity/der-cursor.ts';

const at = (...octets: readonly number[]): DerCursor => new DerCursor(Buffer.from(octets));
const text = (tag: number, content: string): DerCursor => at(tag, content.length, ...Buffer.from(content));

describe('DER', () => {
  it.each<[string, readonly number[]]>([
    ['an indefinite length', [0x30, 0x80, 0, 0]],
    ['a length in two octets that fits in one', [0x30, 0x81, 0x01, 0x05]],
    ['a length with a leading zero', [0x30, 0x82, 0x00, 0x80, ...Array<number>(128).fill(0)]],
    ['a length of five octets', [0x30, 0x85, 1, 0, 0, 0, 0]],
    ['more contents than there are', [0x30, 0x02, 0x05]],
    ['no length', [0x30]],
    ['a length that is cut off', [0x30, 0x82, 0x01]],
    ['another element', [0x31, 0x00]],
    ['nothing', []],
  ])('is not %s', (_name, octets) => {
    expect(() => at(...octets).enter(0x30)).toThrow(DerError);
  });

  it('ends where it ends', () => {
    const outer = at(0x30, 0x02, 0x05, 0x00, 0xff);
    const inner = outer.enter(0x30);
    expect(inner.whole(0x05)).toEqual(Buffer.from([5, 0]));
    inner.finish();
    expect([inner.atEnd, inner.peek(), outer.atEnd]).toEqual([true, undefined, false]);
    expect(() => outer.finish()).toThrow(DerError);
  });

  it('has integers in their shortest form', () => {
    expect(integerOf(at(2, 2, 0, 0x80))).toEqual(Buffer.from([0, 0x80]));
    for (const octets of [
      [2, 0],
      [2, 2, 0, 0x7f],
      [2, 2, 0xff, 0x80],
    ]) {
      expect(() => integerOf(at(...octets))).toThrow(DerError);
    }
  });

  it.each([
    [0x17, '260228235959Z', '2026-02-28T23:59:59.000Z'],
    [0x17, '491231000000Z', '2049-12-31T00:00:00.000Z'],
    [0x17, '500101000000Z', '1950-01-01T00:00:00.000Z'],
    [0x18, '20510101000000Z', '2051-01-01T00:00:00.000Z'],
  ])('has times as RFC 5280 writes them: %i %s', (tag, written, expected) => {
    expect(new Date(timeOf(text(tag, written))).toISOString()).toBe(expected);
  });

  it.each([
    [0x17, '2602282359Z'],
    [0x17, '260228235959+0000'],
    [0x17, '260230000000Z'],
    [0x17, '260101250000Z'],
    [0x18, '20510101000000.5Z'],
    [0x18, '20511301000000Z'],
    [0x16, '260101000000Z'],
  ])('has no other times: %i %s', (tag, written) => {
    expect(() => timeOf(text(tag, written))).toThrow(DerError);
  });
});
