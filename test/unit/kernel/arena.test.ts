import { describe, expect, it } from 'vitest';
import { Arena } from '../../../src/kernel/arena.ts';

describe('an arena', () => {
  it('gives pieces that are nobody else’s', () => {
    const arena = new Arena();
    const pieces = Array.from({ length: 200 }, (_, index) => arena.take(100).fill(index));
    expect(pieces.every((piece, index) => piece.length === 100 && piece.every((byte) => byte === index))).toBe(true);
  });

  it('takes none of the memory that all buffers are cut from', () => {
    const [pooled, own] = [Buffer.from('x').buffer, new Arena().take(100).buffer];
    expect(own).not.toBe(pooled);
    expect(own).not.toBe(new Arena().take(100).buffer);
  });

  it.each([
    [1_024, 8_192],
    [1_025, 1_025],
  ])('cuts a piece of %i bytes from one of %i', (bytes, whole) => {
    expect(new Arena().take(bytes).buffer.byteLength).toBe(whole);
  });
});
