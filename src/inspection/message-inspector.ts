/**
 * Reads the model and version out of each request message of one call, while the bytes pass.
 *
 * A server acts on a message only when it has the whole of it. So everything up to a message's last piece may be forwarded as
 * it comes; the piece that ends it waits for the verdict on the values that the server will see.
 */
import type { Denial } from '../kernel/denial.ts';
import type { Standing } from '../kernel/standing.ts';
import type { Measures } from '../protobuf/measures.ts';
import type { WireScanner } from '../protobuf/scanner.ts';
import { GzipMessage } from './gzip-message.ts';
import { GzipRewrite } from './gzip-rewrite.ts';
import type { MessageReader, MessageReaders } from './message-reader.ts';
import type { MessageRewrite } from './message-rewrite.ts';
import type { MethodEntry } from './method-table.ts';
import { KEY_SLOT, MODEL_SLOT, VERSION_SLOT } from './shape.ts';

/**
 * What `scan` found in `chunk` from `offset` on:
 * - `more`: no message ends here; all of it may be forwarded.
 * - `message`: one ends at `end` (exclusive); `[offset, end)` waits for the verdict on `model` and `version`. Then, if anything is
 *   left, `scan(chunk, end)`.
 * - `inflating`: nothing can be said before `ready`; then call again with the same bytes, in the same chunk or one that begins
 *   at `offset`.
 * - `reject`: `denial` says why. Final.
 */
export type ScanOutcome = 'more' | 'message' | 'inflating' | 'reject';

/** What a request asks for. */
export interface ModelTarget {
  /** Empty when it names none. */
  readonly model: string;
  /** Empty when it leaves the choice to the server. */
  readonly version: string;
}

/** All that a request asks for: the first, and what it names besides. */
export interface RequestedModels extends ModelTarget {
  readonly further: readonly ModelTarget[];
  /** Of the message with its prefix, as it came; absent: there was none. */
  readonly bytes?: number;
}

export interface InspectionLimits {
  /** One message as declared by its length prefix, compressed or not. */
  readonly maxMessageBytes: number;
  /** What one compressed message may inflate to. */
  readonly maxInflatedBytes: number;
}

/** Where a message pays for its bytes before any of it goes on. */
export interface MessageToll {
  /** `bytes`: of the message with its prefix. Says why it may not. */
  pay(bytes: number): Denial | undefined;
  /** Gathers what a message's content costs; absent: nobody asks. */
  readonly measures?: Measures | undefined;
}

/** One call's inspector, and after `message` what that asks for. No more than one chunk is referred to at a time, and nothing is allocated per chunk. */
export class MessageInspector implements RequestedModels {
  readonly #entry: MethodEntry;
  readonly #encoding: 'identity' | 'gzip';
  readonly #limits: InspectionLimits;
  readonly #standing: Standing | undefined;
  readonly #toll: MessageToll | undefined;
  /** From the first message on; none where the method's messages are not read. */
  #reader: MessageReader | undefined;
  #closed = false;
  #headerBytes = 0;
  #compressed = false;
  #length = 0;
  #inMessage = false;
  #remaining = 0;
  #gzip: GzipMessage | undefined;
  #gzipRewrite: GzipRewrite | undefined;
  /** The bytes that `scan` is called with again are being inflated already. */
  #fed = false;
  /** From `offset` to the end of the message that is being inflated, once its end has come. */
  #heldBytes = 0;
  #end = 0;
  #messages = 0;
  #model = '';
  #version = '';
  #further: readonly ModelTarget[] = NO_TARGETS;
  #denial: Denial | undefined;

  /** `standing` pays for the inflaters of compressed messages. */
  constructor(
    entry: MethodEntry,
    encoding: 'identity' | 'gzip',
    limits: InspectionLimits,
    standing?: Standing,
    toll?: MessageToll,
  ) {
    this.#entry = entry;
    this.#standing = standing;
    this.#toll = toll;
    this.#encoding = encoding;
    this.#limits = limits;
  }

