/**
 * A data-plane thread: its own listener on the shared port, its own connections, pools and audit segments. What it shares
 * with the others are the tables of quotas and byte accounts.
 */
import { BroadcastChannel, parentPort, workerData } from 'node:worker_threads';
import { AuditLog } from '../audit/log.ts';
import { ClientStatuses } from '../authn/client-statuses.ts';
import { KeyUses } from '../authn/key-uses.ts';
import { Revocations } from '../authn/revocations.ts';
import { Ceiling } from '../buffers/ceiling.ts';
import { Pressure } from '../buffers/pressure.ts';
import { SlabReserve } from '../buffers/slabs.ts';
import type { ListenerConfig } from '../config/generation.ts';
import type { GenerationChange, Settings } from '../config/generation-change.ts';
import type { StoredTenant } from '../config/stored-tenant.ts';
import { DocumentFetcher } from '../fetching/document-fetch.ts';
import { systemClock } from '../kernel/clock.ts';
import { settleHeap } from '../kernel/heap.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { Turn } from '../kernel/turn.ts';
import type { CallServices } from '../proxy/call-services.ts';
import { Deadlines } from '../proxy/deadlines.ts';
import { Egress } from '../proxy/egress.ts';
import { Ingress } from '../proxy/ingress.ts';
import { Refusals } from '../proxy/refusals.ts';
import { Tenants } from '../proxy/tenants.ts';
import { journalDirectory, LimitJournal } from '../quota/limit-journal.ts';
import { attachSharedState } from '../quota/shared-state.ts';
import { WorkerMetrics } from '../telemetry/metrics.ts';
import { BulkMemory } from './bulk-memory.ts';
import type { FromWorker, ToWorker, WorkerBirth } from './messages.ts';
import { namespaceSecret } from './namespace-secret.ts';

if (parentPort === null) throw new Error('worker.ts is started by the supervisor, as a thread');
const supervisor = parentPort;
// The supervisor is the only one who starts this file, with exactly this.
const birth = workerData as WorkerBirth;

const say = (message: FromWorker): void => supervisor.postMessage(message);
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
const tables = attachSharedState(birth.shared, birth.index);
const journal = new LimitJournal(
  journalDirectory(birth.generation.audit.directory),
  birth.index,
  birth.shared.limits.journalEpoch,
);
tables.limits.journal = journal;
const egressTables = attachSharedState(birth.egressShared, birth.index);
const pressure = new Pressure();
const egressPressure = new Pressure();
const documents = new DocumentFetcher(birth.generation.fetching?.allowAddresses);
const statuses = new ClientStatuses({
  ask: (question) => say({ type: 'ask', question }),
  changed: (tenant, certificate) => {
    revocations.changed(tenant);
    ingress.review({ tenant, certificate });
  },
});
const revocations = new Revocations(birth.generation.denied, statuses);
for (const [tenant, lists] of birth.lists) revocations.setLists(tenant, lists);
const keyUses = new KeyUses();
const tenants = new Tenants({
  keyUses,
  turn,
  tables,
  pressure,
  slabReserve,
  limits: birth.generation.limits,
  fetch: documents.fetch,
  revocations,
  namespaceSecret: namespaceSecret(birth.generation.audit.directory),
  rateServiceHeard: (tenant, outcome) => metrics.rateAnswer(tenant, outcome),
});
tenants.apply(birth.generation);

function servicesOf(generation: Settings): CallServices {
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
      if (record.shadow !== undefined) metrics.shadow(record.tenant, record.shadow.verdict);
      if (!tenants.turnQueue.isInUse) return;
      const wait = record.gates.find(({ gate }) => gate === 'queue');
      if (wait !== undefined) metrics.waited(record.tenant, wait.toMicros - wait.fromMicros);
    },
    refusing: () => (audit.blocked === undefined ? undefined : { kind: 'audit_unavailable', why: audit.blocked }),
  };
}

const bulk = new BulkMemory();
let draining = false;

let services = servicesOf(birth.generation);
const ingress = new Ingress({ tenants, turn, refusals, services: () => services }, birth.generation);
const egress = new Egress(
  {
    turn,
    tables: egressTables,
    pressure: egressPressure,
    slabReserve,
    refusals,
    services: () => services,
  },
  birth.generation,
);

