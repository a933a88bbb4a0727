/**
 * Request bytes that are kept until the model server has shown that it took the call: if it says that it never looked at the
 * stream, the call is sent once more (gRFC A6, transparent retries).
 *
 * They are copied into slabs, one after the other: a piece kept as it came would keep all alive that the socket read with it.
 * The slabs are the tenant's own, which pays for them, and few. When they are full the oldest is reused, and the calls in it are
 * no longer sent again: a refusal comes within a round trip, so they have most likely been taken.
 */
import type { ByteAccount } from '../buffers/byte-account.ts';
import { OUTPUT_BUFFER_BYTES, type OutputBuffers } from '../http2/contract.ts';

/** What is kept of one call at most. A call that has sent more is not sent again: copying tensors would cost more than it saves. */
export const MAX_REPLAY_BYTES = OUTPUT_BUFFER_BYTES;

/** Slabs of one tenant in one worker: 1 MiB. */
const MAX_SLABS = 16;
/** And no more than this share of its account. */
const MAX_ACCOUNT_SHARE = 1 / 4;

interface Slab {
  readonly buffer: Buffer;
  used: number;
  /** Pieces of calls that are in it. */
  pieces: number;
  /** Its memory has gone back: what was kept in it is lost. */
  gone: boolean;
}

/** One per upstream pool. */
export class ReplayStore {
  readonly account: ByteAccount;
  readonly #buffers: OutputBuffers;
  /** Oldest first; pieces go into the last. */
  readonly #slabs: Slab[] = [];

  constructor(buffers: OutputBuffers, account: ByteAccount) {
    this.#buffers = buffers;
    this.account = account;
  }

  /** Slabs that hold something. */
  get slabs(): number {
    return this.#slabs.length;
  }

  /** The slab into which so many bytes go next; undefined while the account has no room for one. */
  slabFor(bytes: number): Slab | undefined {
    const last = this.#slabs.at(-1);
    if (last !== undefined && last.used + bytes <= last.buffer.length) return last;
    const { account } = this;
    const share = Math.floor((account.limitBytes * MAX_ACCOUNT_SHARE) / OUTPUT_BUFFER_BYTES);
    const oldest = this.#slabs[0];
    if (oldest !== undefined && this.#slabs.length >= Math.max(1, Math.min(MAX_SLABS, share))) this.#giveBack(oldest);
    if (account.full || account.used + OUTPUT_BUFFER_BYTES > account.limitBytes) return undefined;
    const slab: Slab = { buffer: this.#buffers.take(), used: 0, pieces: 0, gone: false };
    this.#slabs.push(slab);
    return slab;
  }

  /** Keeps nothing of any call: there is too little memory, and no call fails for it that its model server takes. */
  forget(): void {
    for (const slab of [...this.#slabs]) this.#giveBack(slab);
  }

  /** One piece in this slab is needed no longer. */
  leave(slab: Slab): void {
    slab.pieces--;
    if (slab.pieces === 0 && !slab.gone) this.#giveBack(slab);
  }

  #giveBack(slab: Slab): void {
    slab.gone = true;
    this.#slabs.splice(this.#slabs.indexOf(slab), 1);
    this.#buffers.give(slab.buffer);
  }
}

/** Bytes of one call in a slab. */
interface Piece {
  readonly slab: Slab;
  readonly from: number;
  to: number;
}

/** What is kept of one call. */
export class Replay {
  readonly #store: ReplayStore;
  /** Nearly every request is one piece: the others have a list when there are any. */
  #first: Piece | undefined;
  #others: Piece[] | undefined;
  #bytes = 0;
  /** Still whole: every byte of the request so far is here. */
  #whole = true;
  /** Charged for the copy that is being sent again. */
  #charged = 0;

  constructor(store: ReplayStore) {
    this.#store = store;
  }

  /** Keeps a copy of what is sent, or gives up. */
  keep(chunk: Buffer): void {
    if (!this.#whole || chunk.length === 0) return;
    const slab = this.#bytes + chunk.length > MAX_REPLAY_BYTES ? undefined : this.#store.slabFor(chunk.length);
    if (slab === undefined) return this.drop();
    const from = slab.used;
    slab.used += chunk.copy(slab.buffer, from);
    this.#bytes += chunk.length;
    const last = this.#others?.at(-1) ?? this.#first;
    if (last !== undefined && last.slab === slab && last.to === from) {
      last.to = slab.used;
      return;
    }
    slab.pieces++;
    const piece = { slab, from, to: slab.used };
    if (this.#first === undefined) this.#first = piece;
    else (this.#others ??= []).push(piece);
  }

  /** The whole request so far, to be sent again; undefined when it is not here any more. At most once. */
  take(): Buffer | undefined {
    const pieces = this.#pieces();
    if (!this.#whole || pieces.some(({ slab }) => slab.gone)) return undefined;
    const copy = Buffer.allocUnsafeSlow(this.#bytes);
    let at = 0;
    for (const { slab, from, to } of pieces) at += slab.buffer.copy(copy, at, from, to);
    this.drop();
    this.#charged = copy.length;
    this.#store.account.charge(copy.length);
    return copy;
  }

  /** The model server has answered, or the call has ended: nothing is kept any more. */
  drop(): void {
    this.#whole = false;
    if (this.#charged > 0) this.#store.account.release(this.#charged);
    this.#charged = 0;
    if (this.#first === undefined) return;
    this.#store.leave(this.#first.slab);
    if (this.#others !== undefined) for (const { slab } of this.#others) this.#store.leave(slab);
    this.#first = undefined;
    this.#others = undefined;
  }

  #pieces(): readonly Piece[] {
    return this.#first === undefined ? [] : [this.#first, ...(this.#others ?? [])];
  }
}
