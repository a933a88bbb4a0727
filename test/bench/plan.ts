/**
 * How much is measured: everything, what decides in under five minutes, or only whether it still runs.
 */
import type { Axis } from './load.ts';

export interface Plan {
  readonly name: 'full' | 'quick' | 'smoke';
  readonly rounds: number;
  /** Of one subject in one round. */
  readonly seconds: number;
  readonly warmUp: WarmUp;
  /** CPU is looked at so often, to see that a subject has done what the load left it to do. */
  readonly settleStepMs: number;
  readonly axes: readonly Axis[];
  readonly workers: readonly number[];
  readonly tenants: readonly number[];
  /** How long it is looked at without calls, to tell what files that are watched cost from what calls do. */
  readonly tenantsIdleSeconds: number;
  readonly latency: LatencyPlan | undefined;
  readonly newConnections: ConnectionsPlan | undefined;
  readonly idle: IdlePlan | undefined;
}

/** What runs on a JIT is warmed up for the longer of both, but not above the bound; the others for `nativeSeconds`. */
export interface WarmUp {
  readonly seconds: number;
  readonly calls: number;
  readonly maxSeconds: number;
  readonly nativeSeconds: number;
}

export interface LatencyPlan {
  readonly rounds: number;
  readonly connections: number;
  /** Not above half of what the slowest subject can do on its core. */
  readonly maxCallsPerSecond: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface ConnectionsPlan {
  /** At once, each with one call; repeated for `seconds`. */
  readonly burst: number;
  readonly seconds: number;
}

export interface IdlePlan {
  readonly rounds: number;
  readonly connections: number;
  /** From the last handshake until memory is read. */
  readonly restSeconds: number;
}

const axis = (name: string, connections: number, streams: number, messageBytes = 100): Axis => ({
  name,
  connections,
  streams,
  messageBytes,
});

const SMALL: readonly Axis[] = [axis('10x50', 10, 50), axis('10x1', 10, 1), axis('1x1', 1, 1)];
const LARGE: readonly Axis[] = [axis('10x50 16KiB', 10, 50, 16_384), axis('10x1 1MiB', 10, 1, 1_048_576)];
const WARM_UP: WarmUp = { seconds: 3, calls: 50_000, maxSeconds: 15, nativeSeconds: 1 };

export const PLANS: Readonly<Record<Plan['name'], Plan>> = {
  full: {
    name: 'full',
    rounds: 5,
    seconds: 2,
    warmUp: WARM_UP,
    settleStepMs: 400,
    axes: [...SMALL, ...LARGE],
    workers: [2],
    tenants: [100, 10_000],
    tenantsIdleSeconds: 8,
    latency: { rounds: 5, connections: 10, maxCallsPerSecond: 4_000, warmUpSeconds: 1, seconds: 4 },
    newConnections: { burst: 200, seconds: 2 },
    idle: { rounds: 2, connections: 1_000, restSeconds: 3 },
  },
  quick: {
    name: 'quick',
    rounds: 3,
    seconds: 3,
    warmUp: WARM_UP,
    settleStepMs: 400,
    axes: SMALL,
    workers: [],
    tenants: [],
    tenantsIdleSeconds: 0,
    latency: undefined,
    newConnections: undefined,
    idle: undefined,
  },
  smoke: {
    name: 'smoke',
    rounds: 1,
    seconds: 0.4,
    warmUp: { seconds: 0.2, calls: 0, maxSeconds: 0.2, nativeSeconds: 0.2 },
    settleStepMs: 50,
    axes: [...SMALL.slice(0, 1), ...LARGE],
    workers: [2],
    tenants: [100],
    tenantsIdleSeconds: 0.2,
    latency: { rounds: 1, connections: 10, maxCallsPerSecond: 300, warmUpSeconds: 0.1, seconds: 0.5 },
    newConnections: { burst: 20, seconds: 0 },
    idle: { rounds: 1, connections: 20, restSeconds: 0.1 },
  },
};
