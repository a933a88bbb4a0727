/**
 * The bytes of OTLP messages, written front to back into one growing buffer. Made for telemetry's hot path: texts are copied
 * from the audit record without becoming strings, and whatever is the same from call to call is copied as a block.
 */
const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_BYTES = 2;
const WIRE_FIXED32 = 5;

/** A message's length before it is known: filled in as a varint of three bytes, which every protobuf parser reads. */
const LENGTH_BYTES = 3;
/** What three such bytes can say. */
export const MAX_MESSAGE_BYTES = 2 ** 21 - 1;

export class OtlpBytes {
  #buffer: Buffer;
  #length = 0;

  constructor(initialBytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written, from `start` to `end`; valid until the next write. */
  view(start: number, end: number): Buffer {
    return this.#buffer.subarray(start, end);
  }

  /** Copies what was written from `start` on. Returns how much that is. */
  copyTo(target: Buffer, start: number): number {
    return this.#buffer.copy(target, 0, start, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** Leaves so many bytes as they are, to be filled in later. */
  skip(bytes: number): void {
    this.reserve(bytes);
    this.#length += bytes;
  }

  /** Makes sure that so many bytes more fit. Every writing method below relies on its caller for it. */
  reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  /** A ready block. */
  block(block: Buffer): void {
    this.copy(block, 0, block.length);
  }

  /** Bytes from elsewhere. Short runs are copied one by one: calling into native code costs more. */
  copy(source: Buffer, start: number, end: number): void {
    const target = this.#buffer;
    let at = this.#length;
    if (end - start > 48) {
      source.copy(target, at, start, end);
      this.#length = at + end - start;
      return;
    }
    for (let i = start; i < end; i++) target[at++] = source[i] ?? 0;
    this.#length = at;
  }

  /** An integer, without a field. */
  varint(value: number): void {
    const target = this.#buffer;
    let at = this.#length;
    let rest = value;
    while (rest > 0x7fffffff) {
      target[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    while (rest > 0x7f) {
      target[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    target[at] = rest;
    this.#length = at + 1;
  }

  tag(field: number, wire: number): void {
    this.varint(field * 8 + wire);
  }

  /** An integer field. */
  integer(field: number, value: number): void {
    this.tag(field, WIRE_VARINT);
    this.varint(value);
  }

  /** A bytes or string field whose bytes lie elsewhere. */
  bytesField(field: number, source: Buffer, start: number, end: number): void {
    this.tag(field, WIRE_BYTES);
    this.varint(end - start);
    this.copy(source, start, end);
  }

  /** A string field. For what is made once: it goes through a string. */
  stringField(field: number, text: string): void {
    const bytes = Buffer.from(text, 'utf8');
    this.reserve(bytes.length + 16);
    this.bytesField(field, bytes, 0, bytes.length);
  }

  /** A `fixed32` field. */
  fixed32(field: number, value: number): void {
    this.tag(field, WIRE_FIXED32);
    this.#little(value);
  }

  /** A `fixed64` or `sfixed64` field, of an integer from 0 to 2^53 - 1. */
  fixed64(field: number, value: number): void {
    this.tag(field, WIRE_FIXED64);
    const high = Math.floor(value / 0x1_0000_0000);
    this.#little(value - high * 0x1_0000_0000);
    this.#little(high);
  }

  /** A `fixed64` field of nanoseconds since the epoch, from microseconds. */
  nanos(field: number, micros: number): void {
    this.tag(field, WIRE_FIXED64);
    // Subtraction instead of `%`, which for numbers of this size is a call into C.
    const high = Math.floor(micros / 0x1_0000_0000);
    const low = (micros - high * 0x1_0000_0000) * 1_000;
    const carry = Math.floor(low / 0x1_0000_0000);
    this.#little(low - carry * 0x1_0000_0000);
    this.#little(high * 1_000 + carry);
  }

  /** Begins a message field; hand what it returns to `end`. */
  begin(field: number): number {
    this.tag(field, WIRE_BYTES);
    this.#length += LENGTH_BYTES;
    return this.#length;
  }

  /** Ends the message that began there. */
  end(start: number): void {
    const length = this.#length - start;
    if (length > MAX_MESSAGE_BYTES) throw new RangeError(`a message of ${length} bytes`);
    this.#buffer[start - 3] = (length & 0x7f) | 0x80;
    this.#buffer[start - 2] = ((length >>> 7) & 0x7f) | 0x80;
    this.#buffer[start - 1] = length >>> 14;
  }

  #little(value: number): void {
    const target = this.#buffer;
    const at = this.#length;
    target[at] = value & 0xff;
    target[at + 1] = (value >>> 8) & 0xff;
    target[at + 2] = (value >>> 16) & 0xff;
    target[at + 3] = (value >>> 24) & 0xff;
    this.#length = at + 4;
  }
}

/** Bytes that a varint takes. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}
