/** A tensor's octets on an HTTP/2 stream of either side: written as fast as it takes them, read no faster than a rate. */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** Writes `bytes` octets in pieces of `chunk` and ends the stream; returns early when it is destroyed. */
export async function writeTensor(stream: Duplex, bytes: number, chunk: Buffer): Promise<void> {
  for (let left = bytes; left > 0 && !stream.destroyed; left -= chunk.length) {
    const piece = left < chunk.length ? chunk.subarray(0, left) : chunk;
    if (!stream.write(piece)) await drained(stream);
  }
  stream.end();
}

/** Reads to the end and throws away; `rate` in bytes per second. Returns how many bytes came. */
export async function discardTensor(stream: Duplex, rate: number): Promise<number> {
  const startedAt = performance.now();
  let received = 0;
  for await (const data of stream) {
    // Boundary: a stream without encoding yields Buffers.
    received += (data as Buffer).length;
    const ahead = (received / rate) * 1_000 - (performance.now() - startedAt);
    if (ahead > 5) await sleep(ahead);
  }
  return received;
}

function drained(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.on('drain', done).on('close', done);
  });
}
