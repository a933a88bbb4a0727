/**
 * Numbers that a scan gathers from a message for whoever counts what it costs: values of fields, lengths of lists, and products of
 * shapes. A message's measures are final when the scan has finished; nothing of a payload is decoded for them.
 */
import type { Measure, MeasuredField } from './field-plan.ts';

export class Measures {
  /** By slot, of the message that was begun last. */
  readonly #slots: number[];
  /** What each message around the present one is to the measures, outermost first, and what it has come to. */
  readonly #around: (Measure | undefined)[] = [];
  readonly #amounts: number[] = [];
  #depth = 0;
  /** Slots of maps' entries, by key. */
  readonly #keys: ReadonlyMap<string, number> | undefined;
  #key = '';
  #entryValue = 0;

  constructor(slots: number, keys?: ReadonlyMap<string, number>) {
    this.#slots = new Array<number>(slots).fill(0);
    this.#keys = keys;
  }

  /** Whether it wants the keys of maps' entries. */
  get readsKeys(): boolean {
    return this.#keys !== undefined;
  }

  /** Bytes of an entry's key; `first`: it begins with them. */
  key(chunk: Buffer, start: number, stop: number, first: boolean): void {
    if (first) this.#key = '';
    // Longer than any that is looked for: it is none of them.
    if (this.#key.length <= MAX_KEY_CHARS) this.#key += chunk.toString('latin1', start, stop);
  }

  /** What was gathered in a slot; 0: nothing. */
  value(slot: number): number {
    return this.#slots[slot] ?? 0;
  }

  begin(): void {
    this.#slots.fill(0);
    this.#depth = 0;
  }

  /** A message, or a group, inside the one before. */
  enter(measure: Measure | undefined): void {
    this.#around[this.#depth] = measure;
    this.#amounts[this.#depth] = measure?.kind === 'product' ? 1 : 0;
    if (measure?.kind === 'entry') {
      this.#key = '';
      this.#entryValue = 0;
    }
    this.#depth += 1;
  }

  /** It has ended. Returns why it cannot be counted, if so. */
  leave(): string | undefined {
    this.#depth -= 1;
    const measure = this.#around[this.#depth];
    if (measure === undefined) return undefined;
    const amount = this.#amounts[this.#depth] ?? 0;
    if (measure.kind === 'product') return this.#add(measure.into, amount);
    if (measure.kind === 'factor') return this.#multiply(amount);
    const slot = this.#keys?.get(this.#key);
    if (slot !== undefined) this.#slots[slot] = this.#entryValue;
    return undefined;
  }

  /** An integer of a field; NaN when it fits no type. Returns why it cannot be counted, if so. */
  take(field: MeasuredField, value: number): string | undefined {
    switch (field.how) {
      case 'length':
        return this.#add(field.into, 1);
      case 'factor':
        return value < 0 ? NEGATIVE : this.#multiply(value);
      case 'size':
        if (value < 0) return NEGATIVE;
        if (!Number.isSafeInteger(value)) return TOO_MANY;
        // The last one counts.
        this.#amounts[this.#depth - 1] = value;
        return undefined;
      case 'uint32':
        if (!(value >= 0 && value < 2 ** 32)) return NO_FIT;
        this.#slots[field.into] = value;
        return undefined;
      case 'value':
        this.#slots[field.into] = countable(value);
        return undefined;
      case 'entry':
        this.#entryValue = countable(value);
        return undefined;
    }
  }

  /** So many elements of a list. */
  takeLength(field: MeasuredField, elements: number): string | undefined {
    return this.#add(field.into, elements);
  }

  #multiply(factor: number): string | undefined {
    let at = this.#depth - 1;
    while (at >= 0 && this.#around[at]?.kind !== 'product') at -= 1;
    if (at < 0) return undefined;
    const product = (this.#amounts[at] ?? 0) * factor;
    if (!Number.isSafeInteger(product)) return TOO_MANY;
    this.#amounts[at] = product;
    return undefined;
  }

  #add(slot: number, amount: number): string | undefined {
    const sum = (this.#slots[slot] ?? 0) + amount;
    if (!Number.isSafeInteger(sum)) return TOO_MANY;
    this.#slots[slot] = sum;
    return undefined;
  }
}

/** What nobody can have used is nothing. */
function countable(value: number): number {
  return Number.isSafeInteger(value) && value > 0 ? value : 0;
}

const MAX_KEY_CHARS = 256;
const NO_FIT = 'an integer does not fit its type';
const NEGATIVE = 'a dimension is negative';
const TOO_MANY = 'has more elements than can be counted (2^53 - 1)';
