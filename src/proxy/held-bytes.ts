/**
 * What one call holds of its tenant's byte account, in both directions: charged when bytes arrive, given back when the far
 * socket has taken them or the call ends. With the account goes the window: who sends gets as much again as has moved on.
 *
 * Beside them stands what the call itself is: its records and headers, the inflater of a compressed message.
 */
import type { ByteAccount } from '../buffers/byte-account.ts';
import type { HeaderBlock, Stream } from '../http2/contract.ts';
import type { Standing } from '../kernel/standing.ts';
import { type Creditor, HeldCredit } from './held-credit.ts';

/**
 * What a call is in memory beside its bytes: two streams, their windows and queues, the trail, the head, the leg. Measured: 5 to 6 KiB
 * for one that waits for its model server.
 */
export const CALL_BYTES = 6 * 1024;

export class HeldBytes implements Standing {
  readonly #account: ByteAccount;
  readonly #client: Stream;
  readonly #clientCredit: HeldCredit;
  readonly #upstreamCredit: HeldCredit;
  /** Charged and not yet given back. */
  #request = 0;
  #response = 0;
  #standing = 0;
  /** Of these, bytes that no sender has sent: rewriting made them, and nobody is owed a window for them. */
  #requestExtra = 0;
  #responseExtra = 0;

  constructor(account: ByteAccount, client: Stream) {
    this.#account = account;
    this.#client = client;
    this.#clientCredit = new HeldCredit(account);
    this.#upstreamCredit = new HeldCredit(account);
  }

  /** All that would be free if the call ended. */
  get bytes(): number {
    return this.#request + this.#response + this.#standing;
  }

  /** The call begins, with these headers. */
  began(block: HeaderBlock): void {
    this.hold(CALL_BYTES);
    this.holdHeaders(block);
  }

  /** Headers that stay as long as the call: the request's, and the answer's, which wait for a client that may not read them. */
  holdHeaders(block: HeaderBlock): void {
    let bytes = 0;
    for (let at = 0; at < block.length; at++) bytes += block[at]?.length ?? 0;
    this.hold(bytes);
  }

  hold(bytes: number): void {
    this.#account.hold(bytes);
    this.#standing += bytes;
  }

  /** After `giveBack` there is nothing left to let go. */
  letGo(bytes: number): void {
    const held = Math.min(bytes, this.#standing);
    this.#standing -= held;
    this.#account.letGo(held);
  }

  requestArrived(bytes: number): void {
    this.#account.charge(bytes);
    this.#request += bytes;
  }

  /** The model server's socket has them, or nobody wants them any more. */
  requestTaken(bytes: number): void {
    this.#request -= bytes;
    this.#account.release(bytes);
    const extra = Math.min(bytes, this.#requestExtra);
    this.#requestExtra -= extra;
    const owed = bytes - extra;
    if (owed === 0) return;
    if (this.#client.remoteEnded) this.#client.credit(owed);
    else this.#clientCredit.give(owed, this.#client);
  }

  /** Rewriting has made the request longer by so many bytes than what came, or shorter. */
  requestGrew(bytes: number): void {
    if (bytes < 0) this.requestTaken(-bytes);
    else if (bytes > 0) {
      this.requestArrived(bytes);
      this.#requestExtra += bytes;
    }
  }

  responseArrived(bytes: number): void {
    this.#account.charge(bytes);
    this.#response += bytes;
  }

  /** The client's socket has them. */
  responseWritten(bytes: number, leg: Creditor | undefined): void {
    this.#response -= bytes;
    this.#account.release(bytes);
    const extra = Math.min(bytes, this.#responseExtra);
    this.#responseExtra -= extra;
    if (leg !== undefined && bytes > extra) this.#upstreamCredit.give(bytes - extra, leg);
  }

  /** Rewriting has made the response longer by so many bytes than what came, or shorter. */
  responseGrew(bytes: number, leg: Creditor | undefined): void {
    if (bytes < 0) this.responseWritten(-bytes, leg);
    else if (bytes > 0) {
      this.responseArrived(bytes);
      this.#responseExtra += bytes;
    }
  }

  /**
   * At the call's end: what was charged and will not move any more, or is in the output and not worth waiting for. The model
   * server's window goes back with it: no `onWritten` follows a reset, and a window that is not given back is missing to the
   * connection's other calls.
   */
  giveBack(leg: Creditor | undefined): void {
    this.letGo(this.#standing);
    if (this.#request > 0) this.requestTaken(this.#request);
    this.#clientCredit.end(this.#client);
    this.#upstreamCredit.end(leg);
    const held = this.#response;
    this.#response = 0;
    if (held === 0) return;
    this.#account.release(held);
    leg?.credit(held - this.#responseExtra);
    this.#responseExtra = 0;
  }
}
