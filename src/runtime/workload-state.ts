/**
 * What the admin port says of the SPIFFE Workload API. Names and times only.
 */
import { displayName, isBundleName } from '../config/workload-material.ts';
import type { MetricsRegistry } from '../telemetry/metrics.ts';
import type { Workload } from './workload.ts';

/** Ten thousand tenants may each take one of their own. */
const MAX_SHOWN = 1_000;
/** A probe's answer is read by people. */
const MAX_REASONS = 5;

/** What is impaired, in words. Whoever has what it needs is served all the same. */
export function workloadReasons(workload: Workload): readonly string[] {
  const reasons: string[] = [];
  for (const [kind, state] of workload.states) {
    if (!('why' in state)) continue;
    const since = new Date(state.sinceMs).toISOString();
    reasons.push(`the SPIFFE Workload API (${kind}) fails since ${since}, what it last gave is used: ${state.why}`);
  }
  const { missing } = workload;
  for (const name of missing.slice(0, MAX_REASONS))
    reasons.push(`the SPIFFE Workload API does not give ${displayName(name)}`);
  if (missing.length > MAX_REASONS) reasons.push(`nor ${missing.length - MAX_REASONS} others`);
  return reasons;
}

/** Undefined: nothing is taken from it. */
export function describeWorkload(workload: Workload): object | undefined {
  if (workload.endpoint === undefined) return undefined;
  const certificates = [...workload.names].filter((name) => !isBundleName(name)).slice(0, MAX_SHOWN);
  return {
    socket: workload.endpoint,
    streams: Object.fromEntries(workload.states),
    certificates: certificates.map((name) => {
      const end = workload.notAfterMs(name);
      return { name: displayName(name), notAfter: end === undefined ? null : new Date(end).toISOString() };
    }),
    authorities: [...workload.names]
      .filter(isBundleName)
      .slice(0, MAX_SHOWN)
      .map((name) => {
        const pem = workload.read(name);
        return {
          name: displayName(name),
          certificates: pem?.ok === true ? pem.value.split('-----BEGIN').length - 1 : 0,
        };
      }),
    missing: workload.missing.slice(0, MAX_SHOWN).map(displayName),
  };
}

export function workloadGauges({
  workload,
  metrics,
}: {
  readonly workload: Workload;
  readonly metrics: MetricsRegistry;
}): void {
  for (const [stream, state] of workload.states)
    metrics.setGauge('bulkhead_workload_api_followed', state.at === 'following' ? 1 : 0, { stream });
  metrics.setGauge('bulkhead_workload_missing', workload.missing.length);
  for (const name of [...workload.names].filter((one) => !isBundleName(one)).slice(0, MAX_SHOWN)) {
    const end = workload.notAfterMs(name);
    if (end !== undefined)
      metrics.setGauge('bulkhead_svid_not_after_seconds', Math.floor(end / 1000), { svid: displayName(name) });
  }
}
