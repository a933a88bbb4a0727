/**
 * What a changed configuration does to the process itself: how many workers there are, where tenants connect to, where the admin
 * port is, where telemetry goes to.
 *
 * It is made in two steps. What can fail is done first and beside what there is, so that a change is refused as a whole and nobody
 * has noticed: more workers, which then listen; the new address, bound by every worker; the admin port. After that nothing can
 * fail, and what is no longer wanted lets its calls end.
 */
import type { Finding } from '../config/finding.ts';
import type { Generation, ListenerConfig } from '../config/generation.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import type { SharedState } from '../quota/shared-state.ts';
import type { AdminPort } from './admin-port.ts';
import { isSameAddress } from './bound-address.ts';
import type { TelemetryHandle } from './telemetry-handle.ts';
import type { WorkerPool } from './worker-pool.ts';

/** The parts of the process that a change is about. */
export interface LiveParts {
  readonly pool: WorkerPool;
  readonly admin: AdminPort;
  readonly telemetry: TelemetryHandle;
}

/** A change that can be made: one of the two is called. */
export interface PreparedChange {
  /** Makes it: `next` is `after`, with the slots that its tenants have got. Resolves when every worker uses it. */
  make(next: Generation): Promise<void>;
  /** Leaves everything as it was. */
  undo(): Promise<void>;
}

/** Why a change cannot be made now. */
export type ChangeProblem = Pick<Finding, 'path' | 'message' | 'fix'>;

/** Does the part of a change that can fail. */
export async function prepareChange(
  { pool, admin, telemetry }: LiveParts,
  before: Generation,
  after: Generation,
): Promise<Result<PreparedChange, ChangeProblem>> {
  const undo: (() => unknown)[] = [];
  const undoAll = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  let problem: Omit<ChangeProblem, 'message'> = {
    path: 'workers',
    fix: 'mend what ended the new worker, or write fewer',
  };
  try {
    if (after.workers > before.workers) {
      await pool.grow(after.workers);
      undo.push(() => pool.shrink(before.workers));
    }
    const door = newDoor(pool, before, after);
    if (door !== undefined) {
      problem = { path: 'listen.address', fix: `free ${addressText(door)}, or name another address` };
      undo.push(() => pool.abandon());
      await pool.prepare(door);
    }
    problem = { path: 'admin.address', fix: `free ${addressText(after.admin)}, or name another address` };
    const move = await admin.prepare(before.admin, after.admin);
    undo.push(() => move.undo());
    return ok({
      make: async (next) => {
        await pool.apply(next);
        pool.shrink(next.workers);
        await move.make();
        telemetry.apply(next.telemetry);
      },
      undo: undoAll,
    });
  } catch (cause) {
    await undoAll();
    return err({ ...problem, message: cause instanceof Error ? cause.message : String(cause) });
  }
}

/** What does not fit into the shared tables of this process. */
export function whatDoesNotFit(shared: SharedState, after: Generation): ChangeProblem | undefined {
  if (after.workers > shared.workers) {
    const message = `${after.workers} are more than the ${shared.workers} workers that this process has room for`;
    return { path: 'workers', message, fix: 'restart the process, or write fewer' };
  }
  if (after.tenants.some((tenant) => tenant.slot >= shared.tenantSlots)) {
    const message = `more tenants than the ${shared.tenantSlots} that this process has room for`;
    return { path: 'tenants', message, fix: 'restart the process' };
  }
  const { fleet } = after;
  if (fleet !== undefined && fleet.salt !== shared.limits.leases?.salt) {
    const message = 'was not what it is when this process started: it has no place for limits that are counted so';
    return { path: 'fleet', message, fix: 'restart the process' };
  }
  return undefined;
}

/** A loaded generation as far as it can come into force, and the settings that wait for the next start. */
export interface Enforceable {
  readonly generation: Generation;
  readonly waiting: readonly string[];
}

/**
 * Takes from `current` what only a start can change: each worker's audit log is one chain of files in one directory, a thread's heap
 * has the size that it began with, and a server's handshake time the length.
 */
export function enforceable(current: Generation, loaded: Generation): Enforceable {
  const { handshakeTimeoutMs, workerHeapBytes } = current.limits;
  const waiting: string[] = [];
  if (JSON.stringify(current.audit) !== JSON.stringify(loaded.audit)) waiting.push('audit');
  if (handshakeTimeoutMs !== loaded.limits.handshakeTimeoutMs) waiting.push('limits.handshakeTimeout');
  if (workerHeapBytes !== loaded.limits.workerHeapBytes) waiting.push('limits.workerHeap');
  if (waiting.length === 0) return { generation: loaded, waiting };
  const limits = { ...loaded.limits, handshakeTimeoutMs, workerHeapBytes };
  return { generation: { ...loaded, audit: current.audit, limits }, waiting };
}

/**
 * What has to be bound for a generation; undefined: nothing, it is. Load balancers before the door, or tenants that share it, ask for another
 * kind of server, which shares the port with the one that there was until that is closed.
 */
function newDoor({ listen }: WorkerPool, before: Generation, after: Generation): ListenerConfig | undefined {
  if (listen === undefined || before.listener === undefined || after.listener === undefined) return after.listener;
  if (!isSameAddress(listen, before.listener, after.listener)) return after.listener;
  const kindOf = ({ proxyProtocol, shared }: ListenerConfig): string =>
    `${proxyProtocol !== undefined} ${shared !== undefined}`;
  return kindOf(before.listener) === kindOf(after.listener) ? undefined : { ...after.listener, port: listen.port };
}

function addressText({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
