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
  readonly entries: OtlpBytes;
  readonly #resource: Buffer;
  readonly #scope: Buffer;
  /** Room before the entries for what comes before them in a request, so that a whole batch is sent without being copied. */
  readonly #headRoom: number;
  #ends: number[] = [];

  constructor(resource: Buffer, scopeName: string, scopeVersion: string) {
    this.#resource = resource;
    this.#scope = blockOf((out) => {
      const scope = out.begin(1);
      out.stringField(1, scopeName);
      out.stringField(2, scopeVersion);
      out.end(scope);
    });
    this.#headRoom = this.#resource.length + this.#scope.length + MAX_HEAD_FRAMING_BYTES;
    this.entries = new OtlpBytes(this.#headRoom + FULL_BATCH_BYTES + 128 * 1024);
    this.clear();
  }

  /** Records in the batch; records without an entry are not counted. */
  get size(): number {
    return this.#ends.length;
  }

  /** Bytes of all entries. */
  get bytes(): number {
    return this.entries.length - this.#headRoom;
  }

  get isFull(): boolean {
    return this.bytes >= FULL_BATCH_BYTES;
  }

  clear(): void {
    this.entries.clear();
    this.entries.skip(this.#headRoom);
    this.#ends = [];
  }

  /** Called after a record's entries were written. */
  endRecord(): void {
    if (this.entries.length > (this.#ends.at(-1) ?? this.#headRoom)) this.#ends.push(this.entries.length);
  }

  /** The request for the records from `from` up to but not including `to`; valid until `clear`. */
  request(from: number, to: number): Buffer {
    const start = from === 0 ? this.#headRoom : (this.#ends[from - 1] ?? 0);
    const end = this.#ends[to - 1] ?? start;
    const head = this.#head(end - start);
    if (from > 0) return Buffer.concat([head, this.entries.view(start, end)]);
    const request = this.entries.view(start - head.length, end);
    request.set(head);
    return request;
  }

  #head(entryBytes: number): Buffer {
    const scopeBytes = this.#scope.length + entryBytes;
    const outerBytes = this.#resource.length + 1 + varintBytes(scopeBytes) + scopeBytes;
    return blockOf((out) => {
      out.reserve(this.#headRoom);
      out.tag(1, 2);
      out.varint(outerBytes);
      out.block(this.#resource);
      out.tag(2, 2);
      out.varint(scopeBytes);
      out.block(this.#scope);
    });
  }
}

/** Two tags and two lengths. */
const MAX_HEAD_FRAMING_BYTES = 16;