  /** What costs tokens is read where somebody counts them. */
  get #readers(): MessageReaders | undefined {
    return this.#entry.requests ?? (this.#toll?.measures === undefined ? undefined : this.#entry.tokenRequests);
  }

  /** Whether the method's messages have names in them: then what goes on is what `rewrite` puts out, and not the chunk. */
  get rewrites(): boolean {
    return this.#entry.names !== undefined && this.#entry.requests !== undefined;
  }

  /** While a message is under way, and until the next. */
  get rewrite(): MessageRewrite | undefined {
    return this.#reader?.rewrite;
  }

  /** After `message`: where in the chunk it ends, exclusive. */
  get end(): number {
    return this.#end;
  }

  /** After `message`: the model it names; empty when it names none, or the method reads none. */
  get model(): string {
    return this.#model;
  }

  /** After `message`: the version it names; empty when it leaves the choice to the server. */
  get version(): string {
    return this.#version;
  }

  /** After `message`: what it asks for besides; a message may name several models. */
  get further(): readonly ModelTarget[] {
    return this.#further;
  }

  /** After `message`: what it was long, with its prefix. */
  get bytes(): number {
    return this.#length + FRAME_HEADER_BYTES;
  }

  /** After `reject`. */
  get denial(): Denial | undefined {
    return this.#denial;
  }

  /** After `inflating`: settles when `scan` can say more. Never rejects. */
  get ready(): Promise<void> | undefined {
    return this.#gzip?.busy === true ? this.#gzip.settled() : undefined;
  }

  /** Whole messages so far. */
  get messages(): number {
    return this.#messages;
  }

  /** Bytes of the message under way that have not come. */
  get missingBytes(): number {
    return this.#inMessage ? this.#remaining : 0;
  }

  /** Which message the caller has begun and not finished, or in a unary call not ended; undefined between messages of a stream. */
  get unfinished(): number | undefined {
    return this.#inMessage || this.#headerBytes > 0 || !this.#entry.requestStreaming ? this.#messages : undefined;
  }

  /** Continues at `offset` of `chunk`, the stream's next bytes. */
  scan(chunk: Buffer, offset: number): ScanOutcome {
    if (this.#closed) this.#denial ??= { kind: 'internal', cause: 'a message behind the end of its request' };
    if (this.#denial !== undefined) return 'reject';
    let at = offset;
    const from = this.#inMessage || this.#headerBytes > 0 ? -1 : offset;
    if (!this.#inMessage) {
      at = this.#readHeader(chunk, offset);
      if (this.#headerBytes < FRAME_HEADER_BYTES) return this.#denial === undefined ? 'more' : 'reject';
      if (!this.#beginMessage()) return 'reject';
    }
    if (this.#gzip !== undefined) return this.#scanCompressed(this.#gzip, chunk, offset, at);
    const stop = Math.min(at + this.#remaining, chunk.length);
    const reader = this.#reader;
    if (reader !== undefined && !reader.scanner.push(chunk, at, stop)) return this.#rejectScan(reader.scanner);
    this.#remaining -= stop - at;
    reader?.rewrite?.take(chunk, from, at, stop, this.#remaining === 0);
    return this.#remaining === 0 ? this.#endMessage(stop) : 'more';
  }

  /** The request stream has ended: a denial when that was not between two messages, or not after the one of a unary call. */
  finish(): Denial | undefined {
    if (this.#denial !== undefined) return this.#denial;
    if (this.#inMessage || this.#headerBytes > 0) this.#reject('the stream ends inside a message');
    else if (this.#messages === 0 && !this.#entry.requestStreaming) this.#reject('the stream ends without a message');
    if (this.#denial !== undefined) this.close();
    return this.#denial;
  }

  /** Frees what a message in progress holds: the call is over, or its request has gone on whole. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#gzip?.close();
    this.#gzipRewrite?.close();
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader === undefined) return;
    // One that something may still write to is left to the collector.
    if (this.#inMessage || this.#denial !== undefined) reader.rewrite?.close();
    else this.#readers?.give(reader);
  }

  /** Reads flag and length, which may come in pieces too. Returns where the message's body begins. */
  #readHeader(chunk: Buffer, offset: number): number {
    let at = offset;
    while (at < chunk.length && this.#headerBytes < FRAME_HEADER_BYTES) {
      const byte = chunk[at++] ?? 0;
      if (this.#headerBytes++ > 0) {
        this.#length = this.#length * 0x100 + byte;
        continue;
      }
      this.#length = 0;
      this.#compressed = byte === 1;
      if (byte > 1) {
        this.#reject('the compressed flag is neither 0 nor 1');
        return at;
      }
    }
    return at;
  }

  #beginMessage(): boolean {
    this.#headerBytes = 0;
    this.#inMessage = true;
    this.#remaining = this.#length;
    const { maxMessageBytes, maxInflatedBytes } = this.#limits;
    if (this.#length > maxMessageBytes) {
      this.#denial = { kind: 'message_too_large', bytes: this.#length, limitBytes: maxMessageBytes };
    } else if (this.#messages > 0 && !this.#entry.requestStreaming) {
      this.#reject('more than one message');
    } else if (this.#compressed && this.#encoding === 'identity') {
      this.#denial = { kind: 'encoding_unsupported', encoding: 'a compressed message without grpc-encoding' };
    } else {
      this.#denial = this.#toll?.pay(this.#length + FRAME_HEADER_BYTES);
    }
    if (this.#denial !== undefined) return false;
    const reader = (this.#reader ??= this.#readers?.take(this.#standing, this.#toll?.measures));
    if (reader === undefined) return true;
    if (this.#compressed) this.#beginCompressed(reader, maxInflatedBytes);
    else {
      reader.scanner.begin(this.#length);
      reader.rewrite?.begin(this.#length);
    }
    return true;
  }

  #beginCompressed({ scanner, rewrite }: MessageReader, maxInflatedBytes: number): void {
    if (rewrite !== undefined) this.#gzipRewrite = new GzipRewrite(rewrite, this.#length, this.#standing);
    this.#gzip = new GzipMessage(scanner, this.#length, maxInflatedBytes, this.#standing, this.#gzipRewrite);
  }

  #scanCompressed(gzip: GzipMessage, chunk: Buffer, offset: number, at: number): ScanOutcome {
    if (gzip.busy) return 'inflating';
    if (gzip.denial === undefined && this.#remaining > 0 && !this.#fed) {
      const stop = Math.min(at + this.#remaining, chunk.length);
      this.#gzipRewrite?.compressed(chunk, at, stop);
      gzip.feed(chunk, at, stop);
      this.#remaining -= stop - at;
      this.#heldBytes = stop - offset;
      // More of it may go on its way meanwhile, unless that is what it decides on; the end may not.
      if (gzip.denial === undefined && this.#remaining > 0 && this.#gzipRewrite === undefined) return 'more';
      this.#fed = gzip.busy;
      if (gzip.busy) return 'inflating';
    }
    this.#fed = false;
    if (gzip.denial !== undefined) {
      this.#denial = gzip.denial;
      return 'reject';
    }
    if (this.#remaining > 0) return 'more';
    this.#gzip = undefined;
    return this.#endMessage(offset + this.#heldBytes);
  }

  #endMessage(end: number): ScanOutcome {
    const scanner = this.#reader?.scanner;
    if (scanner !== undefined) {
      if (!scanner.finish()) return this.#rejectScan(scanner);
      if (!this.#judgeNames(scanner)) return 'reject';
      // Read for their names alone, they name no model: the server has one.
      if (this.#entry.servedModel !== '' || this.#entry.plan === undefined) this.#model = this.#entry.servedModel;
      else if (this.#entry.readsModel) this.#model = scanner.value(MODEL_SLOT);
      this.#version = scanner.value(VERSION_SLOT);
      this.#further = scanner.targets === 1 ? NO_TARGETS : furtherTargets(scanner);
    } else {
      this.#model = this.#entry.servedModel;
    }
    this.#inMessage = false;
    this.#messages += 1;
    this.#end = end;
    return 'message';
  }

  /** What a request may not name, whatever the namespace. */
  #judgeNames(scanner: WireScanner): boolean {
    this.#gzipRewrite?.end();
    this.#gzipRewrite = undefined;
    const { names } = this.#entry;
    if (names?.required === true && this.rewrite?.edits.named !== true) this.#reject(ALL_REGIONS, 'name');
    else if (names?.key === true && !names.keys.allow(scanner.value(KEY_SLOT)))
      this.#reject(`must begin with ${names.keys.prefixes.map((prefix) => `/${prefix}`).join(' or ')}`, 'key');
    return this.#denial === undefined;
  }

  #rejectScan(scanner: WireScanner): ScanOutcome {
    const refusal = scanner.refusal;
    this.#reject(refusal?.why ?? 'refused', refusal?.field);
    return 'reject';
  }

  #reject(why: string, field = 'message'): void {
    this.#denial = { kind: 'payload_rejected', field, why };
  }
}

const ALL_REGIONS = 'names no region, which means those of all tenants';
const NO_TARGETS: readonly ModelTarget[] = [];

function furtherTargets(scanner: WireScanner): readonly ModelTarget[] {
  return Array.from({ length: scanner.targets - 1 }, (_, index) => ({
    model: scanner.value(MODEL_SLOT, index + 1),
    version: scanner.value(VERSION_SLOT, index + 1),
  }));
}

/** Compressed-Flag and Message-Length (gRPC over HTTP/2, Length-Prefixed-Message). */
const FRAME_HEADER_BYTES = 5;
