/**
 * Who presented which token first: a table that all workers share, so that the answer is exact for the process.
 *
 * Open addressing in shared memory, without locks: a worker that dies in the middle of anything holds up nobody. An entry is put in
 * by one compare-and-exchange and looked for once more afterwards: of two workers that put the same token in at the same
 * moment, in two places, at least one sees the other. What is kept of a token is a keyed hash, so that nobody can choose where
 * it comes to lie, nor read it in a dump.
 */
import { createHmac, randomFillSync } from 'node:crypto';
import type { EpochMicros } from '../kernel/ids.ts';

/** Tokens of one tenant that are remembered at once, until they end. Beyond it new ones are refused. */
export const MAX_REMEMBERED_TOKENS = 32_768;

/** Looked through for a token: at no more than half full, runs of taken places are far shorter. */
const WINDOW = 128;

/**
 * An entry stays so long after its token's end: a worker in a long turn goes by an older clock than one that would let it go, and
 * would let the token in a second time.
 */
const GRACE_MICROS = 60_000_000;

const HMAC_KEY_BYTES = 32;
const HEADER_BYTES = 64;
/** Places taken, places that may be, and the second in which those that have ended were last let go. */
const COUNTS = 3;
const SLOT_WORDS = 3;
const SLOT_BYTES = SLOT_WORDS * 8;

const EMPTY = 0n;
/** Its entry has ended; what lies behind it was put there when it had not. */
const FREED = 1n;
/** Somebody is writing it. */
const BUSY = 2n;

/** A token, and who presents it. */
export interface TokenUse {
  readonly issuer: string;
  /** `jti`. */
  readonly id: string;
  /** Whatever names the certificate, connection or call. */
  readonly holder: string;
  /** Remembered until then, and a minute longer; of several ends, until the last. */
  readonly expiresAt: EpochMicros;
}

/** Memory for the tokens of one tenant. Pages that nobody has written to take no room. */
export function newReplayMemory(maxTokens = MAX_REMEMBERED_TOKENS): SharedArrayBuffer {
  // Twice as many places as tokens.
  const memory = new SharedArrayBuffer(HEADER_BYTES + 2 * maxTokens * SLOT_BYTES);
  new Int32Array(memory, 0, COUNTS)[1] = maxTokens;
  const key = Buffer.alloc(HMAC_KEY_BYTES);
  new Uint8Array(memory, HEADER_BYTES - HMAC_KEY_BYTES, HMAC_KEY_BYTES).set(randomFillSync(key));
  return memory;
}

export class ReplayTable {
  readonly #counts: Int32Array;
  readonly #slots: BigInt64Array;
  readonly #places: number;
  readonly #key: Buffer;

  constructor(memory: SharedArrayBuffer) {
    this.#counts = new Int32Array(memory, 0, COUNTS);
    this.#slots = new BigInt64Array(memory, HEADER_BYTES);
    this.#places = this.#slots.length / SLOT_WORDS;
    this.#key = Buffer.from(new Uint8Array(memory, HEADER_BYTES - HMAC_KEY_BYTES, HMAC_KEY_BYTES));
  }

