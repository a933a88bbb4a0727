/** A thread that reserves as fast as it can. Posts how many calls it was granted. */
import { parentPort, workerData } from 'node:worker_threads';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { QuotaGate } from '../../../src/quota/quota-gate.ts';
import type { SharedState } from '../../../src/quota/shared-state.ts';
import { attachSharedState } from '../../../src/quota/shared-state.ts';
import { at, callerOf } from './tenants.ts';

export interface Hammering {
  readonly state: SharedState;
  readonly workerIndex: number;
  readonly tenant: TenantConfig;
  /** Simulated time passes by so much with each attempt, in total up to `untilMicros`. */
  readonly stepMicros: number;
  readonly untilMicros: number;
  /** One Int32: how many leases are open now; and one: the most there ever were. */
  readonly open: SharedArrayBuffer;
  readonly keepLeases: boolean;
}

const { state, workerIndex, tenant, stepMicros, untilMicros, open, keepLeases } = workerData as Hammering;
const gate = new QuotaGate(attachSharedState(state, workerIndex), tenant);
const counters = new Int32Array(open);
let granted = 0;
let held = 0;
for (let now = 0; now <= untilMicros; now += stepMicros) {
  const lease = gate.reserve(callerOf(tenant.slot, `caller-${now % 7}`), at(now));
  if (!lease.ok) continue;
  granted++;
  const openNow = Atomics.add(counters, 0, 1) + 1;
  for (let most = Atomics.load(counters, 1); openNow > most; most = Atomics.load(counters, 1)) {
    if (Atomics.compareExchange(counters, 1, most, openNow) === most) break;
  }
  if (keepLeases) {
    held++;
    continue;
  }
  Atomics.sub(counters, 0, 1);
  lease.value.settle();
}
parentPort?.postMessage({ granted, held });
