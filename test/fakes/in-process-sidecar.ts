/**
 * One data-plane worker in the test's own thread: the real listener, pipeline, pools, tables and audit log, on a real port.
 */
import { rmSync } from 'node:fs';
import { AuditLog } from '../../src/audit/log.ts';
import { readRecords } from '../../src/audit/reader.ts';
import type { AuditRecord, CallRecord, RefusalRecord } from '../../src/audit/record.ts';
import { diskFiles, type SegmentFiles } from '../../src/audit/segment-files.ts';
import { ClientStatuses } from '../../src/authn/client-statuses.ts';
import { Revocations } from '../../src/authn/revocations.ts';
import { Ceiling, type Holding } from '../../src/buffers/ceiling.ts';
import { Pressure } from '../../src/buffers/pressure.ts';
import { SlabReserve } from '../../src/buffers/slabs.ts';
import type { Generation, LimitsConfig, ListenerConfig } from '../../src/config/generation.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import type { DocumentFetch } from '../../src/fetching/document-fetch.ts';
import { DocumentFetcher } from '../../src/fetching/document-fetch.ts';
import type { ConnectionLimits } from '../../src/http2/limits.ts';
import type { RevocationList } from '../../src/identity/revocation-list-reader.ts';
import { type Clock, systemClock } from '../../src/kernel/clock.ts';
import type { EpochMicros, TenantId } from '../../src/kernel/ids.ts';
import { Turn } from '../../src/kernel/turn.ts';
import type { CallServices } from '../../src/proxy/call-services.ts';
import { Deadlines } from '../../src/proxy/deadlines.ts';
import { Ingress } from '../../src/proxy/ingress.ts';
import { Refusals } from '../../src/proxy/refusals.ts';
import { Tenants } from '../../src/proxy/tenants.ts';
import { attachSharedState, createSharedState, type SharedState } from '../../src/quota/shared-state.ts';
import { StatusDesk } from '../../src/runtime/status-desk.ts';
import { WorkerMetrics } from '../../src/telemetry/metrics.ts';
import { emptyDirectory } from './configuration.ts';

export const TEST_LIMITS: LimitsConfig = {
  handshakeTimeoutMs: 2_000,
  maxConnections: 1_000,
  maxConnectionsPerTenant: 1_000,
  maxConnectionsPerAddress: 1_000,
  maxHandshakes: 1_000,
  handshakeShare: 1,
  coolOffMs: 0,
  idleTimeoutMs: 60_000,
  maxConnectionAgeMs: undefined,
  maxConnectionAgeGraceMs: undefined,
  keepalive: { minTimeMs: 5_000, permitWithoutCalls: true },
  maxDeadlineMs: undefined,
  maxConcurrentStreams: 256,
  maxHeaderListBytes: 16 * 1024,
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 1024 * 1024,
  maxMessageBytes: 1024 * 1024 * 1024,
  maxInflatedBytes: 1024 * 1024,
  workerHeapBytes: 256 * 1024 * 1024,
  maxHeldBytes: 1024 * 1024 * 1024,
};

