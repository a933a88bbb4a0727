/**
 * Parts of a point in time as a clock in some zone shows them, for `call.time.getHours("Europe/Berlin")`.
 *
 * To ask `Intl` takes 50 µs and more. A zone's distance from UTC changes on quarter hours only, so it is asked once in a quarter of an hour
 * and zone, and the rest is arithmetic.
 */

const QUARTER_MS = 900_000;

/** A zone that `Intl` knows. */
export class TimeZone {
  readonly #format: Intl.DateTimeFormat;
  #quarter = Number.NaN;
  #offsetMs = 0;

  private constructor(format: Intl.DateTimeFormat) {
    this.#format = format;
  }

  /** Finds a zone by its name in the IANA database, or by its distance from UTC (`+02:00`); undefined: there is none. */
  static named(name: string): TimeZone | undefined {
    try {
      const format = new Intl.DateTimeFormat('en-US', {
        ...{ timeZone: name, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric' },
        ...{ hour: 'numeric', minute: 'numeric', second: 'numeric' },
      });
      return new TimeZone(format);
    } catch {
      return undefined;
    }
  }

  /** The time whose UTC parts are those that a clock there shows. Milliseconds since 1970, both. */
  local(epochMs: number): number {
    const quarter = Math.floor(epochMs / QUARTER_MS);
    if (quarter !== this.#quarter) {
      this.#offsetMs = this.#offsetAt(quarter * QUARTER_MS);
      this.#quarter = quarter;
    }
    return epochMs + this.#offsetMs;
  }

  #offsetAt(epochMs: number): number {
    const parts = new Map(this.#format.formatToParts(epochMs).map(({ type, value }) => [type, Number(value)]));
    const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
    // oxlint-disable-next-line no-restricted-globals -- arithmetic on a calendar, no clock
    const shown = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
    return shown - epochMs;
  }
}

/** The parts that conditions may ask for, each of a time whose UTC parts are meant. Months and weekdays from 0, as in CEL. */
export const TIME_PARTS: Readonly<Record<string, (time: Parts) => number>> = {
  getFullYear: (time) => time.getUTCFullYear(),
  getMonth: (time) => time.getUTCMonth(),
  getDate: (time) => time.getUTCDate(),
  getDayOfMonth: (time) => time.getUTCDate() - 1,
  getDayOfWeek: (time) => time.getUTCDay(),
  getHours: (time) => time.getUTCHours(),
  getMinutes: (time) => time.getUTCMinutes(),
  getSeconds: (time) => time.getUTCSeconds(),
};

/** As much of a `Date` as that takes. */
export interface Parts {
  getUTCFullYear(): number;
  getUTCMonth(): number;
  getUTCDate(): number;
  getUTCDay(): number;
  getUTCHours(): number;
  getUTCMinutes(): number;
  getUTCSeconds(): number;
}