  /** `own`: nobody else has presented this token. `full`: that cannot be remembered, so it must not be let in. */
  claim({ issuer, id, holder, expiresAt }: TokenUse, now: EpochMicros): 'own' | 'replay' | 'full' {
    const name = this.#hash(`${issuer}\0${id}`);
    const owner = this.#hash(`holder\0${holder}`);
    const first = Number(BigInt.asUintN(52, name)) % this.#places;
    for (;;) {
      const found = this.#look(first, name, now);
      if (found.owner !== undefined) {
        if (found.owner !== owner) return 'replay';
        this.#prolong(found.at, expiresAt);
        return 'own';
      }
      if (found.free === undefined || !this.#reserve(found.held, now)) return 'full';
      if (Atomics.compareExchange(this.#slots, found.free, found.held, BUSY) !== found.held) {
        // Somebody was faster.
        if (isVacant(found.held)) Atomics.sub(this.#counts, 0, 1);
        continue;
      }
      Atomics.store(this.#slots, found.free + 1, owner);
      Atomics.store(this.#slots, found.free + 2, BigInt(expiresAt + GRACE_MICROS));
      Atomics.store(this.#slots, found.free, name);
      return this.#isContested(first, name, owner, now) ? 'replay' : 'own';
    }
  }

  /** Whose a token is, or where it could be put and what is there. */
  #look(first: number, name: bigint, now: EpochMicros): Found {
    let free: number | undefined;
    let held = EMPTY;
    for (let step = 0; step < WINDOW && step < this.#places; step += 1) {
      const at = ((first + step) % this.#places) * SLOT_WORDS;
      const there = Atomics.load(this.#slots, at);
      const isOver = isVacant(there) || (there !== BUSY && this.#hasEnded(at, now));
      if (there === name && !isOver) return { owner: Atomics.load(this.#slots, at + 1), at };
      if (isOver && free === undefined) {
        free = at;
        held = there;
      }
      // Nothing was ever put behind it.
      if (there === EMPTY) break;
    }
    return { owner: undefined, free, held };
  }

  /** An issuer that is asked about a token may say another time that it ends later. */
  #prolong(at: number, expiresAt: EpochMicros): void {
    const known = Atomics.load(this.#slots, at + 2);
    const end = BigInt(expiresAt + GRACE_MICROS);
    // One that was let go meanwhile, and is another's, has another end.
    if (end > known) Atomics.compareExchange(this.#slots, at + 2, known, end);
  }

  /** Whether somebody else has put the same token in meanwhile. */
  #isContested(first: number, name: bigint, owner: bigint, now: EpochMicros): boolean {
    for (let step = 0; step < WINDOW && step < this.#places; step += 1) {
      const at = ((first + step) % this.#places) * SLOT_WORDS;
      if (Atomics.load(this.#slots, at) !== name || this.#hasEnded(at, now)) continue;
      if (Atomics.load(this.#slots, at + 1) !== owner) return true;
    }
    return false;
  }

  /** Counts a place that was vacant; false when there are as many as may be, also when those that have ended are let go. */
  #reserve(held: bigint, now: EpochMicros): boolean {
    if (!isVacant(held)) return true;
    const most = this.#counts[1] ?? 0;
    if (Atomics.add(this.#counts, 0, 1) < most) return true;
    if (this.#mayLetGo(now)) this.#letGo(now);
    if (Atomics.load(this.#counts, 0) <= most) return true;
    Atomics.sub(this.#counts, 0, 1);
    return false;
  }

  /** Once a second: a table that is full must not have every new token look through all of it. */
  #mayLetGo(now: EpochMicros): boolean {
    const second = Math.floor(now / 1_000_000) % 0x7fff_ffff;
    return Atomics.exchange(this.#counts, 2, second) !== second;
  }

  #letGo(now: EpochMicros): void {
    for (let at = 0; at < this.#slots.length; at += SLOT_WORDS) {
      const there = Atomics.load(this.#slots, at);
      if (isVacant(there) || there === BUSY || !this.#hasEnded(at, now)) continue;
      if (Atomics.compareExchange(this.#slots, at, there, FREED) === there) Atomics.sub(this.#counts, 0, 1);
    }
  }

  #hasEnded(at: number, now: EpochMicros): boolean {
    return now >= Number(Atomics.load(this.#slots, at + 2));
  }

  #hash(text: string): bigint {
    const digest = createHmac('sha256', this.#key).update(text).digest();
    const word = digest.readBigInt64LE();
    // The three least are marks.
    return word >= EMPTY && word <= BUSY ? word + 3n : word;
  }
}

type Found =
  | { readonly owner: bigint; readonly at: number }
  | { readonly owner: undefined; readonly free: number | undefined; readonly held: bigint };

function isVacant(held: bigint): boolean {
  return held === EMPTY || held === FREED;
}