// The workers' own way to each other: nothing is said on it while there is memory.
const neighbours = new BroadcastChannel('bulkhead-ceiling').unref();
const ceiling = new Ceiling({
  limitBytes: birth.generation.limits.maxHeldBytes,
  ledgers: [
    {
      tables,
      pressure,
      holdings: (slot) => ingress.holdings(slot),
      connections: (slot) => ingress.connectionsOf(slot),
      trim: (slots) => tenants.trim(slots),
    },
    {
      tables: egressTables,
      pressure: egressPressure,
      holdings: (slot) => egress.holdings(slot),
      connections: (slot) => egress.connectionsOf(slot),
      trim: (slots) => egress.trim(slots),
    },
  ],
  wakeOthers: () => neighbours.postMessage(null),
});
neighbours.onmessage = () => ceiling.look();
// There is one more of us: each one's part is smaller.
neighbours.postMessage(null);

/** Tenants of the generation that comes. */
let coming: StoredTenant[] = [];
let current = birth.generation.number;

async function applyChange(change: GenerationChange): Promise<void> {
  // Whoever has missed one is no help with the next: its successor is born with all of them.
  if (change.from !== current) throw new Error(`a change of generation ${change.from}, not of ${current}`);
  const generation = change.settings;
  current = generation.number;
  documents.allow(generation.fetching?.allowAddresses ?? []);
  revocations.deny(generation.denied ?? []);
  tenants.setLimits(generation.limits);
  const retrust = tenants.change([...coming, ...change.tenants], change.removed);
  coming = [];
  services = servicesOf(generation);
  ceiling.setLimit(generation.limits.maxHeldBytes);
  await Promise.all([ingress.apply(generation, retrust), egress.apply(generation)]);
  say({ type: 'taken' });
}

async function bind(listen: ListenerConfig): Promise<void> {
  let result: Result<number, string>;
  try {
    result = ok(await ingress.prepare(listen));
  } catch (cause) {
    result = err(cause instanceof Error ? cause.message : String(cause));
  }
  say({ type: 'bound', result });
}

function tellMetrics(id: number): void {
  const gauges = {
    connections: ingress.connections + egress.connections,
    calls: ingress.calls + egress.calls,
    auditBlocked: audit.blocked,
    auditDropped: audit.dropped,
  };
  say({
    type: 'metrics',
    id,
    delta: metrics.drain(),
    gauges,
    health: tenants.probes.takeReports(),
    keyUses: keyUses.take(),
  });
}

/** Called again, it can only bring the end closer. */
async function drain(timeoutMs: number): Promise<void> {
  const wasDraining = draining;
  draining = true;
  const unfinished = await Promise.all([ingress.drain(timeoutMs), egress.drain(timeoutMs)]);
  if (!wasDraining) await end(unfinished[0] + unfinished[1]);
}

async function end(unfinishedCalls: number): Promise<void> {
  for (const tenant of tenants.active()) tenant.pool.destroy('the sidecar has stopped');
  tenants.close();
  statuses.close();
  ceiling.close();
  neighbours.close();
  refusals.flush();
  // What the last connections wrote leaves at the end of this turn, after its records.
  await new Promise((resolve) => setImmediate(resolve));
  audit.close();
  journal.close();
  // What was counted since the supervisor last asked; it asks no more.
  tellMetrics(0);
  say({ type: 'drained', unfinishedCalls });
  supervisor.close();
}

async function close(): Promise<void> {
  await Promise.all([ingress.close(), egress.close()]);
  say({ type: 'taken' });
}

async function start(): Promise<void> {
  try {
    await egress.start();
    const port = birth.listen === undefined ? undefined : await ingress.start(birth.listen);
    if (birth.prepared !== undefined) await ingress.prepare(birth.prepared);
    settleHeap();
    say({ type: 'listening', port });
  } catch (cause) {
    // Who is told to end before it has begun cannot listen any more.
    if (!draining) throw cause;
  }
}

/** What changes where it listens waits for it. */
const started = start();

supervisor.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'tenants':
      coming.push(...message.tenants);
      say({ type: 'taken' });
      return;
    case 'generation':
      void started.then(() => applyChange(message.change));
      return;
    case 'lists':
      revocations.setLists(...message.lists);
      ingress.review({ tenant: message.lists[0] });
      return;
    case 'status':
      statuses.take(message.tenant, message.id, message.status);
      return;
    case 'leave':
      ingress.leave();
      return;
    case 'close':
      void started.then(close);
      return;
    case 'bind':
      void started.then(() => bind(message.listen));
      return;
    case 'unbind':
      void started.then(() => ingress.abandon());
      return;
    case 'metrics':
      tellMetrics(message.id);
      return;
    case 'drain':
      void drain(message.timeoutMs);
      return;
  }
});

await started;
