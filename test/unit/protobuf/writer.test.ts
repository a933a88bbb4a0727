import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtobufWriter } from '../../../src/protobuf/writer.ts';

describe('the protobuf writer', () => {
  it('writes integers as another implementation reads them, and leaves out zero', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.integer({ min: 1, max: 2 ** 29 - 1 }), (value, field) => {
        const bytes = new ProtobufWriter().integer(field, value).view();
        if (value === 0) {
          expect(bytes).toHaveLength(0);
          return;
        }
        const reader = new BinaryReader(bytes);
        expect(reader.tag()).toEqual([field, 0]);
        expect(Number(reader.int64())).toBe(value);
        expect(reader.pos).toBe(bytes.length);
      }),
    );
  });

  it('refuses an integer that it would have to round', () => {
    expect(() => new ProtobufWriter().integer(1, 2 ** 53)).toThrow(RangeError);
    expect(() => new ProtobufWriter().integer(1, 0.5)).toThrow(RangeError);
  });

  it('nests messages of any length as another implementation does', () => {
    for (const length of [0, 1, 100, 124, 125, 126, 127, 128, 129, 16_370, 16_383, 16_384, 16_385, 3_000_000]) {
      const text = 'x'.repeat(length);
      const expected = new BinaryWriter().uint32(0x0a).fork().uint32(0x12).fork().uint32(0x1a).string(text);
      const ours = new ProtobufWriter(1).begin(1).begin(2).string(3, text).end().end().integer(4, 5);
      if (length === 0) {
        expect(ours.view()).toEqual(Buffer.from([0x0a, 2, 0x12, 0, 0x20, 5]));
        continue;
      }
      expect(ours.view().equals(expected.join().join().uint32(0x20).uint32(5).finish())).toBe(true);
    }
  });

  it('can be used again after it was cleared, even in the middle of a message', () => {
    const writer = new ProtobufWriter().begin(1).string(1, 'abc').clear();
    expect(writer.string(1, 'é').view()).toEqual(Buffer.from([0x0a, 2, 0xc3, 0xa9]));
    expect(() => writer.end()).toThrow(RangeError);
  });
});
