/**
 * The main thread's hold on the store that sidecars share: connects to it where the configuration says so, keeps the leases, and says how
 * it is. Without a `fleet` section none of it is loaded.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { FleetConfig } from '../config/fleet-config.ts';
import type { Generation } from '../config/generation.ts';
import { systemClock } from '../kernel/clock.ts';
import { fleetLimits } from '../quota/fleet-limits.ts';
import { type LeaseEvents, LeaseKeeper, type StoreState } from '../quota/lease-keeper.ts';
import type { LeaseStore } from '../quota/lease-store.ts';
import { LimitCells } from '../quota/limit-cells.ts';
import type { SharedState } from '../quota/shared-state.ts';
import type { MetricsRegistry } from '../telemetry/metrics.ts';

export interface FleetHandleOptions {
  readonly shared: SharedState;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  readonly event: (event: string, detail: string) => void;
}

/** What is taken is counted, and what runs low is renewed, so often. */
const TICK_MS = 25;
/** The start waits so long for the first leases, beyond the time for one answer. */
const CONNECT_MS = 1_000;
/** At the end, for what was used to be told. */
const END_MS = 1_000;
/** A store that comes and goes fills no log: so many lines in so long. */
const MAX_LINES = 4;
const LOG_EVERY_MS = 10_000;

export class FleetHandle {
  readonly #options: FleetHandleOptions;
  readonly #cells: LimitCells;
  #keeper: LeaseKeeper | undefined;
  #store: LeaseStore | undefined;
  #config: FleetConfig | undefined;
  #tick: NodeJS.Timeout | undefined;
  #loggedAtMs = Number.NEGATIVE_INFINITY;
  #loggedCount = 0;

  constructor(options: FleetHandleOptions) {
    this.#options = options;
    this.#cells = new LimitCells(options.shared.limits);
  }

  /** How the store is; undefined: there is none. */
  get state(): StoreState | undefined {
    return this.#keeper?.state;
  }

  /** Cells that are looked after. */
  get leases(): number {
    return this.#keeper?.size ?? 0;
  }

  /** Connects and leases, before the first call comes. A store that is away does not keep the sidecar from starting. */
  async start(generation: Generation): Promise<void> {
    const keeper = await this.#open(generation);
    if (keeper === undefined) return;
    await keeper.begin();
    this.#tick = setInterval(() => keeper.tick(), TICK_MS).unref();
  }

  async #open(generation: Generation): Promise<LeaseKeeper | undefined> {
    const { fleet } = generation;
    if (fleet === undefined) return undefined;
    this.#config = fleet;
    const { RedisLeaseStore } = await import('../quota/redis-lease-store.ts');
    const store = new RedisLeaseStore(fleet);
    this.#store = store;
    await store.connected(CONNECT_MS);
    const keeper = new LeaseKeeper({
      cells: this.#cells,
      epoch: this.#options.shared.epoch,
      store,
      process: randomBytes(9).toString('base64url'),
      leaseMs: fleet.leaseMs,
      localShare: fleet.localShare,
      limits: fleetLimits(this.#cells, fleet, generation),
      now: () => systemClock.now(),
      events: this.#events(),
    });
    this.#keeper = keeper;
    return keeper;
  }

  /** A new configuration is in use, with the same namespace and salt (`whatDoesNotFit`). */
  async apply(generation: Generation): Promise<void> {
    const { fleet } = generation;
    const [keeper, before, old] = [this.#keeper, this.#config, this.#store];
    if (fleet === undefined) {
      await this.stop();
      return;
    }
    if (keeper === undefined || old === undefined) {
      // Workers say themselves what they use: with them there, nothing is entered from here.
      const opened = await this.#open(generation);
      this.#tick = setInterval(() => opened?.tick(), TICK_MS).unref();
      return;
    }
    let store = old;
    const connection = ({ redis, timeoutMs }: FleetConfig): string => JSON.stringify({ redis, timeoutMs });
    if (before === undefined || connection(before) !== connection(fleet)) {
      const { RedisLeaseStore } = await import('../quota/redis-lease-store.ts');
      const next = new RedisLeaseStore(fleet);
      await next.connected(CONNECT_MS);
      store = next;
    }
    keeper.change(store, fleetLimits(this.#cells, fleet, generation), fleet.leaseMs, fleet.localShare);
    if (store !== old) old.close();
    this.#store = store;
    this.#config = fleet;
  }

  /** Tells the store what was used, and gives back what is held. When there is no worker any more. */
  async stop(): Promise<void> {
    clearInterval(this.#tick);
    await this.#keeper?.end(END_MS);
    this.#keeper = undefined;
    this.#store = undefined;
  }

  #events(): LeaseEvents {
    const { log, metrics, event } = this.#options;
    return {
      storeBack: (awayMs) => {
        if (awayMs === 0) return;
        this.#log(() => {
          event('fleet_store_back', `after ${Math.round(awayMs)} ms`);
          log.info(
            { awayMs: Math.round(awayMs) },
            'the store of the fleet’s limits answers again; what was used meanwhile is told',
          );
        });
      },
      storeAway: ({ why, detail }) => {
        this.#log(() => {
          event('fleet_store_away', `${why}: ${detail}`);
          log.warn(
            { why, detail },
            'the store of the fleet’s limits does not answer; what is leased holds until it ends, then this sidecar’s share',
          );
        });
      },
      storeFailed: (why) => metrics.count('bulkhead_fleet_store_failures_total', { why }),
      clockMoved: (byMs) => {
        event('fleet_store_clock_moved', `by ${Math.round(byMs)} ms`);
        log.warn(
          { byMs: Math.round(byMs) },
          'the clock of the store of the fleet’s limits has moved; windows follow it',
        );
      },
    };
  }

  #log(write: () => void): void {
    const now = performance.now();
    if (now - this.#loggedAtMs < LOG_EVERY_MS && this.#loggedCount >= MAX_LINES) return;
    if (now - this.#loggedAtMs >= LOG_EVERY_MS) {
      this.#loggedAtMs = now;
      this.#loggedCount = 0;
    }
    this.#loggedCount += 1;
    write();
  }
}
