/**
 * Values that are made once for a long time: points in time and durations that an expression writes out, and points in time for CEL to read.
 */
import { Environment } from '@marcbachmann/cel-js';

/** Values that are kept, of all expressions of a thread. */
export const MAX_KNOWN_VALUES = 4096;

const reader = new Environment().registerVariable('text', 'string');

/** What CEL makes of texts by one of its functions. */
export class KnownValues {
  readonly #function: 'timestamp' | 'duration';
  readonly #known = new Map<string, unknown>();

  constructor(name: 'timestamp' | 'duration') {
    this.#function = name;
  }

  /** Reads a text; undefined when it is none of these. */
  read(text: string): unknown {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    try {
      const value: unknown = reader.evaluate(`${this.#function}(text)`, { text });
      if (this.#known.size >= MAX_KNOWN_VALUES) this.#known.clear();
      this.#known.set(text, value);
      return value;
    } catch {
      return undefined;
    }
  }
}

export const KNOWN = { timestamp: new KnownValues('timestamp'), duration: new KnownValues('duration') } as const;

/** A point in time as conditions read it. `reuse`: one that nobody holds any more. */
export function timestampOf(epochMicros: number, reuse?: object): object {
  const ms = Math.floor(epochMicros / 1000);
  // oxlint-disable-next-line no-restricted-globals -- CEL's timestamp is a Date; the time is given
  if (!(reuse instanceof Date)) return new Date(ms);
  reuse.setTime(ms);
  return reuse;
}
