/**
 * A data-plane thread: its own listener on the shared port, its own connections, pools and audit segments. What it shares
 * with the others are the tables of quotas and byte accounts.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { AuditLog } from '../audit/log.ts';
import { SlabReserve } from '../buffers/slabs.ts';
import type { Generation } from '../config/generation.ts';
import { systemClock } from '../kernel/clock.ts';
import { settleHeap } from '../kernel/heap.ts';
import { Turn } from '../kernel/turn.ts';
import type { CallServices } from '../proxy/call-services.ts';
import { Deadlines } from '../proxy/deadlines.ts';
import { Egress } from '../proxy/egress.ts';
import { Listener } from '../proxy/listener.ts';
import { Refusals } from '../proxy/refusals.ts';
import { Tenants } from '../proxy/tenants.ts';
import { attachSharedState } from '../quota/shared-state.ts';
import { WorkerMetrics } from '../telemetry/metrics.ts';
import { BulkMemory } from './bulk-memory.ts';
import type { FromWorker, ToWorker, WorkerBirth } from './messages.ts';

if (parentPort === null) throw new Error('worker.ts is started by the supervisor, as a thread');
const port = parentPort;
// The supervisor is the only one who starts this file, with exactly this.
const birth = workerData as WorkerBirth;

const say = (message: FromWorker): void => port.postMessage(message);
const turn = new Turn(systemClock);
const now = (): ReturnType<Turn['now']> => turn.now();
const metrics = new WorkerMetrics();
const audit = new AuditLog({
  directory: birth.generation.audit.directory,
  writer: `worker-${birth.index}`,
  segmentBytes: birth.generation.audit.segmentBytes,
  maxBytes: birth.generation.audit.maxBytes,
  whenFull: birth.generation.audit.whenFull,
  onBlocked: () => undefined,
  onUnblocked: () => turn.release(),
});
turn.setGate(() => audit.flush());

const deadlines = new Deadlines(now);
const refusals = new Refusals(
  now,
  (record) => {
    audit.append(record);
    audit.flush();
  },
  (reason) => metrics.refusal(reason),
);
const slabReserve = new SlabReserve();
const tenants = new Tenants({
  turn,
  tables: attachSharedState(birth.shared, birth.index),
  slabReserve,
  limits: birth.generation.limits,
});
tenants.apply(birth.generation);

function servicesOf(generation: Generation): CallServices {
  return {
    now,
    deadlines,
    limits: generation.limits,
    generation: generation.number,
    sampleRatio: generation.telemetry.traceSampleRatio,
    append: (record) => audit.append(record),
    arrived: (bytes) => bulk.arrived(bytes),
    count: (record) => {
      const denied = record.outcome === 'denied' ? record.reason : undefined;
      metrics.call(record.tenant, record.method, record.grpcStatus, record.durationMicros, denied);
    },
    refusing: () => (audit.blocked === undefined ? undefined : { kind: 'audit_unavailable', why: audit.blocked }),
  };
}

const bulk = new BulkMemory();

let services = servicesOf(birth.generation);
const listener = birth.port === undefined ? undefined : makeListener(birth.generation);
const egress = new Egress(
  {
    turn,
    tables: attachSharedState(birth.egressShared, birth.index),
    slabReserve,
    refusals,
    services: () => services,
  },
  birth.generation,
);

/** The tenants' door; undefined in a sidecar that only calls out. */
function makeListener(generation: Generation): Listener | undefined {
  const listen = generation.listener;
  return listen === undefined
    ? undefined
    : new Listener({ generation, listen, tenants, turn, refusals, services: () => services });
}

async function applyGeneration(generation: Generation): Promise<void> {
  const reconnect = tenants.apply(generation);
  services = servicesOf(generation);
  listener?.apply(generation, reconnect);
  await egress.apply(generation);
  say({ type: 'applied', number: generation.number });
}

async function drain(timeoutMs: number): Promise<void> {
  const unfinished = await Promise.all([listener?.drain(timeoutMs), egress.drain(timeoutMs)]);
  const unfinishedCalls = unfinished.reduce<number>((sum, calls) => sum + (calls ?? 0), 0);
  for (const tenant of tenants.active()) tenant.pool.destroy('the sidecar has stopped');
  tenants.close();
  refusals.flush();
  // What the last connections wrote leaves at the end of this turn, after its records.
  await new Promise((resolve) => setImmediate(resolve));
  audit.close();
  say({ type: 'drained', unfinishedCalls });
  port.close();
}

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'generation':
      void applyGeneration(message.generation);
      return;
    case 'metrics': {
      const gauges = {
        connections: (listener?.connections ?? 0) + egress.connections,
        calls: (listener?.calls ?? 0) + egress.calls,
        auditBlocked: audit.blocked,
        auditDropped: audit.dropped,
      };
      say({ type: 'metrics', id: message.id, delta: metrics.drain(), gauges });
      return;
    }
    case 'drain':
      void drain(message.timeoutMs);
      return;
  }
});

await egress.start();
settleHeap();
say({
  type: 'listening',
  port: listener === undefined || birth.port === undefined ? undefined : await listener.listen(birth.port),
});
