/**
 * The health checks of one worker: one for each model server that a tenant with clients has, however many tenants it serves. Ten
 * thousand tenants of one server ask it once.
 */
import { createHash } from 'node:crypto';
import type { UpstreamConfig } from '../config/upstream-config.ts';
import type { OutputBuffers } from '../http2/contract.ts';
import { OutputBufferPool } from '../http2/output-buffer-pool.ts';
import type { Turn } from '../kernel/turn.ts';
import { HealthProbe } from './health-probe.ts';
import { type Health, UpstreamHealth } from './upstream-health.ts';

/** What a worker tells of a model server whose health is another than last told. */
export interface HealthReport {
  /** `healthKeyOf` its configuration. */
  readonly key: string;
  /** Its address as written, and the service that is asked for. */
  readonly upstream: string;
  readonly service: string;
  /** `ended`: nobody asks any more. */
  readonly health: Health | { readonly at: 'ended' };
}

/** A pool's part in a health check. */
export interface HealthWatch {
  readonly now: Health;
  readonly recoveries: number;
  /** The pool wants to know no more; what it last knew stays. */
  leave(): void;
}

interface Entry {
  readonly health: UpstreamHealth;
  readonly probe: HealthProbe;
  pools: number;
}

export interface HealthProbesOptions {
  readonly turn: Turn;
  /** 0..1; a test gives its own. */
  readonly random?: () => number;
}

export class HealthProbes {
  readonly #turn: Turn;
  readonly #random: () => number;
  /** Of their own: nothing of a tenant is ever in them. */
  readonly #buffers: OutputBuffers = new OutputBufferPool(4);
  readonly #entries = new Map<string, Entry>();
  #reports = new Map<string, HealthReport>();

  constructor({ turn, random = Math.random }: HealthProbesOptions) {
    this.#turn = turn;
    this.#random = random;
  }

  /** How many servers are asked now. */
  get size(): number {
    return this.#entries.size;
  }

  /** Begins to ask, if nobody does yet. Undefined when the server is not to be asked. */
  join(upstream: UpstreamConfig): HealthWatch | undefined {
    const key = healthKeyOf(upstream);
    if (key === undefined) return undefined;
    const entry = this.#entries.get(key) ?? this.#begin(key, upstream);
    entry.pools++;
    let joined = true;
    return {
      get now(): Health {
        return entry.health.now;
      },
      get recoveries(): number {
        return entry.health.recoveries;
      },
      leave: () => {
        if (!joined) return;
        joined = false;
        entry.pools--;
        if (entry.pools === 0) this.#end(key, upstream, entry);
      },
    };
  }

  /** What is new since it was last asked. */
  takeReports(): readonly HealthReport[] {
    const reports = [...this.#reports.values()];
    this.#reports = new Map();
    return reports;
  }

  #begin(key: string, upstream: UpstreamConfig): Entry {
    const check = upstream.healthCheck;
    if (check === undefined) throw new TypeError('a key stands for a health check');
    const health = new UpstreamHealth(check);
    const probe = new HealthProbe({
      upstream,
      check,
      turn: this.#turn,
      buffers: this.#buffers,
      random: this.#random,
      onObservation: (observation) => {
        if (health.observe(observation)) this.#report(key, upstream, health.now);
      },
    });
    const entry = { health, probe, pools: 0 };
    this.#entries.set(key, entry);
    return entry;
  }

  #end(key: string, upstream: UpstreamConfig, entry: Entry): void {
    this.#entries.delete(key);
    entry.probe.stop();
    this.#report(key, upstream, { at: 'ended' });
  }

  #report(key: string, upstream: UpstreamConfig, health: HealthReport['health']): void {
    this.#reports.set(key, { key, upstream: upstream.display, service: upstream.healthCheck?.service ?? '', health });
  }
}

const keys = new WeakMap<UpstreamConfig, string>();

/**
 * The same for upstreams that are asked the same, in the same way, of the same server; undefined without a health check. A hash: a
 * client certificate's key is in what it is made from.
 */
export function healthKeyOf(upstream: UpstreamConfig): string | undefined {
  const { target, tls, authority, connectTimeoutMs, healthCheck } = upstream;
  if (healthCheck === undefined) return undefined;
  let key = keys.get(upstream);
  if (key === undefined) {
    const text = JSON.stringify({ target, tls, authority, connectTimeoutMs, healthCheck });
    key = createHash('sha256').update(text).digest('base64url');
    keys.set(upstream, key);
  }
  return key;
}
