/**
 * Sends one compressed message on. Without names it goes as it came, compressed. With names it has to be written anew, and its length
 * stands in front of it: it is gathered as it is inflated, and goes on uncompressed.
 *
 * Which of the two it is, is known when what was inflated is as long as the window for names. Until then what came waits.
 */
import type { Standing } from '../kernel/standing.ts';
import {
  FRAME_HEADER_BYTES,
  frameHeader,
  type MessageRewrite,
  NAME_WINDOW_BYTES,
  writeFrameHeader,
} from './message-rewrite.ts';

/** The longest inflated message with names. */
export const MAX_GATHERED_BYTES = 4 * 1024 * 1024;

type State = 'undecided' | 'as it is' | 'gathering';

export class GzipRewrite {
  readonly #rewrite: MessageRewrite;
  readonly #length: number;
  readonly #standing: Standing | undefined;
  #state: State = 'undecided';
  readonly #waiting = new Gathered();
  readonly #inflated = new Gathered();

  /** A message of so many compressed bytes begins, whose frame has come. */
  constructor(rewrite: MessageRewrite, length: number, standing: Standing | undefined) {
    this.#rewrite = rewrite;
    this.#length = length;
    this.#standing = standing;
  }

  /** Takes its next bytes, before they are inflated; what came before has been. */
  compressed(chunk: Buffer, start: number, end: number): void {
    // A hostile stream may go on without ever giving a byte.
    if (this.#state === 'undecided' && this.#waiting.bytes >= MAX_WAITING_BYTES) this.#decide();
    if (this.#state === 'undecided') this.#standing?.hold(this.#waiting.add(chunk, start, end));
    else if (this.#state === 'as it is') this.#rewrite.put(chunk.subarray(start, end));
  }

  /** Takes what was inflated, when the scanner has read it. Returns why it cannot be. */
  inflated(output: Buffer): string | undefined {
    if (this.#state === 'as it is') return undefined;
    if (this.#inflated.bytes + output.length > MAX_GATHERED_BYTES && this.#state === 'gathering') return TOO_LONG;
    this.#standing?.hold(this.#inflated.add(output, 0, output.length));
    if (this.#state === 'undecided' && this.#inflated.bytes >= NAME_WINDOW_BYTES) this.#decide();
    return undefined;
  }

  /** The message is whole. */
  end(): void {
    if (this.#state === 'undecided') this.#decide();
    if (this.#state !== 'gathering') return;
    const { edits } = this.#rewrite;
    const body = this.#inflated.take();
    const growth = edits.close();
    const changed = edits.changedBytes;
    const head = edits.apply(body, 0, changed, growth, FRAME_HEADER_BYTES);
    writeFrameHeader(head, body.length + growth);
    this.#rewrite.put(head);
    this.#rewrite.put(body.subarray(changed));
    this.close();
  }

  /** Gives back what it holds. */
  close(): void {
    this.#standing?.letGo(this.#inflated.drop() + this.#waiting.drop());
  }

  #decide(): void {
    if (this.#rewrite.edits.any) this.#state = 'gathering';
    else {
      this.#state = 'as it is';
      this.#rewrite.edits.close();
      this.#rewrite.put(frameHeader(this.#length, 1));
      this.#rewrite.put(this.#waiting.take());
      this.#standing?.letGo(this.#inflated.drop());
    }
    this.#standing?.letGo(this.#waiting.drop());
  }
}

/** Bytes that are copied together, in memory of their own. */
class Gathered {
  bytes = 0;
  #buffer = NOTHING;

  /** Returns by how much its memory has grown. */
  add(chunk: Buffer, start: number, end: number): number {
    const needed = this.bytes + end - start;
    const before = this.#buffer.length;
    if (needed > before) {
      const larger = Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, needed * 2));
      this.#buffer.copy(larger, 0, 0, this.bytes);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.bytes, start, end);
    this.bytes = needed;
    return this.#buffer.length - before;
  }

  take(): Buffer {
    return this.#buffer.subarray(0, this.bytes);
  }

  /** Returns how much memory that was. */
  drop(): number {
    const { length } = this.#buffer;
    this.#buffer = NOTHING;
    this.bytes = 0;
    return length;
  }
}

const NOTHING = Buffer.alloc(0);
const LEAST_BYTES = 1_024;
/** Compressed bytes that wait at most, beside the piece that is being inflated. */
const MAX_WAITING_BYTES = NAME_WINDOW_BYTES + 8 * 1024;
const TOO_LONG = 'names something and inflates to more than 4 MiB: send it uncompressed';
