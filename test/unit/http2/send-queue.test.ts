/** What waits to be sent keeps little more memory than its bytes. */
import { describe, expect, test } from 'vitest';
import { SendQueue } from '../../../src/http2/send-queue.ts';

const READ_BYTES = 65_536;

function drain(queue: SendQueue): Buffer[] {
  const chunks: Buffer[] = [];
  while (!queue.isEmpty) chunks.push(queue.takeData(queue.firstBytes));
  return chunks;
}

describe('a chunk that waits', () => {
  test.each([
    ['a quarter of what the socket read is kept as it is', READ_BYTES / 4, true],
    ['one octet less is copied', READ_BYTES / 4 - 1, false],
  ])('as %s', (_, bytes, kept) => {
    const read = Buffer.allocUnsafeSlow(READ_BYTES).fill(7);
    const queue = new SendQueue();
    queue.pushData(read.subarray(0, bytes));
    const [chunk] = drain(queue);
    expect(chunk?.equals(read.subarray(0, bytes))).toBe(true);
    expect(chunk?.buffer === read.buffer).toBe(kept);
  });

  test('keeps at most four times its bytes alive, however it is mixed with what has moved on', () => {
    const queue = new SendQueue();
    let bytes = 0;
    for (let round = 0; round < 200; round++) {
      const read = Buffer.allocUnsafeSlow(READ_BYTES).fill(round);
      const length = [100, 2_048, 5_000, 16_383, 16_384, 40_000][round % 6] ?? 0;
      queue.pushData(read.subarray(1_000, 1_000 + length));
      bytes += length;
    }
    const chunks = drain(queue);
    const kept = new Set(chunks.map(({ buffer }) => buffer));
    expect(Buffer.concat(chunks)).toHaveLength(bytes);
    expect([...kept].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(4 * bytes);
  });
});
