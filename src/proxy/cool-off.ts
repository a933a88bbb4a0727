/**
 * Who was just sent away for what it did on its connection, and may not come back at once: one tenant's client at one address.
 *
 * A handshake costs more than most of what is done after it, and a flood costs what its limit allows. Whoever comes back each time
 * that it is thrown out makes every other tenant of the thread pay for both, again and again. gRPC's own clients wait a second
 * before they connect anew (connection-backoff.md, INITIAL_BACKOFF), so that one which only stumbled does not notice.
 */
import type { EpochMicros, TenantId } from '../kernel/ids.ts';

/** Who comes when so many are cooling off takes the place of the one that was thrown out first. */
export const MAX_COOLING = 4_096;

export class CoolOff {
  /** Until when, in microseconds; who was thrown out first comes first. */
  readonly #until = new Map<string, number>();

  /** A client of this tenant at this address was thrown out, and stays out for so many milliseconds; 0: it may come back. */
  begin(address: string, tenant: TenantId, now: EpochMicros, forMs: number): void {
    if (forMs === 0) return;
    const name = nameOf(address, tenant);
    this.#until.delete(name);
    if (this.#until.size >= MAX_COOLING) {
      const [first] = this.#until.keys();
      if (first !== undefined) this.#until.delete(first);
    }
    this.#until.set(name, now + forMs * 1000);
  }

  /** Whether a client of this tenant at this address has to wait. */
  has(address: string, tenant: TenantId, now: EpochMicros): boolean {
    if (this.#until.size === 0) return false;
    const name = nameOf(address, tenant);
    const until = this.#until.get(name);
    if (until === undefined) return false;
    if (now < until) return true;
    this.#until.delete(name);
    return false;
  }
}

function nameOf(address: string, tenant: TenantId): string {
  return `${address} ${tenant}`;
}
