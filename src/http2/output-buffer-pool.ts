/** The plain pool: for one tenant, or for nobody in particular. Keeps a bounded number of free buffers. */
import { OUTPUT_BUFFER_BYTES, type OutputBuffers } from './contract.ts';

export class OutputBufferPool implements OutputBuffers {
  readonly #maxFree: number;
  readonly #free: Buffer[] = [];

  /** `maxFree` buffers stay when they are not in use; default 32, 2 MiB. */
  constructor(maxFree = 32) {
    this.#maxFree = maxFree;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(OUTPUT_BUFFER_BYTES);
  }

  give(buffer: Buffer): void {
    if (this.#free.length < this.#maxFree) this.#free.push(buffer);
  }
}
