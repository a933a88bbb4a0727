/**
 * Refusals before a call exists: handshakes that fail, connections that break the protocol or a limit. They are on record
 * too, but gathered per peer, reason and second, so that an attack cannot fill the log with itself.
 */
import type { RefusalRecord } from '../audit/record.ts';
import type { EpochMicros } from '../kernel/ids.ts';

/** What is known when nothing was let in. */
export type Refusal = Omit<RefusalRecord, 'type' | 'at' | 'count'>;

/** Distinct (peer, reason, server name) of one second; what comes on top is counted under `_overflow`. */
const MAX_DISTINCT_PER_SECOND = 256;
const GATHER_MS = 1_000;

export class Refusals {
  readonly #append: (record: RefusalRecord) => void;
  readonly #count: (reason: string) => void;
  readonly #now: () => EpochMicros;
  readonly #gathered = new Map<string, { readonly refusal: Refusal; readonly at: EpochMicros; count: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(now: () => EpochMicros, append: (record: RefusalRecord) => void, count: (reason: string) => void) {
    this.#now = now;
    this.#append = append;
    this.#count = count;
  }

  /** Notes a refusal; it is on record within a second. */
  add(refusal: Refusal): void {
    this.#count(refusal.reason);
    let key = `${refusal.peerAddress} ${refusal.reason} ${refusal.serverName}`;
    let noted = refusal;
    if (!this.#gathered.has(key) && this.#gathered.size >= MAX_DISTINCT_PER_SECOND) {
      key = '_overflow';
      noted = {
        reason: '_overflow',
        serverName: '',
        tenantClaim: '',
        peerAddress: '',
        detail: 'further peers of this second',
      };
    }
    const known = this.#gathered.get(key);
    if (known === undefined) this.#gathered.set(key, { refusal: noted, at: this.#now(), count: 1 });
    else known.count++;
    this.#timer ??= setTimeout(() => this.flush(), GATHER_MS).unref();
  }

  /** Writes what was gathered: each second, and at the end. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { refusal, at, count } of this.#gathered.values())
      this.#append({ type: 'refusal', at, ...refusal, count });
    this.#gathered.clear();
  }
}
