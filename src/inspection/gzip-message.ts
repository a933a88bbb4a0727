/**
 * One compressed message, inflated beside the path that its compressed bytes take: what comes out is scanned and dropped.
 *
 * The gzip frame around the deflate stream is read here, strictly: exactly one member, no optional header fields, the right
 * checksum and size, nothing after it. Servers differ on concatenated members and trailing bytes (some append, some ignore,
 * some refuse), so what they could read differently is refused.
 */
import { crc32, createInflateRaw, type InflateRaw } from 'node:zlib';
import type { Denial } from '../kernel/denial.ts';
import type { Standing } from '../kernel/standing.ts';
import type { WireScanner } from '../protobuf/scanner.ts';
import type { GzipRewrite } from './gzip-rewrite.ts';

/** Receives the message's bytes in pieces; while it is `busy` with one, the next has to wait. */
export class GzipMessage {
  readonly #scanner: WireScanner;
  readonly #rewrite: GzipRewrite | undefined;
  readonly #standing: Standing | undefined;
  readonly #maxInflatedBytes: number;
  readonly #deflatedBytes: number;
  readonly #inflate: InflateRaw;
  readonly #frame = Buffer.alloc(HEADER_BYTES + TRAILER_BYTES);
  #frameBytes = 0;
  #fedBytes = 0;
  #inflatedBytes = 0;
  #crc = 0;
  #state: 'idle' | 'busy' | 'done' | 'failed' = 'idle';
  #denial: Denial | undefined;
  #waiter: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  /**
   * `bytes`: the message's compressed length. What is inflated goes to `scanner`, at most `maxInflatedBytes` of it, and then to
   * `rewrite`. `standing` pays for the inflater.
   */
  constructor(
    scanner: WireScanner,
    bytes: number,
    maxInflatedBytes: number,
    standing?: Standing,
    rewrite?: GzipRewrite,
  ) {
    this.#scanner = scanner;
    this.#rewrite = rewrite;
    this.#standing = standing;
    standing?.hold(INFLATER_BYTES);
    this.#maxInflatedBytes = maxInflatedBytes;
    this.#deflatedBytes = bytes - HEADER_BYTES - TRAILER_BYTES;
    this.#inflate = createInflateRaw({ chunkSize: OUTPUT_CHUNK_BYTES });
    this.#inflate.on('data', (output: Buffer) => this.#onOutput(output));
    this.#inflate.on('end', () => this.#onEnd());
    this.#inflate.on('error', () => this.#reject('the gzip data is broken'));
    scanner.begin(Number.POSITIVE_INFINITY);
    if (this.#deflatedBytes <= 0) this.#reject('too short for gzip');
  }

  /** True while a piece is being inflated: `feed` must wait for `settled`. */
  get busy(): boolean {
    return this.#state === 'busy';
  }

  /** Why the message is refused; known at the latest when it is not busy after its last byte. */
  get denial(): Denial | undefined {
    return this.#denial;
  }

  /** Resolves when it is no longer busy. */
  settled(): Promise<void> {
    this.#waiter ??= Promise.withResolvers<void>();
    return this.#waiter.promise;
  }

  /** Takes the message's next bytes. The chunk is referred to, not copied, until the piece is done. */
  feed(chunk: Buffer, start: number, end: number): void {
    let at = this.#feedFrame(chunk, start, end, HEADER_BYTES);
    if (this.#frameBytes === HEADER_BYTES && this.#fedBytes === 0 && !isPlainGzipHeader(this.#frame)) {
      this.#reject('not a plain gzip header');
    }
    if (this.#state !== 'idle') return;
    const step = Math.min(end - at, this.#deflatedBytes - this.#fedBytes);
    const piece = step > 0 ? chunk.subarray(at, at + step) : undefined;
    this.#fedBytes += step;
    at += step;
    if (this.#fedBytes === this.#deflatedBytes) this.#feedFrame(chunk, at, end, HEADER_BYTES + TRAILER_BYTES);
    const last = this.#frameBytes === HEADER_BYTES + TRAILER_BYTES;
    if (piece === undefined && !last) return;
    this.#state = 'busy';
    if (last) this.#inflate.end(piece);
    else this.#inflate.write(piece, () => this.#settle('idle'));
  }

  /** Frees the inflater. Needed when the message does not come to its end. */
  close(): void {
    this.#inflate.destroy();
    this.#settle('failed');
  }

  /** Gathers bytes of the gzip header or trailer until `full` of them are there. */
  #feedFrame(chunk: Buffer, start: number, end: number, full: number): number {
    const step = Math.min(end - start, Math.max(0, full - this.#frameBytes));
    chunk.copy(this.#frame, this.#frameBytes, start, start + step);
    this.#frameBytes += step;
    return start + step;
  }

  #onOutput(output: Buffer): void {
    if (this.#state === 'failed') return;
    this.#inflatedBytes += output.length;
    if (this.#inflatedBytes > this.#maxInflatedBytes) {
      this.#fail({ kind: 'message_too_large', bytes: this.#inflatedBytes, limitBytes: this.#maxInflatedBytes });
      return;
    }
    this.#crc = crc32(output, this.#crc);
    if (!this.#scanner.push(output, 0, output.length)) {
      const refusal = this.#scanner.refusal;
      this.#reject(refusal?.why ?? 'refused', refusal?.field);
      return;
    }
    const why = this.#rewrite?.inflated(output);
    if (why !== undefined) this.#reject(why);
  }

  /** The deflate stream is over; only right when that was all of it, and the trailer has come. */
  #onEnd(): void {
    if (this.#inflate.bytesWritten !== this.#deflatedBytes || this.#frameBytes < HEADER_BYTES + TRAILER_BYTES)
      this.#reject('bytes after the end of the gzip data');
    else if (this.#frame.readUInt32LE(HEADER_BYTES) !== this.#crc) this.#reject('wrong gzip checksum');
    else if (this.#frame.readUInt32LE(HEADER_BYTES + 4) !== this.#inflatedBytes % 2 ** 32)
      this.#reject('wrong gzip size');
    else this.#settle('done');
  }

  #reject(why: string, field = 'message'): void {
    this.#fail({ kind: 'payload_rejected', field, why });
  }

  #fail(denial: Denial): void {
    if (this.#state === 'failed') return;
    this.#denial = denial;
    this.#inflate.destroy();
    this.#settle('failed');
  }

  #settle(state: 'idle' | 'done' | 'failed'): void {
    if (this.#state === 'failed' || this.#state === 'done') return;
    this.#state = state;
    if (state !== 'idle') this.#standing?.letGo(INFLATER_BYTES);
    this.#waiter?.resolve();
    this.#waiter = undefined;
  }
}

const HEADER_BYTES = 10;
const TRAILER_BYTES = 8;
/** Memory for what comes out at a time; each piece costs a trip to libuv's thread pool. */
const OUTPUT_CHUNK_BYTES = 64 * 1024;
/** An inflater's state, its window of 32 KiB, and the chunk that it writes to. */
export const INFLATER_BYTES = OUTPUT_CHUNK_BYTES + 44 * 1024;

/** RFC 1952 §2.3: magic, deflate, no flags. No gRPC library writes names, comments or extra fields. */
function isPlainGzipHeader(header: Buffer): boolean {
  return header[0] === 0x1f && header[1] === 0x8b && header[2] === 8 && header[3] === 0;
}
