/**
 * Reads YAML as nearly all configuration is written: mappings and lists by indentation, or in brackets on one line; names, numbers
 * and text on one line; comments. It is some ten times as fast as the library, and knows where everything stands.
 *
 * Whatever else there is in a text (anchors, tags, escapes, text over several lines, a tab, an empty value, a key that stands twice, a mistake)
 * makes it give up: then the library reads the text, and says what is wrong. What it does not give up on means exactly what the library
 * says it means.
 */
import type { ValuePath } from './finding.ts';

/** Where a value begins, by its shape: of text and numbers the offset. */
export type Spot = number | MapSpot | ListSpot;

interface MapSpot {
  readonly at: number;
  readonly keys: string[];
  readonly keysAt: number[];
  readonly values: Spot[];
}

interface ListSpot {
  readonly at: number;
  readonly items: Spot[];
}

export interface PlainYaml {
  readonly value: unknown;
  readonly spot: Spot;
}

/** Reads a text; undefined: it is not plain, or not YAML. */
export function readPlainYaml(text: string): PlainYaml | undefined {
  if (UNUSUAL.test(text)) return undefined;
  const reader = new PlainReader(text);
  const value = reader.document();
  return value === undefined ? undefined : { value, spot: reader.spot };
}

/** The offset of a path's value, or of its key; as far along the path as the document goes. */
export function offsetIn(root: Spot, path: ValuePath, at: 'value' | 'key' = 'value'): number {
  let spot = root;
  for (const [index, step] of path.entries()) {
    if (typeof spot === 'number') return spot;
    if ('items' in spot) {
      const item = typeof step === 'number' ? spot.items[step] : undefined;
      if (item === undefined) return spot.at;
      spot = item;
    } else {
      const found = typeof step === 'string' ? spot.keys.indexOf(step) : -1;
      const value = spot.values[found];
      if (value === undefined) return spot.at;
      if (at === 'key' && index === path.length - 1) return spot.keysAt[found] ?? spot.at;
      spot = value;
    }
  }
  return typeof spot === 'number' ? spot : spot.at;
}

/** Whether the mapping at the top has a key. */
export function hasKey(root: Spot, key: string): boolean {
  return typeof root !== 'number' && 'keys' in root && root.keys.includes(key);
}

/** Tabs, carriage returns, other control characters, and what may be invisible. */
const UNUSUAL = /[^\n\x20-\x7e\xa1-\xac\xae-\u1fff\u2010-\u2027\u2030-\ud7ff]/;

/** A mistaken or hostile file may be nested without end. */
const MAX_DEPTH = 32;
/** Longer keys are an error in some places. */
const MAX_KEY = 128;

const NEWLINE = 0x0a;
const SPACE = 0x20;
const DOUBLE_QUOTE = 0x22;
const HASH = 0x23;
const SINGLE_QUOTE = 0x27;
const COMMA = 0x2c;
const DASH = 0x2d;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_MAP = 0x7b;
const CLOSE_MAP = 0x7d;

/** What text without quotes does not begin with: these mean something. A dash does when a space follows. */
const INDICATORS = new Set(Buffer.from('!&*|>@`%?:,[]{}#"\'\n '));

/** Keys that are no text. */
const NO_NAMES = new Set(['true', 'True', 'TRUE', 'false', 'False', 'FALSE', 'null', 'Null', 'NULL']);

class PlainReader {
  readonly #text: string;
  #at = 0;
  /** Where the line that is read begins. */
  #lineAt = 0;
  #depth = 0;
  /** Of what was read last. */
  spot: Spot = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Every method that reads a value leaves `spot`, and gives undefined where it gives up: no plain value is undefined. */
  document(): unknown {
    if (!this.#toContent() || this.#column !== 0) return undefined;
    const value = this.#block();
    return this.#ended ? value : undefined;
  }

  get #ended(): boolean {
    return this.#at >= this.#text.length;
  }

