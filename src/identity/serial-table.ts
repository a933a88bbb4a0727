/**
 * Serial numbers, sorted, in memory that all threads share: a list of 100,000 revoked certificates takes 2 MB once, and not in every worker.
 */

/** RFC 5280 §4.1.2.2: no longer. */
export const SERIAL_OCTETS = 20;

export class SerialTable {
  /** Of `SERIAL_OCTETS` each, with leading zeros, in ascending order. */
  readonly data: Uint8Array<SharedArrayBuffer>;

  constructor(data: Uint8Array<SharedArrayBuffer>) {
    this.data = data;
  }

  /** The table of serial numbers, none of which is longer than `SERIAL_OCTETS`. */
  static of(serials: readonly Buffer[]): Uint8Array<SharedArrayBuffer> {
    const padded = serials.map((serial) => Buffer.concat([Buffer.alloc(SERIAL_OCTETS - serial.length), serial]));
    padded.sort((one, other) => one.compare(other));
    const data = new Uint8Array(new SharedArrayBuffer(padded.length * SERIAL_OCTETS));
    for (const [index, serial] of padded.entries()) data.set(serial, index * SERIAL_OCTETS);
    return data;
  }

  get size(): number {
    return this.data.length / SERIAL_OCTETS;
  }

  /** Whether a serial number is in it: hex, as certificates have it. */
  has(serial: string): boolean {
    const digits = SERIAL_OCTETS * 2;
    if (serial.length > digits) return false;
    const wanted = Buffer.from(serial.padStart(digits, '0'), 'hex');
    let [low, high] = [0, this.size];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.#compare(wanted, middle * SERIAL_OCTETS);
      if (order === 0) return true;
      if (order < 0) high = middle;
      else low = middle + 1;
    }
    return false;
  }

  #compare(wanted: Buffer, at: number): number {
    for (let i = 0; i < SERIAL_OCTETS; i += 1) {
      const difference = (wanted[i] ?? 0) - (this.data[at + i] ?? 0);
      if (difference !== 0) return difference;
    }
    return 0;
  }
}
