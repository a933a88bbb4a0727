/**
 * The response of one call on its way out of its tenant's namespace: the client gets its own names back, and of lists its own names only.
 *
 * A message that cannot be read goes on as it came: what it names is the tenant's own, and what it means is between client and server.
 * Not so a list of all tenants' names: what cannot be told apart is not passed on.
 */
import type { Standing } from '../kernel/standing.ts';
import type { FieldPlan } from '../protobuf/field-plan.ts';
import { WireScanner } from '../protobuf/scanner.ts';
import type { TextCache } from '../protobuf/text-cache.ts';
import { FRAME_HEADER_BYTES, frameHeader, MessageRewrite, NAME_WINDOW_BYTES } from './message-rewrite.ts';
import type { MethodNames } from './method-names.ts';

/** The longest list of all tenants' names that can be told apart. */
export const MAX_NAME_LIST_BYTES = 1024 * 1024;

/** One call's. `push`, then take what `rewrite` puts out. */
export class ResponseNames {
  readonly rewrite: MessageRewrite;
  readonly #scanner: WireScanner;
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
  static of(names: MethodNames, texts: TextCache, standing: Standing): ResponseNames | undefined {
    return names.response === undefined ? undefined : new ResponseNames(names, names.response, texts, standing);
  }

  private constructor(names: MethodNames, plan: FieldPlan, texts: TextCache, standing: Standing) {
    this.#isList = names.lists === true;
    const options = this.#isList ? { windowBytes: MAX_NAME_LIST_BYTES, standing } : { standing };
    this.rewrite = new MessageRewrite(names.leaving, options);
    this.#scanner = new WireScanner(plan, texts, this.rewrite.edits);
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
      if (this.#reads && !(this.#scanner.push(chunk, at, stop) && (!last || this.#scanner.finish()))) {
        this.#reads = false;
        this.rewrite.edits.abandon();
      }
      if (this.#isList && !this.#reads) return UNREADABLE;
      this.rewrite.take(chunk, from, at, stop, last);
      this.#inMessage = !last;
      at = stop;
    }
    return undefined;
  }

  /** The response has ended. Returns why that cannot be passed on. */
  end(): string | undefined {
    if (this.#inMessage && this.#isList) return 'a list of names that ends before it is whole';
    if (this.#inMessage) this.rewrite.flush();
    else if (this.#headerBytes > 0) this.rewrite.put(this.#begunHeader());
    return undefined;
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
    this.#scanner.begin(length);
    if (!this.#reads) this.rewrite.edits.abandon();
    this.rewrite.begin(length, flag);
  }
}

/** A frame's length has 32 bits, and on its way back an integer may take more bytes than it came in. */
const LONGEST_NAMED_BYTES = 2 ** 32 - NAME_WINDOW_BYTES;
const UNREADABLE = 'a list of names that cannot be read';
