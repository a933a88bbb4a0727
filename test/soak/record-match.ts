/**
 * Holds the audit logs against the calls that were made: each call that reached a sidecar has exactly one record there, which says of
 * it what its client saw; and no record is without a call.
 */
import { readRecords, type StoredRecord } from '../../src/audit/reader.ts';
import type { CallRecord } from '../../src/audit/record.ts';
import { MAX_REPLAY_BYTES } from '../../src/proxy/replay.ts';
import { describeCall, type Ledger, type SoakCall } from './ledger.ts';

export interface MatchCounts {
  readonly ingressRecords: number;
  readonly egressRecords: number;
  /** Calls that may be without a record, and are: cut with their connection or never sent. */
  readonly unrecorded: number;
  /** Of these, such as their sidecar had already answered something: they died with a data-plane thread. */
  readonly lostWithWorker: number;
  /** Calls that the model server had not looked at when it said GOAWAY, and of which the sidecar had not kept all to send it again. */
  readonly tooLargeToRepeat: number;
}

export interface Logs {
  readonly ingress: readonly StoredRecord[];
  readonly egress: readonly StoredRecord[];
}

/** All records of a directory; whatever is unreadable is a violation. */
export async function readAll(directory: string, ledger: Ledger): Promise<readonly StoredRecord[]> {
  const records: StoredRecord[] = [];
  for await (const stored of readRecords(directory, {})) {
    if ('record' in stored) records.push(stored);
    else ledger.violate(`audit log ${stored.file}:${stored.number}: ${stored.why}`);
  }
  return records;
}

/** Every violation goes to the ledger. */
export function matchRecords(ledger: Ledger, logs: Logs): MatchCounts {
  const atIngress = byTrace(logs.ingress, (record) => record.clientTrace?.traceId ?? '');
  const atEgress = byTrace(logs.egress, (record) => record.traceId);
  let unrecorded = 0;
  let lostWithWorker = 0;
  let tooLargeToRepeat = 0;
  for (const call of ledger.calls) {
    const ingress = take(atIngress, call.traceId);
    const egress = take(atEgress, call.traceId);
    const own = call.via === 'direct' ? ingress : egress;
    if (ingress.length > 1 || egress.length > 1 || (call.via === 'direct' && egress.length > 0)) {
      ledger.violate(`${describeCall(call)}: ${ingress.length} records at the ingress, ${egress.length} at the egress`);
    }
    const [record] = own;
    if (ledger.unavailable.has(call)) {
      if (isTooLargeToRepeat(ingress[0])) tooLargeToRepeat += 1;
      else ledger.suspect(call);
    }
    if (ledger.suspects.has(call))
      for (const one of [...ingress, ...egress]) ledger.explain(call, `on record ${recordText(one)}`);
    if (record === undefined) {
      const mayHaveDied = [...ledger.felt(call)].some(({ recordsMayBeLost }) => recordsMayBeLost);
      if (mayHaveDied && call.end?.kind !== 'status') lostWithWorker += call.sawHeaders ? 1 : 0;
      else if (call.sawHeaders || !mayBeUnrecorded(call)) ledger.violate(`${describeCall(call)}: no record`);
      unrecorded += 1;
    } else {
      for (const why of disagreements(call, record)) ledger.violate(`${describeCall(call)}: its record ${why}`);
    }
    if (call.via === 'egress' && record !== undefined) matchIngress(ledger, call, record, ingress[0]);
  }
  for (const [where, rest] of [
    ['ingress', atIngress],
    ['egress', atEgress],
  ] as const) {
    for (const [trace, records] of rest) {
      const { method, tenant, reason } = records[0] ?? {};
      ledger.violate(
        `${records.length} records at the ${where} without a call: ${trace} ${tenant} ${method} ${reason}`,
      );
    }
  }
  return {
    ingressRecords: countCalls(logs.ingress),
    egressRecords: countCalls(logs.egress),
    unrecorded,
    lostWithWorker,
    tooLargeToRepeat,
  };
}