const TEST_LISTENER: ListenerConfig = { address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.3' };

/** A generation with these tenants; slots are given in their order. */
export function generationOf(tenants: readonly TenantConfig[], limits: Partial<LimitsConfig> = {}): Generation {
  return {
    number: 1,
    digest: tenants.map((tenant) => tenant.digest).join(),
    listener: TEST_LISTENER,
    admin: { address: '127.0.0.1', port: 0 },
    workers: 1,
    limits: { ...TEST_LIMITS, ...limits },
    fetching: { allowAddresses: ['127.0.0.0/8'] },
    audit: { directory: '', segmentBytes: 1024 * 1024, maxBytes: 64 * 1024 * 1024, whenFull: 'refuse' },
    telemetry: { serviceName: 'test', otlp: undefined, traceSampleRatio: 1 },
    shutdown: { drainTimeoutMs: 1_000 },
    log: { level: 'error' },
    tenants: tenants.map((tenant, slot) => ({ ...tenant, slot })),
    egress: [],
  };
}

/** The system's, and what a test has it be ahead. */
class MovableClock implements Clock {
  #aheadMicros = 0;

  now(): EpochMicros {
    // Microseconds like the system's.
    return (systemClock.now() + this.#aheadMicros) as EpochMicros;
  }

  advance(ms: number): void {
    this.#aheadMicros += ms * 1000;
  }
}

export class InProcessSidecar {
  readonly port: number;
  /** The tenants' doors. */
  readonly listener: Ingress;
  readonly tenants: Tenants;
  readonly shared: SharedState;
  readonly auditDirectory: string;
  readonly #ceiling: Ceiling;
  readonly #audit: AuditLog;
  readonly #revocations: Revocations;
  /** What responders say of the clients. */
  readonly statuses: ClientStatuses;
  readonly #desk: StatusDesk;
  readonly #refusals: Refusals;
  readonly #turn: Turn;
  readonly #clock: MovableClock;
  #generation: Generation;

  private constructor(parts: {
    readonly port: number;
    readonly listener: Ingress;
    readonly tenants: Tenants;
    readonly ceiling: Ceiling;
    readonly shared: SharedState;
    readonly auditDirectory: string;
    readonly audit: AuditLog;
    readonly revocations: Revocations;
    readonly statuses: ClientStatuses;
    readonly desk: StatusDesk;
    readonly refusals: Refusals;
    readonly turn: Turn;
    readonly clock: MovableClock;
    readonly generation: Generation;
  }) {
    this.port = parts.port;
    this.listener = parts.listener;
    this.tenants = parts.tenants;
    this.shared = parts.shared;
    this.auditDirectory = parts.auditDirectory;
    this.#ceiling = parts.ceiling;
    this.#audit = parts.audit;
    this.#revocations = parts.revocations;
    this.statuses = parts.statuses;
    this.#desk = parts.desk;
    this.#refusals = parts.refusals;
    this.#turn = parts.turn;
    this.#clock = parts.clock;
    this.#generation = parts.generation;
  }

  /**
   * `files`: the disk under the audit log, for tests of what happens when it fails. `connectionLimits`: what differs from the
   * engine's defaults, for tests of its time limits. `fetch`: how key sets are fetched; absent: from public addresses only.
   */
  static async start(
    generation: Generation,
    files: SegmentFiles = diskFiles,
    connectionLimits: Partial<ConnectionLimits> = {},
    fetch?: DocumentFetch,
  ): Promise<InProcessSidecar> {
    const clock = new MovableClock();
    const turn = new Turn(clock);
    const auditDirectory = emptyDirectory();
    const audit = new AuditLog({
      ...generation.audit,
      directory: auditDirectory,
      writer: 'worker-0',
      files,
      onBlocked: () => undefined,
      onUnblocked: () => turn.release(),
    });
    turn.setGate(() => audit.flush());
    const now = (): ReturnType<Turn['now']> => turn.now();
    const metrics = new WorkerMetrics();
    const refusals = new Refusals(
      now,
      (record) => audit.append(record),
      (reason) => metrics.refusal(reason),
    );
    const shared = createSharedState({ tenantSlots: 64, workers: 1, organisationSlots: 2 });
    const tables = attachSharedState(shared, 0);
    const pressure = new Pressure();
    const slabReserve = new SlabReserve();
    const documents = new DocumentFetcher(generation.fetching?.allowAddresses);
    const statuses = new ClientStatuses({
      ask: (question) => desk.ask(question),
      changed: (tenant, certificate) => {
        revocations.changed(tenant);
        listener.review({ tenant, certificate });
      },
    });
    const desk = new StatusDesk({
      fetch: fetch ?? documents.fetch,
      nowMs: Date.now,
      answered: (tenant, id, status) => statuses.take(tenant, id, status),
      heard: () => undefined,
      failed: () => undefined,
    });
    desk.apply(generation.tenants);
    const revocations = new Revocations(generation.denied, statuses);
    const tenants = new Tenants({
      revocations,
      turn,
      tables,
      pressure,
      slabReserve,
      limits: generation.limits,
      fetch: fetch ?? documents.fetch,
    });
    tenants.apply(generation);
    const services: CallServices = {
      now,
      deadlines: new Deadlines(now),
      limits: generation.limits,
      generation: generation.number,
      sampleRatio: 1,
      append: (record) => audit.append(record),
      arrived: () => undefined,
      count: () => undefined,
      refusing: () => (audit.blocked === undefined ? undefined : { kind: 'audit_unavailable', why: audit.blocked }),
    };
    const options = { tenants, turn, refusals, connectionLimits, services: () => services };
    const listener = new Ingress(options, generation);
    const port = await listener.start(generation.listener ?? TEST_LISTENER);
    const holdings = (slot: number): Iterable<Holding> => listener.holdings(slot);
    const connections = (slot: number): Iterable<Holding> => listener.connectionsOf(slot);
    const ceiling = new Ceiling({
      limitBytes: generation.limits.maxHeldBytes,
      ledgers: [{ tables, pressure, holdings, connections, trim: (slots) => tenants.trim(slots) }],
      wakeOthers: () => undefined,
    });
    const parts = {
      clock,
      desk,
      statuses,
      revocations,
      port,
      listener,
      tenants,
      ceiling,
      shared,
      auditDirectory,
      audit,
      refusals,
      turn,
      generation,
    };
    return new InProcessSidecar(parts);
  }

  /** Swaps in a generation, as the supervisor would. */
  apply(generation: Generation): void {
    void this.applied(generation);
  }

  /** The same; resolves when nobody can connect to an address that is left, and who is there has been asked to go. */
  async applied(generation: Generation): Promise<void> {
    this.#generation = { ...generation, number: this.#generation.number + 1 };
    this.#revocations.deny(generation.denied ?? []);
    this.#desk.apply(this.#generation.tenants);
    this.tenants.setLimits(generation.limits);
    const done = this.listener.apply(this.#generation, this.tenants.apply(this.#generation));
    this.#ceiling.setLimit(generation.limits.maxHeldBytes);
    await done;
    this.listener.leave();
  }

  /** Lists of a tenant's CAs that were fetched, as the supervisor hands them on. */
  /** So much later it is from now on, for what is judged; timers run as they did. */
  advance(ms: number): void {
    this.#clock.advance(ms);
  }

  setLists(tenant: TenantId, lists: readonly RevocationList[]): void {
    this.#revocations.setLists(tenant, lists);
    this.listener.review({ tenant });
  }

  /** Everything on record so far. */
  async records(): Promise<readonly AuditRecord[]> {
    this.#refusals.flush();
    await new Promise((resolve) => setImmediate(resolve));
    this.#audit.flush();
    const records: AuditRecord[] = [];
    for await (const stored of readRecords(this.auditDirectory, {})) {
      if (!('record' in stored)) throw new Error(`unreadable record: ${stored.why}`);
      records.push(stored.record);
    }
    return records;
  }

  /** The calls on record. */
  async calls(): Promise<readonly CallRecord[]> {
    return (await this.records()).filter((record) => record.type === 'call');
  }

  /** The refused connections on record. */
  async refusals(): Promise<readonly RefusalRecord[]> {
    return (await this.records()).filter((record) => record.type === 'refusal');
  }

  async stop(): Promise<void> {
    await this.listener.drain(500);
    for (const tenant of this.tenants.active()) tenant.pool.destroy('the test has ended');
    this.tenants.close();
    this.#ceiling.close();
    this.statuses.close();
    await new Promise((resolve) => setImmediate(resolve));
    this.#turn.release();
    this.#audit.close();
    rmSync(this.auditDirectory, { recursive: true, force: true });
  }
}
