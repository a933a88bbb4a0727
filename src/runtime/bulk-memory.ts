/**
 * Keeps a streamed tensor's memory low without making small calls pay for it.
 *
 * Each chunk that a socket reads is memory outside V8's heap, held by a small object inside it, and freed only when that object
 * is collected. A tensor makes few objects and much memory, so V8 sees no reason to collect for a long time: 600 MB passed with
 * 35 MiB more resident. A young generation small enough to be collected often promotes the records of calls in progress instead,
 * which cost a fifth of the CPU at 500 calls at once. So the young generation is sized for calls, and after every few MiB of
 * bulk bytes the young objects are collected: 9 to 21 MiB more resident in six runs, and half a millisecond for each 4 MiB (every 8 MiB:
 * 23 to 31).
 */
import { type Collect, collector } from '../kernel/heap.ts';

/** Chunks below this are calls, not bulk: their objects weigh as much as they do. */
const BULK_CHUNK_BYTES = 4 * 1024;
const COLLECT_EVERY_BYTES = 4 * 1024 * 1024;

export class BulkMemory {
  readonly #collect: Collect;
  #bytes = 0;

  constructor(collect: Collect = collector()) {
    this.#collect = collect;
  }

  /** A chunk has arrived from a socket. */
  arrived(bytes: number): void {
    if (bytes < BULK_CHUNK_BYTES) return;
    this.#bytes += bytes;
    if (this.#bytes < COLLECT_EVERY_BYTES) return;
    this.#bytes = 0;
    this.#collect({ type: 'minor', execution: 'sync' });
  }
}
