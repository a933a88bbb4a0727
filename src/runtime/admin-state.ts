/**
 * What the admin port says of a running sidecar.
 */
import type { AdminState } from '../admin/server.ts';
import type { EgressConfig, Generation } from '../config/generation.ts';
import { openTenant, type StoredTenant } from '../config/stored-tenant.ts';
import { healthKeyOf } from '../proxy/health-probes.ts';
import type { Health } from '../proxy/upstream-health.ts';
import { SeatTable } from '../quota/seat-table.ts';
import { attachSharedState, SUPERVISOR, tenantUsage } from '../quota/shared-state.ts';
import { totalsOf, USAGE_METRICS } from '../telemetry/usage-metrics.ts';
import { numberOf } from '../usage/units.ts';
import { explainQuery } from './admin-explain.ts';
import { usageQuery } from './admin-usage.ts';
import type { Supervisor } from './supervisor.ts';
import { describeWorkload, workloadGauges, workloadReasons } from './workload-state.ts';

/** A scrape waits so long for the workers' counts; a worker that is busier than that is counted in the next one. */
const COLLECT_TIMEOUT_MS = 500;

/** Of workers, tenants and listeners that are gone nothing stays, also when they left while somebody looked. */
const OWNED_GAUGES = [
  'bulkhead_connections',
  'bulkhead_calls_in_progress',
  'bulkhead_audit_blocked',
  'bulkhead_bytes_in_flight',
  'bulkhead_held_bytes',
  'bulkhead_queued_calls',
  'bulkhead_seated_calls',
  'bulkhead_upstream_healthy',
  'bulkhead_egress_bytes_in_flight',
  'bulkhead_workload_api_followed',
  'bulkhead_svid_not_after_seconds',
] as const;

/** Thousands of tenants may have the same one. */
const MAX_SHOWN_WARNINGS = 1_000;

/** The admin server's view of the supervisor. Secrets are not masked here: they are never taken along. */
export function adminState(supervisor: Supervisor): AdminState {
  return {
    ready: () => {
      const reasons: string[] = [];
      const { workers } = supervisor.generation;
      if (supervisor.draining) reasons.push('draining');
      if (supervisor.pool.listening < workers)
        reasons.push(`${supervisor.pool.listening} of ${workers} workers listen`);
      const blocked = supervisor.pool.workers.find((worker) => worker.gauges.auditBlocked !== undefined);
      if (blocked !== undefined) reasons.push(`the audit log cannot be written: ${blocked.gauges.auditBlocked}`);
      reasons.push(...workloadReasons(supervisor.workload), ...fleetReasons(supervisor));
      const isClosed = noTenantHasCertificate(supervisor.generation);
      if (isClosed) reasons.push('no tenant has a certificate');
      return {
        ready: supervisor.pool.listening > 0 && !supervisor.draining && blocked === undefined && !isClosed,
        reasons,
      };
    },
    metrics: async () => {
      await supervisor.pool.collect(COLLECT_TIMEOUT_MS);
      gauges(supervisor);
      return supervisor.metrics.render();
    },
    describe: () => ({
      generation: supervisor.generation.number,
      digest: supervisor.generation.digest,
      listen: describeListener(supervisor),
      egress: supervisor.generation.egress.map(describeEgress),
      workers: supervisor.generation.workers,
      leavingWorkers: supervisor.pool.leaving,
      draining: supervisor.draining,
      workloadApi: describeWorkload(supervisor.workload),
      fleet: describeFleet(supervisor),
      telemetry: supervisor.telemetry.status ?? 'off',
      refusedChange: supervisor.findings,
      warnings: supervisor.warnings.slice(0, MAX_SHOWN_WARNINGS),
      warningCount: supervisor.warnings.length,
      tenants: supervisor.generation.tenants.map((tenant) => describeTenant(tenant, supervisor)),
    }),
    usage: (query) => usageQuery(query, supervisor.usage),
    explain: (query) => explainQuery(query, supervisor.generation),
    tenants: () =>
      supervisor.generation.tenants.map((tenant) => ({
        id: tenant.id,
        serverNames: tenant.serverNames,
        ...tenantUsage(supervisor.shared, tenant.slot),
        byteAccountBytes: tenant.byteAccountBytes,
        upstreamHealth: healthOf(supervisor, tenant) ?? { at: 'not_asked' },
      })),
  };
}

/** Only the SPIFFE Workload API can be the reason: without files a configuration is refused. */
function noTenantHasCertificate({ tenants }: Generation): boolean {
  return tenants.length > 0 && tenants.every(({ certificate }) => certificate === undefined);
}

function describeListener({ pool }: Supervisor): object | undefined {
  if (pool.listen === undefined) return undefined;
  const { address, port, proxyProtocol, shared } = pool.listen;
  return { address, port, proxyProtocol, sharedServerNames: shared?.serverNames };
}

/** No reason not to be ready: calls are served, by this sidecar's own share of the limits. */
function fleetReasons({ fleet }: Supervisor): readonly string[] {
  const { state } = fleet;
  if (state?.at !== 'away') return [];
  return [`the store of the fleet’s limits does not answer (${state.failure.why}); each sidecar has its own share`];
}

