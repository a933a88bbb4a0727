/**
 * Window that one side of a call is owed, held back while the tenant's byte account is full. However many small frames it was
 * made of, it waits as one sum: what waits for a full account must not itself be memory that nobody has counted.
 */
import type { ByteAccount } from '../buffers/byte-account.ts';

/** Who gets the window: a stream, or the leg to the model server. */
export interface Creditor {
  credit(bytes: number): void;
}

export class HeldCredit {
  readonly #account: ByteAccount;
  #owedBytes = 0;
  #waiting: (() => void) | undefined;

  constructor(account: ByteAccount) {
    this.#account = account;
  }

  /** Gives the window now, or with all that is owed when the account is relieved. The creditor is the same each time. */
  give(bytes: number, to: Creditor): void {
    if (!this.#account.full) {
      to.credit(bytes);
      return;
    }
    this.#owedBytes += bytes;
    if (this.#waiting !== undefined) return;
    const waiting = (): void => {
      // Among those who are relieved together, one may have ended another.
      if (this.#waiting === waiting) this.#settle(to);
    };
    this.#waiting = waiting;
    this.#account.whenRelieved(waiting);
  }

  /** The call is over: gives what is owed now. With it would wait all that the call was, for as long as the account is full. */
  end(to: Creditor | undefined): void {
    if (this.#waiting === undefined) return;
    this.#account.forget(this.#waiting);
    this.#settle(to);
  }

  #settle(to: Creditor | undefined): void {
    const owed = this.#owedBytes;
    this.#waiting = undefined;
    this.#owedBytes = 0;
    to?.credit(owed);
  }
}
