/**
 * Reads DER (X.690 §10) where it lies, octet by octet: definite lengths in their shortest form, tags below 31, nothing left over. For what comes
 * from outside and is long; it makes no objects but what its caller asks for.
 */

/** What was read is not DER, or not what was expected. */
export class DerError extends Error {}

export class DerCursor {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  /** From `at` up to `end` of the octets. */
  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get atEnd(): boolean {
    return this.#at >= this.#end;
  }

  /** The next element's identifier octet; undefined at the end. */
  peek(): number | undefined {
    return this.atEnd ? undefined : this.#bytes[this.#at];
  }

  /** Enters the next element, which must have this identifier octet: a cursor over its contents. */
  enter(tag: number): DerCursor {
    const { from, to } = this.#header(tag);
    this.#at = to;
    return new DerCursor(this.#bytes, from, to);
  }

  /** The next element's contents, where they lie. */
  contents(tag: number): Buffer {
    const { from, to } = this.#header(tag);
    this.#at = to;
    return this.#bytes.subarray(from, to);
  }

  /** The next element with its header. */
  whole(tag: number): Buffer {
    const start = this.#at;
    const { to } = this.#header(tag);
    this.#at = to;
    return this.#bytes.subarray(start, to);
  }

  /** Throws when there is something left. */
  finish(): void {
    if (!this.atEnd) throw new DerError('something follows where nothing should');
  }

  #header(tag: number): { readonly from: number; readonly to: number } {
    if (this.peek() !== tag) throw new DerError(`element ${hex(this.peek())} where ${hex(tag)} should be`);
    let at = this.#at + 1;
    const first = this.#octet(at++);
    let length = first;
    if (first >= 0x80) {
      const octets = first & 0x7f;
      if (octets === 0 || octets > 4) throw new DerError('a length that is indefinite or too long');
      length = 0;
      for (let i = 0; i < octets; i += 1) length = length * 0x100 + this.#octet(at++);
      if (length < 0x80 || length < 2 ** (8 * (octets - 1)))
        throw new DerError('a length in more octets than it needs');
    }
    if (length > this.#end - at) throw new DerError('an element that is cut off');
    return { from: at, to: at + length };
  }

  #octet(at: number): number {
    const octet = at < this.#end ? this.#bytes[at] : undefined;
    if (octet === undefined) throw new DerError('an element that is cut off');
    return octet;
  }
}

/** An INTEGER's octets, which must be in their shortest form. */
export function integerOf(cursor: DerCursor): Buffer {
  const octets = cursor.contents(0x02);
  const [first, second] = octets;
  if (first === undefined) throw new DerError('a number without octets');
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)))
    throw new DerError('a number in more octets than it needs');
  return octets;
}

/** UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 has them, in milliseconds since the epoch. */
export function timeOf(cursor: DerCursor): number {
  const isUtc = cursor.peek() === 0x17;
  const text = cursor.contents(isUtc ? 0x17 : 0x18).toString('latin1');
  if (!(isUtc ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text))
    throw new DerError(`a time that is none: ${JSON.stringify(text.slice(0, 20))}`);
  const full = isUtc ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text;
  const [year, month, day, hour, minute, second] = [full.slice(0, 4), ...(full.slice(4).match(/\d\d/g) ?? [])];
  const iso = `${year ?? ''}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}Z`;
  const at = Date.parse(iso);
  // Date.parse takes February 30th for March 2nd.
  if (Number.isNaN(at) || new Date(at).getUTCDate() !== Number(day)) throw new DerError(`a time that is none: ${iso}`);
  return at;
}

function hex(tag: number | undefined): string {
  return tag === undefined ? 'nothing' : `0x${tag.toString(16)}`;
}
