/**
 * A varint's value while its bytes come, exact to 64 bits.
 */
import type { IntegerForm } from './field-plan.ts';

export class CapturedInteger {
  #low = 0;
  #high = 0;
  #fits = true;

  begin(): void {
    this.#low = 0;
    this.#high = 0;
    this.#fits = true;
  }

  /** Takes the byte at `index` of the varint, from 0 to 9. */
  add(byte: number, index: number): void {
    const bits = byte & 0x7f;
    if (index < 4) this.#low += bits * 2 ** (7 * index);
    else if (index === 4) {
      this.#low += (bits & 0x0f) * 2 ** 28;
      this.#high += bits >>> 4;
    } else if (index < 9) this.#high += bits * 2 ** (7 * index - 32);
    else if (bits > 1) this.#fits = false;
    else this.#high += bits * 2 ** 31;
  }

  /** As 64 bits, whatever type they are of; undefined when there are more. */
  get bits(): bigint | undefined {
    return this.#fits ? (BigInt(this.#high) << 32n) | BigInt(this.#low) : undefined;
  }

  /** As an int64, exact up to 2^53; NaN when there are more bits. */
  get number(): number {
    if (!this.#fits) return Number.NaN;
    const high = this.#high >= 2 ** 31 ? this.#high - 2 ** 32 : this.#high;
    return high * 2 ** 32 + this.#low;
  }

  /** In decimal; undefined when the type cannot hold it: parsers drop the bits that are too many, or refuse. */
  text(form: IntegerForm): string | undefined {
    return this.#fits ? integerText(form, this.#low, this.#high) : undefined;
  }
}

function integerText(form: IntegerForm, low: number, high: number): string | undefined {
  switch (form) {
    case 'uint32':
      return high === 0 ? String(low) : undefined;
    case 'int32':
      if (high === 0 && low < 2 ** 31) return String(low);
      return high === 2 ** 32 - 1 && low >= 2 ** 31 ? String(low - 2 ** 32) : undefined;
    case 'uint64':
      return high < 2 ** 21 ? String(high * 2 ** 32 + low) : String((BigInt(high) << 32n) | BigInt(low));
    case 'int64':
      if (high < 2 ** 21) return String(high * 2 ** 32 + low);
      return String(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)));
  }
}
