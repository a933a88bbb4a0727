/**
 * Has a call pay for the model server's time while it runs: from its first whole message to the end of its answer, times the weight of
 * the models that it names. A part is paid ahead; when that is used up and no more is to be had, the call ends.
 */
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { Demand } from '../quota/holding.ts';
import type { Deadlines, Mortal, Watch } from './deadlines.ts';

export interface ComputeClockOptions {
  readonly estimateMs: number;
  readonly deadlines: Deadlines;
  now(): EpochMicros;
  pay(demands: readonly Demand[]): Denial | undefined;
  /** What was paid ahead is used up, and there is no more. */
  exhausted(denial: Denial): void;
}

/** Less is not worth paying ahead: the clock that ends calls is no finer. */
const LEAST_AHEAD_MICROS = 10_000;

export class ComputeClock implements Mortal {
  readonly #options: ComputeClockOptions;
  #weight = 0;
  #from: EpochMicros | undefined;
  #watch: Watch | undefined;
  /** Weighted microseconds: used until the last payment, and paid for. */
  #used = 0;
  #paid = 0;
  /** What was used before the weight became what it is, and when that was. */
  #before = 0;
  #stopped = false;

  constructor(options: ComputeClockOptions) {
    this.#options = options;
  }

  /** Weighted microseconds so far. */
  get micros(): number {
    return this.#used;
  }

  /** What the next message is to reserve, for a model of this weight. */
  demand(weight: number): Demand {
    const heavier = Math.max(weight, this.#weight);
    return { unit: 'computeSeconds', use: 0, reserve: Math.ceil(this.#options.estimateMs * 1_000 * heavier) };
  }

  /** A message has been permitted and has paid its demand. */
  begin(weight: number): void {
    const now = this.#options.now();
    if (this.#from !== undefined && weight <= this.#weight) return;
    this.#before = this.#total(now);
    this.#from = now;
    this.#weight = Math.max(weight, this.#weight);
    this.#paid = Math.max(this.#paid, this.#used + Math.ceil(this.#options.estimateMs * 1_000 * this.#weight));
    this.#watchOut(now);
  }

  /** What was paid ahead is used up. */
  expire(): void {
    this.#watch = undefined;
    const now = this.#options.now();
    const use = this.#total(now) - this.#used;
    if (this.#stopped) return;
    let ahead = this.#options.estimateMs * 1_000;
    let denial: Denial | undefined;
    do {
      const reserve = Math.ceil(ahead * this.#weight);
      denial = this.#options.pay([{ unit: 'computeSeconds', use, reserve }]);
      if (denial === undefined) {
        this.#used += use;
        this.#paid = this.#used + reserve;
        return this.#watchOut(now);
      }
      ahead /= 2;
    } while (denial.kind === 'quota_exhausted' && ahead >= LEAST_AHEAD_MICROS);
    if (denial.kind !== 'overloaded') return this.#options.exhausted(denial);
    // Nobody knows whether there is more: it is asked again in a moment.
    this.#paid = this.#total(now) + LEAST_AHEAD_MICROS * this.#weight;
    this.#watchOut(now);
  }

  /** The answer has ended: what is still to be written down. */
  stop(): Demand | undefined {
    if (this.#watch !== undefined) this.#options.deadlines.forget(this.#watch);
    this.#watch = undefined;
    if (this.#from === undefined || this.#stopped) return undefined;
    this.#stopped = true;
    const use = this.#total(this.#options.now()) - this.#used;
    this.#used += use;
    return use > 0 ? { unit: 'computeSeconds', use, reserve: 0 } : undefined;
  }

  #total(now: EpochMicros): number {
    return this.#from === undefined ? 0 : this.#before + Math.ceil(Math.max(0, now - this.#from) * this.#weight);
  }

  #watchOut(now: EpochMicros): void {
    if (this.#watch !== undefined) this.#options.deadlines.forget(this.#watch);
    const left = (this.#paid - this.#total(now)) / this.#weight;
    // A number of microseconds since the epoch, like the one that it is made of.
    const due = (now + Math.max(0, left)) as EpochMicros;
    this.#watch = this.#options.deadlines.watch(this, due);
  }
}
