/**
 * The dynamic table of HPACK (RFC 7541 §2.3.2, §4): a ring of fields, newest first, bounded by the sum of their sizes.
 * Both directions use it: the decoder looks fields up by index, the encoder learns which of its fields are gone.
 */

/** What each entry costs beside its octets (RFC 7541 §4.1). */
export const FIELD_OVERHEAD_BYTES = 32;

/** One field. Decoders give the same object, and so the same strings, each time that a peer refers to it. */
export interface HeaderField {
  readonly name: string;
  readonly value: string;
  /** What `header-traits.ts` found in it. */
  readonly traits: number;
}

export class FieldTable {
  readonly #onEvict: ((field: HeaderField, serial: number) => void) | undefined;
  #ring: (HeaderField | undefined)[] = new Array<HeaderField | undefined>(16).fill(undefined);
  #capacityBytes: number;
  #bytes = 0;
  #count = 0;
  #newest = 0;
  #version = 0;

  /** `onEvict` hears of every field that leaves, with its serial number. */
  constructor(capacityBytes: number, onEvict?: (field: HeaderField, serial: number) => void) {
    this.#capacityBytes = capacityBytes;
    this.#onEvict = onEvict;
  }

  get capacityBytes(): number {
    return this.#capacityBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** The serial number of the newest field: how many were ever added. */
  get newest(): number {
    return this.#newest;
  }

  /** Changes with every change of the table: the same version means that the same indices mean the same fields. */
  get version(): number {
    return this.#version;
  }

  /** The field at `offset` from the newest (0), or undefined behind the oldest. */
  at(offset: number): HeaderField | undefined {
    return offset < this.#count ? this.#ring[(this.#newest - offset) & (this.#ring.length - 1)] : undefined;
  }

  /** True while the field with this serial number is in the table. */
  holds(serial: number): boolean {
    return serial > this.#newest - this.#count;
  }

  /** Adds a field, evicting the oldest ones for it. One that is larger than the table empties it (RFC 7541 §4.4). */
  add(field: HeaderField): boolean {
    const bytes = sizeOf(field);
    this.#version++;
    this.#evictTo(this.#capacityBytes - bytes);
    if (bytes > this.#capacityBytes) return false;
    if (this.#count === this.#ring.length) this.#grow();
    this.#newest++;
    this.#ring[this.#newest & (this.#ring.length - 1)] = field;
    this.#count++;
    this.#bytes += bytes;
    return true;
  }

  resize(capacityBytes: number): void {
    this.#version++;
    this.#capacityBytes = capacityBytes;
    this.#evictTo(capacityBytes);
  }

  #evictTo(bytes: number): void {
    while (this.#count > 0 && this.#bytes > bytes) {
      const serial = this.#newest - this.#count + 1;
      const slot = serial & (this.#ring.length - 1);
      const oldest = this.#ring[slot];
      this.#ring[slot] = undefined;
      this.#count--;
      if (oldest === undefined) continue;
      this.#bytes -= sizeOf(oldest);
      this.#onEvict?.(oldest, serial);
    }
  }

  #grow(): void {
    const larger = new Array<HeaderField | undefined>(this.#ring.length * 2).fill(undefined);
    for (let serial = this.#newest - this.#count + 1; serial <= this.#newest; serial++) {
      larger[serial & (larger.length - 1)] = this.#ring[serial & (this.#ring.length - 1)];
    }
    this.#ring = larger;
  }
}

function sizeOf(field: HeaderField): number {
  return field.name.length + field.value.length + FIELD_OVERHEAD_BYTES;
}