function describeFleet({ fleet, generation }: Supervisor): object | undefined {
  const { state } = fleet;
  if (state === undefined || generation.fleet === undefined) return undefined;
  const { namespace, localShare, leaseMs, redis } = generation.fleet;
  return {
    namespace,
    localShare,
    leaseMs,
    addresses: redis.addresses.map(({ host, port }) => `${host}:${port}`),
    store: state.at === 'away' ? { at: state.at, ...state.failure } : { at: state.at },
    leases: fleet.leases,
  };
}

function describeEgress({ listen, tenant, byteAccountBytes, upstream }: EgressConfig): object {
  return { listen, tenant, byteAccountBytes, upstream: upstream.display };
}

function describeTenant(stored: StoredTenant, { keyUses }: Supervisor): object {
  const tenant = openTenant(stored);
  return {
    id: tenant.id,
    file: tenant.file,
    digest: tenant.digest,
    serverNames: tenant.serverNames,
    trustDomain: tenant.trustDomain,
    accept: tenant.accept,
    issuers: tenant.issuers.map(({ issuer, audiences, algorithms }) => ({ issuer, audiences, algorithms })),
    apiKeys: tenant.apiKeys.map(({ id, expiresAtSeconds, revoked }) => ({
      id,
      expiresAtSeconds,
      revoked,
      lastUsedAtSeconds: keyUses.lastUse(tenant.id, id),
    })),
    roles: tenant.roles,
    bindings: tenant.bindings,
    quota: tenant.quota,
    byteAccountBytes: tenant.byteAccountBytes,
    upstream: tenant.upstream.display,
  };
}

/** Undefined when the tenant's model server is not to be asked. */
function healthOf(supervisor: Supervisor, { upstream }: StoredTenant): Health | undefined {
  const key = healthKeyOf(upstream);
  return key === undefined ? undefined : supervisor.health.of(key);
}

/** What is kept of usage, as counters: they go on where they were after a restart. */
function usageCounters({ metrics, usage, tenantNames }: Supervisor): void {
  for (const [tenant, numbers] of totalsOf(usage.totals ?? new Map(), tenantNames)) {
    for (const { prometheus, label, values } of USAGE_METRICS) {
      for (const [value, unit] of Object.entries(values))
        metrics.setCounter(prometheus, numberOf(numbers, unit), { tenant, [label]: value });
    }
  }
}

function gauges(supervisor: Supervisor): void {
  const { metrics, generation } = supervisor;
  usageCounters(supervisor);
  metrics.setGauge('bulkhead_config_generation', generation.number);
  for (const name of OWNED_GAUGES) metrics.clearGauge(name);
  for (const worker of supervisor.pool.workers) {
    const labels = { worker: `worker-${worker.index}` };
    metrics.setGauge('bulkhead_connections', worker.gauges.connections, labels);
    metrics.setGauge('bulkhead_calls_in_progress', worker.gauges.calls, labels);
    metrics.setGauge('bulkhead_audit_blocked', worker.gauges.auditBlocked === undefined ? 0 : 1, {
      writer: `worker-${worker.index}`,
    });
  }
  const tables = attachSharedState(supervisor.shared, SUPERVISOR);
  for (const tenant of generation.tenants) {
    metrics.setGauge('bulkhead_bytes_in_flight', tables.bytesInFlight(tenant.slot), { tenant: tenant.id });
    metrics.setGauge('bulkhead_held_bytes', tables.heldBytes(tenant.slot), { tenant: tenant.id });
  }
  const seats = generation.scheduling && new SeatTable(supervisor.shared.seats, SUPERVISOR);
  for (const { slot, id } of seats === undefined ? [] : generation.tenants) {
    metrics.setGauge('bulkhead_queued_calls', seats?.waiting(slot) ?? 0, { tenant: id });
    metrics.setGauge('bulkhead_seated_calls', seats?.running(slot) ?? 0, { tenant: id });
  }
  metrics.setGauge('bulkhead_held_bytes_of_all', tables.totalHeldBytes());
  metrics.setGauge('bulkhead_held_bytes_ceiling', generation.limits.maxHeldBytes);
  metrics.setGauge('bulkhead_resident_bytes', process.memoryUsage.rss());
  for (const tenant of generation.tenants) {
    const at = healthOf(supervisor, tenant)?.at ?? 'unknown';
    if (at === 'unknown') continue;
    metrics.setGauge('bulkhead_upstream_healthy', at === 'unhealthy' ? 0 : 1, { tenant: tenant.id });
  }
  for (const { listen, slot } of generation.egress) {
    const { bytesInFlight } = tenantUsage(supervisor.pool.egressShared, slot);
    metrics.setGauge('bulkhead_egress_bytes_in_flight', bytesInFlight, { listen });
  }
  const { state } = supervisor.fleet;
  if (state !== undefined) {
    metrics.setGauge('bulkhead_fleet_store_up', state.at === 'there' ? 1 : 0);
    metrics.setGauge('bulkhead_fleet_leases', supervisor.fleet.leases);
  }
  workloadGauges(supervisor);
  metrics.setGauge('bulkhead_build_info', 1, { version: supervisor.version, node: process.version });
  const { status } = supervisor.telemetry;
  metrics.setGauge('bulkhead_audit_backlog_bytes', status?.backlogBytes ?? 0);
  metrics.setGauge('bulkhead_telemetry_delivered_records', status?.deliveredRecords ?? 0);
  metrics.setGauge('bulkhead_telemetry_rejected_records', status?.rejectedRecords ?? 0);
}