  get #column(): number {
    return this.#at - this.#lineAt;
  }

  #code(offset = this.#at): number {
    return offset < this.#text.length ? this.#text.charCodeAt(offset) : NEWLINE;
  }

  /** A mapping or a list whose first key or dash is here. Goes on to the first line that is none of it. */
  #block(): unknown {
    if (this.#depth === MAX_DEPTH) return undefined;
    this.#depth += 1;
    const value = this.#isDash() ? this.#blockList() : this.#blockMap();
    this.#depth -= 1;
    return value;
  }

  #blockMap(): unknown {
    const column = this.#column;
    const value: Record<string, unknown> = {};
    const spot: MapSpot = { at: this.#at, keys: [], keysAt: [], values: [] };
    do {
      const keyAt = this.#at;
      const key = this.#key();
      if (key === undefined || Object.hasOwn(value, key)) return undefined;
      const member = this.#member(column, true);
      if (member === undefined) return undefined;
      value[key] = member;
      this.#note(spot, key, keyAt);
    } while (!this.#ended && this.#column === column && !this.#isDash());
    if (!this.#ended && this.#column > column) return undefined;
    this.spot = spot;
    return value;
  }

  #note(spot: MapSpot, key: string, keyAt: number): void {
    spot.keys.push(key);
    spot.keysAt.push(keyAt);
    spot.values.push(this.spot);
  }

  #blockList(): unknown {
    const column = this.#column;
    const value: unknown[] = [];
    const spot: ListSpot = { at: this.#at, items: [] };
    do {
      this.#at += 1;
      const item = this.#member(column, false);
      if (item === undefined) return undefined;
      value.push(item);
      spot.items.push(this.spot);
    } while (!this.#ended && this.#column === column && this.#isDash());
    if (!this.#ended && this.#column > column) return undefined;
    this.spot = spot;
    return value;
  }

  /** What stands behind a key or a dash in this column: on the same line, or on further ones, deeper in. */
  #member(column: number, ofMap: boolean): unknown {
    this.#spaces();
    const code = this.#code();
    if (code === NEWLINE || code === HASH) {
      if (!this.#nextLine()) return undefined;
      // A list may stand right below its key.
      return this.#column > column || (ofMap && this.#column === column && this.#isDash()) ? this.#block() : undefined;
    }
    if (!ofMap && (this.#isDash() || this.#isKey())) return this.#block();
    const value = this.#inline(false);
    if (value === undefined || !this.#restOfLine()) return undefined;
    // Deeper in, it would go on.
    return this.#nextLine() && this.#column > column ? undefined : value;
  }

  /** Something on one line. */
  #inline(inFlow: boolean): unknown {
    const code = this.#code();
    if (code === OPEN_LIST || code === OPEN_MAP) {
      if (this.#depth === MAX_DEPTH) return undefined;
      this.#depth += 1;
      const value = code === OPEN_LIST ? this.#flowList() : this.#flowMap();
      this.#depth -= 1;
      return value;
    }
    if (code === DOUBLE_QUOTE || code === SINGLE_QUOTE) return this.#quoted(code);
    return this.#plain(inFlow);
  }

  #flowList(): unknown {
    const value: unknown[] = [];
    const spot: ListSpot = { at: this.#at, items: [] };
    this.#at += 1;
    this.#spaces();
    let isLast = this.#code() === CLOSE_LIST;
    while (!isLast) {
      const item = this.#inline(true);
      const next = this.#afterItem();
      if (item === undefined || (next !== COMMA && next !== CLOSE_LIST)) return undefined;
      value.push(item);
      spot.items.push(this.spot);
      isLast = next === CLOSE_LIST;
      if (!isLast) this.#comma();
    }
    this.#at += 1;
    this.spot = spot;
    return value;
  }

  #flowMap(): unknown {
    const value: Record<string, unknown> = {};
    const spot: MapSpot = { at: this.#at, keys: [], keysAt: [], values: [] };
    this.#at += 1;
    this.#spaces();
    let isLast = this.#code() === CLOSE_MAP;
    while (!isLast) {
      const keyAt = this.#at;
      const key = this.#key();
      if (key === undefined || Object.hasOwn(value, key)) return undefined;
      this.#spaces();
      const member = this.#inline(true);
      const next = this.#afterItem();
      if (member === undefined || (next !== COMMA && next !== CLOSE_MAP)) return undefined;
      value[key] = member;
      this.#note(spot, key, keyAt);
      isLast = next === CLOSE_MAP;
      if (!isLast) this.#comma();
    }
    this.#at += 1;
    this.spot = spot;
    return value;
  }

  #afterItem(): number {
    this.#spaces();
    return this.#code();
  }

  #comma(): void {
    this.#at += 1;
    this.#spaces();
  }

  #quoted(quote: number): string | undefined {
    const from = this.#at + 1;
    for (let at = from; at < this.#text.length; at += 1) {
      const code = this.#text.charCodeAt(at);
      if (code === NEWLINE || (code === BACKSLASH && quote === DOUBLE_QUOTE)) return undefined;
      if (code !== quote) continue;
      if (quote === SINGLE_QUOTE && this.#code(at + 1) === SINGLE_QUOTE) return undefined;
      this.spot = this.#at;
      this.#at = at + 1;
      return this.#text.slice(from, at);
    }
    return undefined;
  }

  /** Text without quotes, a number, true or false. */
  #plain(inFlow: boolean): string | number | boolean | undefined {
    const from = this.#at;
    const first = this.#code();
    if (INDICATORS.has(first)) return undefined;
    if (first === DASH && INDICATORS.has(this.#code(from + 1))) return undefined;
    let at = from;
    /** Behind the last character that is no space. */
    let end = from;
    for (; at < this.#text.length; at += 1) {
      const code = this.#text.charCodeAt(at);
      if (code === SPACE) continue;
      if (code === NEWLINE || (code === HASH && end < at)) break;
      if (code === COLON && endsKey(this.#code(at + 1), inFlow)) return undefined;
      if (inFlow && isFlow(code)) break;
      end = at + 1;
    }
    this.#at = end;
    this.spot = from;
    return valueOf(this.#text.slice(from, end), first);
  }

  /** Reads a key with its colon. */
  #key(): string | undefined {
    const end = this.#keyEnd();
    if (end < 0) return undefined;
    const key = this.#text.slice(this.#at, end);
    if (NO_NAMES.has(key)) return undefined;
    this.#at = end + 1;
    return key;
  }

  #isKey(): boolean {
    return this.#keyEnd() >= 0;
  }

  /** Where the colon of the key is that stands here; -1: none does. */
  #keyEnd(): number {
    const limit = Math.min(this.#text.length, this.#at + MAX_KEY);
    for (let at = this.#at; at < limit; at += 1) {
      const code = this.#text.charCodeAt(at);
      if (code === COLON) {
        const next = this.#code(at + 1);
        return at > this.#at && (next === SPACE || next === NEWLINE) ? at : -1;
      }
      if (!isLetter(code) && (at === this.#at || !isInName(code))) return -1;
    }
    return -1;
  }

  /** Whether an item of a list begins here. */
  #isDash(): boolean {
    if (this.#code() !== DASH) return false;
    const next = this.#code(this.#at + 1);
    return next === SPACE || next === NEWLINE;
  }

  #spaces(): void {
    while (this.#text.charCodeAt(this.#at) === SPACE) this.#at += 1;
  }

  /** Whether nothing more is on the line but a comment, before which there has to be a space. */
  #restOfLine(): boolean {
    const from = this.#at;
    this.#spaces();
    const code = this.#code();
    return code === NEWLINE || (code === HASH && this.#at > from);
  }

  /** From the rest of a line, which says nothing, to the next that says something. Returns whether there is one. */
  #nextLine(): boolean {
    this.#skipLine();
    return this.#toContent();
  }

  /** From the beginning of a line to the first that says something. */
  #toContent(): boolean {
    for (;;) {
      this.#lineAt = this.#at;
      this.#spaces();
      if (this.#ended) return false;
      const code = this.#code();
      if (code !== NEWLINE && code !== HASH) return true;
      this.#skipLine();
    }
  }

  #skipLine(): void {
    const newline = this.#text.indexOf('\n', this.#at);
    this.#at = newline < 0 ? this.#text.length : newline + 1;
  }
}

function endsKey(next: number, inFlow: boolean): boolean {
  return next === SPACE || next === NEWLINE || (inFlow && isFlow(next));
}

function isFlow(code: number): boolean {
  return code === COMMA || code === CLOSE_LIST || code === CLOSE_MAP || code === OPEN_LIST || code === OPEN_MAP;
}

function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** Digits, and what names have between letters. */
function isInName(code: number): boolean {
  // - . / and digits, which stand in a row; _
  return (code >= DASH && code <= 0x39) || code === 0x5f;
}

/** The values that are not text, by the core schema of YAML 1.2; undefined: none, or a number that would not be written so. */
function valueOf(source: string, first: number): string | number | boolean | undefined {
  if (isLetter(first)) return source.length > 5 ? source : namedValue(source);
  if (source === '~') return undefined;
  // + - . / and digits, which stand in a row but for the comma.
  if (first < 0x2b || first > 0x39 || !NUMBER.test(source)) return source;
  const number = Number(source);
  return String(number) === source ? number : undefined;
}

const NUMBER =
  /^(?:0o[0-7]+|0x[\da-fA-F]+|[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;

function namedValue(source: string): string | boolean | undefined {
  if (!NO_NAMES.has(source)) return source;
  const lower = source.toLowerCase();
  return lower === 'null' ? undefined : lower === 'true';
}
