/**
 * A store of leases in memory, which decides as the scripts of the real one do (`src/quota/lease-scripts.ts`), with a clock that a test sets,
 * and which can be away. Its answers come when their turn of the event loop is over.
 */
import { err, ok, type Result } from '../../src/kernel/result.ts';
import type {
  LeaseStore,
  RateLease,
  RateRequest,
  StoreFailure,
  WindowLease,
  WindowRequest,
} from '../../src/quota/lease-store.ts';

interface Field {
  used: number;
  held: number;
  heardMs: number;
}

export class FakeLeaseStore implements LeaseStore {
  nowMs: number;
  away: StoreFailure | undefined;
  /** What was asked, newest last. */
  readonly asked: WindowRequest[] = [];
  #windows = new Map<string, { readonly birthMs: number; readonly fields: Map<string, Field> }>();
  readonly #rates = new Map<string, number>();

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  /** Loses its memory. */
  forget(): void {
    this.#windows = new Map();
  }

  async window(request: WindowRequest): Promise<Result<WindowLease, StoreFailure>> {
    this.asked.push(request);
    if (this.away !== undefined) return err(this.away);
    const { key, process, first, mark, limit, want, least, leaseMs, settling, reports } = request;
    const known = this.#windows.get(key) ?? { birthMs: this.nowMs, fields: new Map<string, Field>() };
    this.#windows.set(key, known);
    for (const { mark: at, used } of reports)
      known.fields.set(`${at}|${process}`, { used, held: 0, heardMs: this.nowMs + leaseMs });
    let sum = 0;
    let mine = 0;
    let processes = 1;
    for (const [name, { used, held, heardMs }] of known.fields) {
      const [at = '', who] = name.split('|');
      if (Number(at) < first || Number(at) > mark) continue;
      if (who === process) mine += used;
      else {
        sum += used + (heardMs > this.nowMs ? held : 0);
        if (heardMs > this.nowMs && Number(at) === mark) processes += 1;
      }
    }
    const free = Math.max(0, limit - sum - mine);
    let granted = Math.min(free, Math.max(least, Math.min(want, Math.ceil(free / processes))));
    if (this.nowMs < known.birthMs + leaseMs / 2) granted = Math.min(granted, Math.max(0, settling - mine));
    const own = known.fields.get(`${mark}|${process}`);
    if (own !== undefined) own.held = granted;
    const { birthMs } = known;
    return ok({ held: granted, free: free - granted, processes, birthMs, nowMs: this.nowMs, isFolded: false });
  }

  async rate({
    key,
    intervalMicros,
    toleranceMicros,
    want,
    debt,
  }: RateRequest): Promise<Result<RateLease, StoreFailure>> {
    if (this.away !== undefined) return err(this.away);
    const now = this.nowMs * 1_000;
    const at = Math.min(Math.max(now, this.#rates.get(key) ?? 0) + debt * intervalMicros, now + toleranceMicros);
    const tokens = Math.max(0, Math.min(want, Math.floor((now + toleranceMicros - at) / intervalMicros)));
    this.#rates.set(key, at + tokens * intervalMicros);
    const waitMicros =
      tokens < want ? Math.max(0, at + tokens * intervalMicros + intervalMicros - now - toleranceMicros) : 0;
    return ok({ tokens, waitMicros, nowMs: this.nowMs });
  }

  close(): void {}
}
