/**
 * What all workers together know of the model servers' health. Each worker asks for itself; a server is as well as the worker says
 * that thinks worst of it, since that one refuses its calls.
 */
import type { HealthReport } from '../proxy/health-probes.ts';
import type { Health } from '../proxy/upstream-health.ts';

/** A model server's health is another now. */
export interface HealthChange {
  readonly upstream: string;
  /** What is asked for; empty: the server as a whole. */
  readonly service: string;
  readonly before: Health['at'];
  readonly now: Health;
}

export interface HealthBoardOptions {
  readonly changed: (change: HealthChange) => void;
  /** So many more have changed at the same time than are told one by one. */
  readonly moreChanged: (count: number) => void;
}

/** Changes that one worker's report may tell of one by one: a log is no place for ten thousand lines at once. */
export const MAX_CHANGES_TOLD = 100;

const UNKNOWN: Health = { at: 'unknown' };
/** Worst last. */
const ORDER: readonly Health['at'][] = ['unknown', 'healthy', 'no_service', 'unhealthy'];

export class HealthBoard {
  readonly #options: HealthBoardOptions;
  /** By key, then by worker. */
  readonly #known = new Map<string, Map<number, HealthReport>>();

  constructor(options: HealthBoardOptions) {
    this.#options = options;
  }

  /** The health of the server that a key stands for. */
  of(key: string): Health {
    return worst(this.#known.get(key));
  }

  /** A worker tells what is new. */
  hear(worker: number, reports: readonly HealthReport[]): void {
    this.#apply(reports.map((report) => ({ report, worker })));
  }

  /** A worker is gone, and what it knew. */
  forget(worker: number): void {
    const last = [...this.#known.values()].flatMap((workers) => workers.get(worker) ?? []);
    this.#apply(last.map((report) => ({ report: { ...report, health: { at: 'ended' } }, worker })));
  }

  #apply(news: readonly { readonly report: HealthReport; readonly worker: number }[]): void {
    let changes = 0;
    for (const { report, worker } of news) {
      const { key, upstream, service } = report;
      const before = this.of(key).at;
      this.#put(worker, report);
      const now = this.of(key);
      if (now.at === before) continue;
      changes++;
      if (changes <= MAX_CHANGES_TOLD) this.#options.changed({ upstream, service, before, now });
    }
    if (changes > MAX_CHANGES_TOLD) this.#options.moreChanged(changes - MAX_CHANGES_TOLD);
  }

  #put(worker: number, report: HealthReport): void {
    const { key } = report;
    const workers = this.#known.get(key) ?? new Map<number, HealthReport>();
    if (report.health.at === 'ended') workers.delete(worker);
    else workers.set(worker, report);
    if (workers.size === 0) this.#known.delete(key);
    else this.#known.set(key, workers);
  }
}

function worst(workers: ReadonlyMap<number, HealthReport> | undefined): Health {
  let found = UNKNOWN;
  for (const { health } of workers?.values() ?? []) {
    if (health.at !== 'ended' && ORDER.indexOf(health.at) > ORDER.indexOf(found.at)) found = health;
  }
  return found;
}
