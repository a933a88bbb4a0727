/**
 * The response of one call on its way out of its tenant's namespace: the client gets its own names back, and of lists its own names only.
 *
 * A message that cannot be read goes on as it came: what it names is the tenant's own, and what it means is between client and server.
 * Not so a list of all tenants' names: what cannot be told apart is not passed on.
 */
import type { Standing } from '../kernel/standing.ts';
import type { MessageReader, MessageReaders } from './message-reader.ts';
import { FRAME_HEADER_BYTES, frameHeader, NAME_WINDOW_BYTES } from './message-rewrite.ts';
import { MAX_NAME_LIST_BYTES } from './method-names.ts';
import type { MethodEntry } from './method-table.ts';

/** One call's. `push`, then take what it puts out. */
export class ResponseNames {
  readonly #readers: MessageReaders;
  readonly #standing: Standing;
  /** While a message is under way, or something waits to be taken. */
  #reader: MessageReader | undefined;
  readonly #isList: boolean;
  /** Of the message whose header is being read. */
  #flag = 0;
  #length = 0;
  #headerBytes = 0;
  #inMessage = false;
  #remaining = 0;
  /** The message is read, and can be. */
  #reads = false;

  /** Undefined for a method whose responses have no names. `standing` pays for what is held. */
  static of({ names, responses }: MethodEntry, standing: Standing): ResponseNames | undefined {
    return responses && new ResponseNames(responses, names?.lists === true, standing);
  }

  private constructor(readers: MessageReaders, isList: boolean, standing: Standing) {
    this.#readers = readers;
    this.#isList = isList;
    this.#standing = standing;
  }

  /** What may be sent on now, if that is one piece; undefined: nothing, or `takeOutput` has more. */
  takeOnly(): Buffer | undefined {
    const only = this.#reader?.rewrite?.takeOnly();
    if (only !== undefined) this.#rest();
    return only;
  }

  /** What may be sent on now. */
  takeOutput(): readonly Buffer[] {
    const output = this.#reader?.rewrite?.takeOutput() ?? NONE;
    this.#rest();
    return output;
  }

  /** Takes the response's next bytes, in any pieces. Returns why they cannot be passed on. */
  push(chunk: Buffer): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      const from = this.#inMessage || this.#headerBytes > 0 ? -1 : at;
      if (!this.#inMessage) {
        at = this.#readHeader(chunk, at);
        if (!this.#inMessage) return undefined;
      }
      const stop = Math.min(at + this.#remaining, chunk.length);
      this.#remaining -= stop - at;
      const last = this.#remaining === 0;
      const { scanner, rewrite } = this.#taken();
      if (this.#reads && !(scanner.push(chunk, at, stop) && (!last || scanner.finish()))) {
        this.#reads = false;
        rewrite?.edits.abandon();
      }
      if (this.#isList && !this.#reads) return UNREADABLE;
      rewrite?.take(chunk, from, at, stop, last);
      this.#inMessage = !last;
      at = stop;
    }
    return undefined;
  }

  /** The response has ended. Returns why that cannot be passed on. */
  end(): string | undefined {
    if (this.#inMessage && this.#isList) return 'a list of names that ends before it is whole';
    if (this.#inMessage) this.#taken().rewrite?.flush();
    else if (this.#headerBytes > 0) this.#taken().rewrite?.put(this.#begunHeader());
    return undefined;
  }

  #taken(): MessageReader {
    this.#reader ??= this.#readers.take(this.#standing);
    return this.#reader;
  }

  /** All that was put out has been taken: between two messages the reader is not needed. */
  #rest(): void {
    if (this.#inMessage || this.#reader === undefined) return;
    this.#readers.give(this.#reader);
    this.#reader = undefined;
  }

  #readHeader(chunk: Buffer, offset: number): number {
    let at = offset;
    while (at < chunk.length && this.#headerBytes < FRAME_HEADER_BYTES) {
      const byte = chunk[at++] ?? 0;
      if (this.#headerBytes++ > 0) {
        this.#length = this.#length * 0x100 + byte;
        continue;
      }
      this.#flag = byte;
      this.#length = 0;
    }
    if (this.#headerBytes === FRAME_HEADER_BYTES) {
      this.#headerBytes = 0;
      this.#beginMessage(this.#flag, this.#length);
    }
    return at;
  }

  /** What has come of a header. */
  #begunHeader(): Buffer {
    const missing = FRAME_HEADER_BYTES - this.#headerBytes;
    return frameHeader(this.#length * 0x100 ** missing, this.#flag).subarray(0, this.#headerBytes);
  }

  #beginMessage(flag: number, length: number): void {
    this.#inMessage = true;
    this.#remaining = length;
    // Of a list that is too long to be held whole, what is held would go on with an entry in it that nobody has judged.
    this.#reads = flag === 0 && length <= (this.#isList ? MAX_NAME_LIST_BYTES : LONGEST_NAMED_BYTES);
    const { scanner, rewrite } = this.#taken();
    scanner.begin(length);
    if (!this.#reads) rewrite?.edits.abandon();
    rewrite?.begin(length, flag);
  }
}

/** A frame's length has 32 bits, and on its way back an integer may take more bytes than it came in. */
const LONGEST_NAMED_BYTES = 2 ** 32 - NAME_WINDOW_BYTES;
const NONE: readonly Buffer[] = [];
const UNREADABLE = 'a list of names that cannot be read';