/**
 * node:http2's server, once it has said GOAWAY, no more looks at streams that cross it, though it has said that it will; the sidecar
 * repeats those of which it still has all: 64 KiB of each, paid for by the tenant's account.
 */
function isTooLargeToRepeat(record: CallRecord | undefined): boolean {
  if (record?.reason !== 'upstream_unavailable' || !record.detail.includes('the connection ended (closed)'))
    return false;
  return record.requestBytes > MAX_REPLAY_BYTES || record.tenant === SMALL_ACCOUNT;
}

const SMALL_ACCOUNT = 'globex';

function recordText(record: CallRecord): string {
  const { outcome, grpcStatus, reason, detail, requestBytes, responseBytes, caller, startedAt, durationMicros } =
    record;
  const from = new Date(startedAt / 1000).toISOString();
  return `${caller}: ${outcome} ${grpcStatus} ${reason} (${detail}), ${requestBytes} in, ${responseBytes} out, ${from} + ${durationMicros} us`;
}

/** What the egress passed on is on record at the ingress, too. */
function matchIngress(ledger: Ledger, call: SoakCall, egress: CallRecord, ingress: CallRecord | undefined): void {
  const answered = egress.outcome === 'ok';
  if (ingress === undefined) {
    if (answered) ledger.violate(`${describeCall(call)}: answered through the egress, and no record at the ingress`);
    return;
  }
  if (answered && ingress.grpcStatus !== egress.grpcStatus)
    ledger.violate(`${describeCall(call)}: ${egress.grpcStatus} at the egress, ${ingress.grpcStatus} at the ingress`);
  if (ingress.tenant !== call.tenant || !ingress.tenantVerified)
    ledger.violate(`${describeCall(call)}: on record at the ingress for ${ingress.tenant}`);
}

/** Whether nothing can be said of such a call: what its client sent may never have been read. */
function mayBeUnrecorded(call: SoakCall): boolean {
  switch (call.end?.kind) {
    case 'unsent':
    case 'connection':
      return true;
    case 'cancelled':
      return call.mayBeUnsent;
    case 'reset':
      // Refused untouched.
      return call.end.code === 7;
    default:
      return false;
  }
}

const UNAUTHENTICATED = 16;

/** What a record says that cannot be. */
function* disagreements(call: SoakCall, record: CallRecord): Generator<string> {
  const { end } = call;
  if (record.tenant !== call.tenant) yield `says tenant ${record.tenant}`;
  if (end?.kind === 'unsent') yield 'is of a call that never left';
  if (end?.kind !== 'status') return;
  if (record.grpcStatus !== end.status) yield `says status ${record.grpcStatus} (${record.reason} ${record.detail})`;
  // Whoever had been let in was verified, also when that has ended.
  const wasLetIn = record.reason === 'authorization_expired';
  if (end.status === UNAUTHENTICATED && record.tenantVerified && !wasLetIn) yield 'says that its tenant is verified';
  if (end.status !== 0) return;
  if (!record.tenantVerified) yield 'says that its tenant is not verified';
  if (record.outcome !== 'ok') yield `says ${record.outcome} (${record.reason} ${record.detail})`;
  if (record.responseBytes !== call.receivedBytes)
    yield `says ${record.responseBytes} octets came back, and ${call.receivedBytes} did`;
  if (call.sentAll && record.requestBytes !== call.sentBytes)
    yield `says ${record.requestBytes} octets were sent, and ${call.sentBytes} were`;
}

function byTrace(records: readonly StoredRecord[], traceOf: (record: CallRecord) => string): Map<string, CallRecord[]> {
  const found = new Map<string, CallRecord[]>();
  for (const { record } of records) {
    if (record.type !== 'call') continue;
    const trace = traceOf(record);
    const known = found.get(trace);
    if (known === undefined) found.set(trace, [record]);
    else known.push(record);
  }
  return found;
}

function take(records: Map<string, CallRecord[]>, trace: string): readonly CallRecord[] {
  const found = records.get(trace) ?? [];
  records.delete(trace);
  return found;
}

function countCalls(records: readonly StoredRecord[]): number {
  return records.filter(({ record }) => record.type === 'call').length;
}
