/**
 * Usage per tenant, counted from the audit log: what is billed and what is on record cannot disagree.
 */
import { readRecords } from '../audit/reader.ts';
import type { CallRecord } from '../audit/record.ts';
import type { Column } from './render/table.ts';

export interface TenantUsage {
  readonly tenant: string;
  calls: number;
  ok: number;
  denied: number;
  /** Failed or cancelled. */
  other: number;
  requestBytes: number;
  responseBytes: number;
  /** Reasons of refusals, with how often. */
  readonly reasons: Map<string, number>;
}

export interface AuditSummary {
  /** Records of any kind. */
  readonly records: number;
  readonly calls: number;
  /** Refusals before a call existed, by reason. */
  readonly refusals: ReadonlyMap<string, number>;
  readonly unreadable: readonly string[];
  /** By tenant id. */
  readonly tenants: readonly TenantUsage[];
}

/** Reads a whole audit directory. */
export async function summarizeAudit(directory: string): Promise<AuditSummary> {
  const tenants = new Map<string, TenantUsage>();
  const refusals = new Map<string, number>();
  const unreadable: string[] = [];
  let records = 0;
  let calls = 0;
  for await (const stored of readRecords(directory, {})) {
    if (!('record' in stored)) {
      unreadable.push(`${stored.file}, record ${stored.number}: ${stored.why}`);
      continue;
    }
    records += 1;
    const { record } = stored;
    if (record.type === 'refusal') add(refusals, record.reason, record.count);
    if (record.type !== 'call') continue;
    calls += 1;
    countCall(tenants, record);
  }
  const byId = [...tenants.values()].toSorted((a, b) => a.tenant.localeCompare(b.tenant));
  return { records, calls, refusals, unreadable, tenants: byId };
}

/** Adds one call to its tenant's usage. */
export function countCall(tenants: Map<string, TenantUsage>, call: CallRecord): void {
  const usage = tenants.getOrInsertComputed(call.tenant, emptyUsage);
  usage.calls += 1;
  usage.requestBytes += call.requestBytes;
  usage.responseBytes += call.responseBytes;
  if (call.outcome === 'ok') usage.ok += 1;
  else if (call.outcome === 'denied') usage.denied += 1;
  else usage.other += 1;
  if (call.outcome !== 'ok') add(usage.reasons, call.reason, 1);
}

export const USAGE_COLUMNS: readonly Column[] = [
  { title: 'tenant', align: 'left' },
  { title: 'calls', align: 'right' },
  { title: 'ok', align: 'right' },
  { title: 'denied', align: 'right' },
  { title: 'other', align: 'right' },
  { title: 'bytes in', align: 'right' },
  { title: 'bytes out', align: 'right' },
  { title: 'why refused', align: 'left' },
];

/** The table's rows. */
export function usageRows(tenants: readonly TenantUsage[]): string[][] {
  return tenants.map((usage) => [
    usage.tenant,
    String(usage.calls),
    String(usage.ok),
    String(usage.denied),
    String(usage.other),
    usage.requestBytes.toLocaleString('en'),
    usage.responseBytes.toLocaleString('en'),
    [...usage.reasons].map(([reason, count]) => `${reason} ×${count}`).join(', '),
  ]);
}

function emptyUsage(tenant: string): TenantUsage {
  return { tenant, calls: 0, ok: 0, denied: 0, other: 0, requestBytes: 0, responseBytes: 0, reasons: new Map() };
}

function add(counts: Map<string, number>, key: string, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}
