/**
 * One egress listener's configuration, compiled for one worker: its byte account, buffers and connections to the ingress.
 */
import { ByteAccount } from '../buffers/byte-account.ts';
import type { Pressure } from '../buffers/pressure.ts';
import { type SlabReserve, Slabs } from '../buffers/slabs.ts';
import type { EgressConfig, LimitsConfig } from '../config/generation.ts';
import type { Turn } from '../kernel/turn.ts';
import type { SharedTables } from '../quota/shared-state.ts';
import { poolSource } from './tenant-runtime.ts';
import { UpstreamPool } from './upstream-pool.ts';

/** What the worker lends to every egress listener. */
export interface EgressResources {
  readonly turn: Turn;
  /** The egress listeners' own tables. */
  readonly tables: SharedTables;
  /** What the process-wide ceiling says; without it there is none. */
  readonly pressure?: Pressure;
  readonly slabReserve: SlabReserve;
}

export class EgressRuntime {
  readonly config: EgressConfig;
  readonly account: ByteAccount;
  readonly slabs: Slabs;
  readonly pool: UpstreamPool;
  /** What its connections to the ingress were made from. */
  readonly #poolSource: string;

  /** `previous` lends what need not change: the account, the buffers, and the connections if the upstream is the same. */
  constructor(
    config: EgressConfig,
    limits: LimitsConfig,
    resources: EgressResources,
    previous: EgressRuntime | undefined,
  ) {
    this.config = config;
    this.account = previous?.account ?? newAccount(config, resources);
    this.account.setLimit(config.byteAccountBytes);
    this.slabs = keptSlabs(config, previous) ?? new Slabs(resources.slabReserve, undefined, this.account);
    this.#poolSource = poolSource(config.upstream, limits);
    this.pool = this.#keptPool(previous) ?? this.#newPool(limits, resources.turn);
  }

  /** Gives back the memory that its next call can do without. */
  trim(): void {
    this.pool.replays.forget();
    this.slabs.trim();
  }

  /** The old connections of one that is not kept end with their calls. */
  #keptPool(previous: EgressRuntime | undefined): UpstreamPool | undefined {
    if (previous === undefined) return undefined;
    if (previous.#poolSource === this.#poolSource) return previous.pool;
    previous.pool.drain();
    return undefined;
  }

  #newPool(limits: LimitsConfig, turn: Turn): UpstreamPool {
    return new UpstreamPool({
      config: this.config.upstream,
      turn,
      buffers: this.slabs,
      account: this.account,
      streamWindowBytes: limits.streamWindowBytes,
      connectionWindowBytes: limits.connectionWindowBytes,
      maxHeaderListBytes: limits.maxHeaderListBytes,
    });
  }
}

function newAccount(config: EgressConfig, { tables, pressure }: EgressResources): ByteAccount {
  return new ByteAccount(tables, config.slot, config.byteAccountBytes, pressure);
}

/** Output buffers do not change tenant without being zeroed, and closing does that. */
function keptSlabs(config: EgressConfig, previous: EgressRuntime | undefined): Slabs | undefined {
  if (previous === undefined || previous.config.tenant === config.tenant) return previous?.slabs;
  previous.slabs.close();
  return undefined;
}
