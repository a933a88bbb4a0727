/**
 * Records gathered into one OTLP request. The entries of each record stay apart, so that a request that a collector refuses
 * can be split until the one record that it will not take is found.
 *
 * Traces and logs have the same shape: request { 1: { 1: resource, 2: { 1: scope, 2: entries … } } }.
 */
import { blockOf } from './attributes.ts';
import { OtlpBytes, varintBytes } from './otlp-bytes.ts';

/** A request is sent once it has so many bytes: well below the 4 MiB that gRPC servers take by default. */
export const FULL_BATCH_BYTES = 1024 * 1024;

export class OtlpBatch {
  /** Where records write their entries (spans or log records, field 2 of the scope). */
  readonly entries = new OtlpBytes(FULL_BATCH_BYTES + 128 * 1024);
  readonly #resource: Buffer;
  readonly #scope: Buffer;
  #ends: number[] = [];

  constructor(resource: Buffer, scopeName: string, scopeVersion: string) {
    this.#resource = resource;
    this.#scope = blockOf((out) => {
      const scope = out.begin(1);
      out.stringField(1, scopeName);
      out.stringField(2, scopeVersion);
      out.end(scope);
    });
  }

  /** Records in the batch; records without an entry are not counted. */
  get size(): number {
    return this.#ends.length;
  }

  get isFull(): boolean {
    return this.entries.length >= FULL_BATCH_BYTES;
  }

  clear(): void {
    this.entries.clear();
    this.#ends = [];
  }

  /** Called after a record's entries were written. */
  endRecord(): void {
    if (this.entries.length > (this.#ends.at(-1) ?? 0)) this.#ends.push(this.entries.length);
  }

  /** The request for the records from `from` up to but not including `to`. */
  request(from: number, to: number): Buffer {
    const entries = this.entries.view(from === 0 ? 0 : (this.#ends[from - 1] ?? 0), this.#ends[to - 1] ?? 0);
    const scopeBytes = this.#scope.length + entries.length;
    const outerBytes = this.#resource.length + 1 + varintBytes(scopeBytes) + scopeBytes;
    const head = new OtlpBytes(this.#resource.length + this.#scope.length + 64);
    head.tag(1, 2);
    head.varint(outerBytes);
    head.block(this.#resource);
    head.tag(2, 2);
    head.varint(scopeBytes);
    head.block(this.#scope);
    return Buffer.concat([head.view(0, head.length), entries]);
  }
}
