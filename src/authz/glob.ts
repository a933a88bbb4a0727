/**
 * Patterns over model names and versions: `*` stands for any characters, everything else for itself.
 *
 * Not a regular expression: the fixed pieces between stars are looked for once each from left to right, so matching takes
 * one pass and no pattern can make it backtrack.
 */
export class Glob {
  readonly #head: string;
  readonly #middle: readonly string[];
  /** undefined: no star, so the whole text is the head. */
  readonly #tail: string | undefined;

  constructor(pattern: string) {
    const pieces = pattern.split('*');
    this.#head = pieces[0] ?? '';
    this.#tail = pieces.length === 1 ? undefined : pieces.at(-1);
    this.#middle = pieces.length <= 2 ? NOTHING : pieces.slice(1, -1).filter((piece) => piece !== '');
  }

  /** True when the pattern covers the whole text. */
  matches(text: string): boolean {
    const tail = this.#tail;
    if (tail === undefined) return text === this.#head;
    if (text.length < this.#head.length + tail.length) return false;
    if (!text.startsWith(this.#head) || !text.endsWith(tail)) return false;
    const end = text.length - tail.length;
    let from = this.#head.length;
    for (const piece of this.#middle) {
      const at = text.indexOf(piece, from);
      if (at === -1 || at + piece.length > end) return false;
      from = at + piece.length;
    }
    return true;
  }
}

/** Between the stars of a pattern that has one, or none. */
const NOTHING: readonly string[] = [];
