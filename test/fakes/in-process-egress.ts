/**
 * One worker's egress listeners in the test's own thread: the real listener, pool, table and audit log, on a real port.
 */
import { rmSync } from 'node:fs';
import { AuditLog } from '../../src/audit/log.ts';
import { readRecords } from '../../src/audit/reader.ts';
import type { AuditRecord, CallRecord } from '../../src/audit/record.ts';
import { Ceiling } from '../../src/buffers/ceiling.ts';
import { Pressure } from '../../src/buffers/pressure.ts';
import { SlabReserve } from '../../src/buffers/slabs.ts';
import type { EgressConfig, Generation, LimitsConfig } from '../../src/config/generation.ts';
import type { UpstreamConfig } from '../../src/config/upstream-config.ts';
import type { ConnectionLimits } from '../../src/http2/limits.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import type { Denial } from '../../src/kernel/denial.ts';
import { Turn } from '../../src/kernel/turn.ts';
import type { CallServices } from '../../src/proxy/call-services.ts';
import { Deadlines } from '../../src/proxy/deadlines.ts';
import { Egress } from '../../src/proxy/egress.ts';
import { Refusals } from '../../src/proxy/refusals.ts';
import { attachSharedState, createSharedState, type SharedState, tenantUsage } from '../../src/quota/shared-state.ts';
import { emptyDirectory } from './configuration.ts';
import { generationOf } from './in-process-sidecar.ts';
import { tenantId } from './trust.ts';

/** A listener on a loopback port, as acme. */
export function egressConfig(
  port: number,
  upstream: UpstreamConfig,
  changes: Partial<EgressConfig> = {},
): EgressConfig {
  return {
    listen: `127.0.0.1:${port}`,
    address: { kind: 'tcp', host: '127.0.0.1', port },
    slot: 0,
    tenant: tenantId('acme'),
    byteAccountBytes: 64 * 1024 * 1024,
    upstream,
    ...changes,
  };
}

export class InProcessEgress {
  readonly shared: SharedState;
  readonly egress: Egress;
  readonly auditDirectory: string;
  /** Why no call may begin, if a test wants it so. */
  refusing: Denial | undefined;
  readonly #audit: AuditLog;
  readonly #refusals: Refusals;
  readonly #turn: Turn;
  readonly #ceiling: Ceiling;
  #generation: Generation;

  private constructor(generation: Generation, connectionLimits: Partial<ConnectionLimits>) {
    this.#generation = generation;
    this.auditDirectory = emptyDirectory();
    const turn = new Turn(systemClock);
    this.#turn = turn;
    this.#audit = new AuditLog({
      ...generation.audit,
      directory: this.auditDirectory,
      writer: 'worker-0',
      onBlocked: () => undefined,
      onUnblocked: () => turn.release(),
    });
    turn.setGate(() => this.#audit.flush());
    const now = (): ReturnType<Turn['now']> => turn.now();
    this.#refusals = new Refusals(
      now,
      (record) => this.#audit.append(record),
      () => undefined,
    );
    this.shared = createSharedState({ tenantSlots: 8, workers: 1, callerSlots: 1 });
    const services: CallServices = {
      now,
      deadlines: new Deadlines(now),
      limits: generation.limits,
      generation: generation.number,
      sampleRatio: 1,
      append: (record) => this.#audit.append(record),
      arrived: () => undefined,
      count: () => undefined,
      refusing: () => this.refusing,
    };
    const tables = attachSharedState(this.shared, 0);
    const pressure = new Pressure();
    this.egress = new Egress(
      {
        turn,
        tables,
        pressure,
        slabReserve: new SlabReserve(),
        refusals: this.#refusals,
        connectionLimits,
        services: () => services,
      },
      generation,
    );
    this.#ceiling = new Ceiling({
      limitBytes: generation.limits.maxHeldBytes,
      ledgers: [
        {
          tables,
          pressure,
          holdings: (slot) => this.egress.holdings(slot),
          connections: (slot) => this.egress.connectionsOf(slot),
          trim: (slots) => this.egress.trim(slots),
        },
      ],
      wakeOthers: () => undefined,
    });
  }

  static async start(
    listeners: readonly EgressConfig[],
    limits: Partial<LimitsConfig> = {},
    connectionLimits: Partial<ConnectionLimits> = {},
  ): Promise<InProcessEgress> {
    const egress = new InProcessEgress({ ...generationOf([], limits), egress: listeners }, connectionLimits);
    await egress.egress.start();
    return egress;
  }

  /** Swaps in other listeners, as the supervisor would. */
  async apply(listeners: readonly EgressConfig[]): Promise<void> {
    this.#generation = { ...this.#generation, number: this.#generation.number + 1, egress: listeners };
    await this.egress.apply(this.#generation);
  }

  /** Bytes that a listener's account holds. */
  bytesInFlight(slot = 0): number {
    return tenantUsage(this.shared, slot).bytesInFlight;
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

  /** The calls on record once there are so many, or after two seconds. */
  async calls(count = 1): Promise<readonly CallRecord[]> {
    for (let round = 0; round < 200; round++) {
      const calls = (await this.records()).filter((record) => record.type === 'call');
      if (calls.length >= count) return calls;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return (await this.records()).filter((record) => record.type === 'call');
  }

  async stop(): Promise<void> {
    this.#ceiling.close();
    await this.egress.drain(500);
    await new Promise((resolve) => setImmediate(resolve));
    this.#turn.release();
    this.#audit.close();
    rmSync(this.auditDirectory, { recursive: true, force: true });
  }
}
