/**
 * What one call holds of its tenant's byte account, in both directions: charged when bytes arrive, given back when the far
 * socket has taken them or the call ends. With the account goes the window: who sends gets as much again as has moved on.
 */
import type { ByteAccount } from '../buffers/byte-account.ts';
import type { Stream } from '../http2/contract.ts';
import { type Creditor, HeldCredit } from './held-credit.ts';

export class HeldBytes {
  readonly #account: ByteAccount;
  readonly #client: Stream;
  readonly #clientCredit: HeldCredit;
  readonly #upstreamCredit: HeldCredit;
  /** Charged and not yet given back. */
  #request = 0;
  #response = 0;

  constructor(account: ByteAccount, client: Stream) {
    this.#account = account;
    this.#client = client;
    this.#clientCredit = new HeldCredit(account);
    this.#upstreamCredit = new HeldCredit(account);
  }

  requestArrived(bytes: number): void {
    this.#account.charge(bytes);
    this.#request += bytes;
  }

  /** The model server's socket has them, or nobody wants them any more. */
  requestTaken(bytes: number): void {
    this.#request -= bytes;
    this.#account.release(bytes);
    if (this.#client.remoteEnded) this.#client.credit(bytes);
    else this.#clientCredit.give(bytes, this.#client);
  }

  responseArrived(bytes: number): void {
    this.#account.charge(bytes);
    this.#response += bytes;
  }

  /** The client's socket has them. */
  responseWritten(bytes: number, leg: Creditor | undefined): void {
    this.#response -= bytes;
    this.#account.release(bytes);
    if (leg !== undefined) this.#upstreamCredit.give(bytes, leg);
  }

  /**
   * At the call's end: what was charged and will not move any more, or is in the output and not worth waiting for. The model
   * server's window goes back with it: no `onWritten` follows a reset, and a window that is not given back is missing to the
   * connection's other calls.
   */
  giveBack(leg: Creditor | undefined): void {
    if (this.#request > 0) this.requestTaken(this.#request);
    const held = this.#response;
    this.#response = 0;
    if (held === 0) return;
    this.#account.release(held);
    leg?.credit(held);
  }
}
