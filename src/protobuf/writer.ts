/**
 * Writes the few protobuf messages that we send ourselves. Fields with their default value are left out, as proto3 does.
 * A nested message is written in place between `begin` and `end`; one writer serves any number of messages after another.
 */
export class ProtobufWriter {
  #buffer: Buffer;
  #length = 0;
  readonly #open: number[] = [];

  constructor(initialBytes = 1_024) {
    this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
  }

  /** Forgets what was written. */
  clear(): this {
    this.#length = 0;
    this.#open.length = 0;
    return this;
  }

  /** An integer field (int32, int64, uint32, uint64, enum). Safe integers only; a negative one takes ten bytes. */
  integer(field: number, value: number): this {
    if (value === 0) return this;
    if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`);
    this.#varint(field * 8);
    if (value < 0) this.#bigVarint(BigInt.asUintN(64, BigInt(value)));
    else this.#varint(value);
    return this;
  }

  /** A string field, as UTF-8 (a lone surrogate becomes U+FFFD). */
  string(field: number, value: string): this {
    if (value === '') return this;
    const bytes = Buffer.byteLength(value, 'utf8');
    this.#varint(field * 8 + LENGTH_DELIMITED);
    this.#varint(bytes);
    this.#reserve(bytes);
    this.#length += this.#buffer.write(value, this.#length, 'utf8');
    return this;
  }

  /** Begins a message field: what is written until the matching `end` is inside. Written also when it stays empty. */
  begin(field: number): this {
    this.#varint(field * 8 + LENGTH_DELIMITED);
    this.#open.push(this.#length);
    this.#length += 1;
    this.#reserve(0);
    return this;
  }

  /** Ends the innermost message. */
  end(): this {
    const at = this.#open.pop();
    if (at === undefined) throw new RangeError('no message is open');
    const bytes = this.#length - at - 1;
    if (bytes < 0x80) {
      this.#buffer[at] = bytes;
      return this;
    }
    // One byte was kept for the length; a longer message moves up.
    const extra = varintBytes(bytes) - 1;
    this.#reserve(extra);
    this.#buffer.copyWithin(at + 1 + extra, at + 1, this.#length);
    this.#length = at;
    this.#varint(bytes);
    this.#length += bytes;
    return this;
  }

  /** What was written: a view, valid until the next write or `clear`. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
  }

  #bigVarint(value: bigint): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x80n) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#length + bytes));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes += 1;
  return bytes;
}

const LENGTH_DELIMITED = 2;
