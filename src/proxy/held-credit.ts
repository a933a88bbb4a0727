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

  constructor(account: ByteAccount) {
    this.#account = account;
  }

  /** Gives the window now, or with all that is owed when the account is relieved. The creditor is the same each time. */
  give(bytes: number, to: Creditor): void {
    if (!this.#account.full) {
      to.credit(bytes);
      return;
    }
    if (this.#owedBytes === 0) this.#account.whenRelieved(() => this.#settle(to));
    this.#owedBytes += bytes;
  }

  #settle(to: Creditor): void {
    const owed = this.#owedBytes;
    this.#owedBytes = 0;
    to.credit(owed);
  }
}
