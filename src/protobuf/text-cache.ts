/**
 * Strings read from the wire, the same object for the same bytes: a method is called with the same few model names over and
 * over, and a string that is already there costs neither an allocation nor a hash when it is looked up.
 */
import { isUtf8 } from 'node:buffer';

/** One per tenant and method: what one tenant sends never changes what another's lookup costs. */
export class TextCache {
  readonly #texts: (string | undefined)[] = [];

  /**
   * Reads `[start, end)` as text. Undefined when it is not valid UTF-8, or has a control character in it: parsers refuse the
   * former, and servers that go on with a C string read `secret NUL -shared` as `secret`.
   */
  read(bytes: Buffer, start: number, end: number): string | undefined {
    let hash = 0x811c9dc5; // FNV-1a
    let seen = 0;
    for (let i = start; i < end; i++) {
      const byte = bytes[i] ?? 0;
      if (byte < 0x20 || byte === 0x7f) return undefined;
      seen |= byte;
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    if (seen >= 0x80) return readUtf8(bytes.subarray(start, end));
    if (end - start > MAX_CACHED_LENGTH) return bytes.toString('latin1', start, end);
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const known = this.#texts[slot];
    if (known !== undefined && equals(known, bytes, start, end)) return known;
    const text = bytes.toString('latin1', start, end);
    while (this.#texts.length <= slot) this.#texts.push(undefined);
    this.#texts[slot] = text;
    return text;
  }
}

/** Power of two. */
const SLOTS = 64;
/** So that a cache holds at most 8 KiB of a tenant's strings. */
const MAX_CACHED_LENGTH = 128;

function equals(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}

function readUtf8(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return undefined;
  const text = bytes.toString('utf8');
  return C1_CONTROL.test(text) ? undefined : text;
}

const C1_CONTROL = /[\u0080-\u009f]/;
