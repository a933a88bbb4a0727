import type { OutputBuffers } from '../../src/http2/contract.ts';

const KEPT = 64;

/** Output buffers without tenants: kept and used again as they are. */
export class PlainBuffers implements OutputBuffers {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(64 * 1024);
  }

  give(buffer: Buffer): void {
    if (this.#free.length < KEPT) this.#free.push(buffer);
  }
}
