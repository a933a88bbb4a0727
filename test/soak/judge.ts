/**
 * Judges the soak when its load has ended: first the sidecars at rest, then, when they have ended, what they have written down.
 */
import { join } from 'node:path';
import type { StoredRecord } from '../../src/audit/reader.ts';
import { verifyDirectory } from '../../src/audit/verify.ts';
import { until } from '../e2e/harness/until.ts';
import type { Events } from './events.ts';
import { EGRESS_SERVICE, type Ground, INGRESS_SERVICE } from './ground.ts';
import type { Ledger } from './ledger.ts';
import type { ProcessWatch } from './process-watch.ts';
import { type Logs, type MatchCounts, matchRecords, readAll } from './record-match.ts';
import type { SinkCounts } from './sink-process.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Two in ten thousand: of each connection's streams one may be opened in the moment of its GOAWAY. */
const MAX_CROSSING_SHARE = 1 / 5_000;
const AT_REST_MS = 30_000;
const DELIVERED_MS = 60_000;
/** Connections of the pools, of the collector, of a scrape: what may still be open when all clients are gone. */
const RESTING_DESCRIPTORS = 24;

/** The sidecars with no client: nothing is in progress, nothing is held, and they would serve. */
export async function judgeAtRest(ground: Ground, watches: readonly ProcessWatch[]): Promise<readonly Check[]> {
  const checks: Check[] = [];
  const rest = async (name: string, held: () => Promise<readonly string[]>): Promise<void> => {
    let last: readonly string[] = [];
    const nothing = async (): Promise<true | undefined> => ((last = await held()).length === 0 ? true : undefined);
    const ok = await until(name, nothing, AT_REST_MS, 200).catch(() => false);
    checks.push({ name, ok, detail: last.join(', ') });
  };
  await rest('no tenant has calls in progress or bytes in flight', async () => {
    const { text } = await ground.sidecar.admin('/tenants');
    // Boundary: it is our own admin port's answer.
    const { tenants } = JSON.parse(text) as {
      tenants: { id: string; callsInProgress: number; bytesInFlight: number }[];
    };
    return tenants
      .filter(({ callsInProgress, bytesInFlight }) => callsInProgress !== 0 || bytesInFlight !== 0)
      .map(({ id, callsInProgress, bytesInFlight }) => `${id}: ${callsInProgress} calls, ${bytesInFlight} bytes`);
  });
  const gauges = /^bulkhead_(calls_in_progress|connections|bytes_in_flight|egress_bytes_in_flight)\{[^}]*\} (?!0$)/;
  await rest('no gauge of the ingress counts anything', async () => {
    // The egress sidecar keeps its connections to the ingress.
    const { text } = await ground.sidecar.admin('/metrics');
    return text.split('\n').filter((line) => gauges.test(line) && !line.startsWith('bulkhead_connections'));
  });
  await rest('no gauge of the egress counts anything', async () => {
    const response = await fetch(`http://127.0.0.1:${ground.egress.adminPort}/metrics`);
    return (await response.text()).split('\n').filter((line) => gauges.test(line));
  });
  await rest('both are ready', async () => {
    const urls = [ground.sidecar.adminPort, ground.egress.adminPort].map((port) => `http://127.0.0.1:${port}/readyz`);
    const statuses = await Promise.all(urls.map(async (url) => (await fetch(url)).status));
    return statuses.filter((status) => status !== 200).map(String);
  });
  for (const watch of watches) {
    const before = watch.samples[0]?.descriptors ?? 0;
    await rest(`${watch.name} has closed its descriptors`, async () => {
      const { descriptors } = watch.now();
      return descriptors <= before + RESTING_DESCRIPTORS ? [] : [`${descriptors}, ${before} at the start`];
    });
  }
  return checks;
}

/** Ends both sidecars and judges what they leave behind. */
export async function judgeRecords(
  ground: Ground,
  ledger: Ledger,
  events: Events,
): Promise<{ readonly checks: readonly Check[]; readonly counts: MatchCounts }> {
  const checks: Check[] = [];
  const egressExit = await ground.egress.end();
  const ingressExit = await ground.sidecar.end();
  const exits = [egressExit, ingressExit].map(({ code, signal }) => code ?? signal);
  checks.push({
    name: 'both end by SIGTERM with code 0',
    ok: exits.every((code) => code === 0),
    detail: exits.join(', '),
  });
  for (const directory of [ground.sidecar.auditDirectory, ground.egress.auditDirectory]) {
    const report = await verifyDirectory(directory);
    const bad = report.writers.flatMap(({ writer, bad }) => (bad === undefined ? [] : [`${writer}: ${bad.why}`]));
    checks.push({ name: `audit verify ${nameOf(directory, ground)}`, ok: report.ok, detail: bad.join(', ') });
  }
  const logs: Logs = {
    ingress: await readAll(ground.sidecar.auditDirectory, ledger),
    egress: await readAll(ground.egress.auditDirectory, ledger),
  };
  const counts = matchRecords(ledger, logs);
  const died = callsThatDied(logs.ingress);
  checks.push({
    name: 'calls without a record, though they had an answer begun, are on record with the thread that died',
    ok: counts.lostWithWorker <= died,
    detail: `${counts.lostWithWorker} of ${died}`,
  });
  checks.push({
    name: 'few calls cross a GOAWAY and are too large to be repeated',
    ok: counts.tooLargeToRepeat <= Math.max(3, ledger.calls.length * MAX_CROSSING_SHARE),
    detail: String(counts.tooLargeToRepeat),
  });
  checks.push(...(await judgeSink(ground, logs)));
  checks.push(...judgeOutput([ingressExit.output, egressExit.output], events));
  const complaints = ground.modelComplaints;
  checks.push({
    name: 'the model server got what was sent',
    ok: complaints.length === 0,
    detail: complaints.slice(0, 5).join('; '),
  });
  return { checks, counts };
}

/** Calls that dead threads had in progress, as the audit log has it. */
function callsThatDied(records: readonly StoredRecord[]): number {
  return records.reduce((sum, { record }) => {
    if (record.type !== 'event' || record.event !== 'worker_died') return sum;
    return sum + Number(/calls in progress: (\d+)$/.exec(record.detail)?.[1] ?? 0);
  }, 0);
}

function nameOf(directory: string, ground: Ground): string {
  return directory === join(ground.sidecar.directory, 'audit') ? INGRESS_SERVICE : EGRESS_SERVICE;
}

/** The collector has each record once as a log, and each sampled call once as a span. */
async function judgeSink(ground: Ground, logs: Logs): Promise<readonly Check[]> {
  const wantedLogs = new Set<string>();
  const wantedSpans = new Set<string>();
  for (const [service, records] of [
    [INGRESS_SERVICE, logs.ingress],
    [EGRESS_SERVICE, logs.egress],
  ] as const) {
    for (const stored of records) {
      wantedLogs.add(placeOf(service, stored));
      if (stored.record.type === 'call' && (stored.record.sampled || stored.record.outcome !== 'ok'))
        wantedSpans.add(`${service}/${stored.record.spanId}`);
    }
  }
  let counts: SinkCounts = { logs: {}, spans: {} };
  const hasAll = async (): Promise<true | undefined> => {
    counts = await ground.sinkCounts();
    return Object.keys(counts.logs).length >= wantedLogs.size && Object.keys(counts.spans).length >= wantedSpans.size
      ? true
      : undefined;
  };
  await until('delivery', hasAll, DELIVERED_MS, 1_000).catch(() => undefined);
  return [
    exactlyOnce('the collector has each record once', wantedLogs, counts.logs),
    exactlyOnce('the collector has each call’s span once', wantedSpans, counts.spans),
  ];
}

function placeOf(service: string, { writer, segment, number }: StoredRecord): string {
  return `${service}/${writer}/${segment}/${number}`;
}

function exactlyOnce(name: string, wanted: ReadonlySet<string>, got: Readonly<Record<string, number>>): Check {
  const missing = [...wanted].filter((one) => got[one] === undefined);
  const repeated = Object.keys(got).filter((one) => (got[one] ?? 0) > 1);
  const strange = Object.keys(got).filter((one) => !wanted.has(one));
  const ok = missing.length + repeated.length + strange.length === 0;
  const examples = [...missing.slice(0, 2), ...repeated.slice(0, 2), ...strange.slice(0, 2)].join(' ');
  const detail = `${wanted.size}; ${missing.length} missing, ${repeated.length} repeated, ${strange.length} strange ${examples}`;
  return { name, ok, detail: detail.trimEnd() };
}

/** What may stand in a log at level error, and how often. */
function judgeOutput(outputs: readonly string[], events: Events): readonly Check[] {
  const lines = outputs.flatMap((output) => output.split('\n')).filter((line) => line !== '');
  const allowance = new Map([
    ['the changed configuration is refused; the last good one stays', events.refusedChanges],
    ['a worker died; its connections are lost, it is replaced', events.killedWorkers],
  ]);
  const unexplained = lines.filter((line) => {
    if (/^(Debugger |For help, see: )/.test(line)) return false;
    const { level, msg } = fieldsOf(line);
    if (level === 'info' || level === 'debug') return false;
    const left = allowance.get(msg) ?? 0;
    allowance.set(msg, left - 1);
    return left <= 0;
  });
  const name = 'no line at level warn or error without an event that explains it';
  return [{ name, ok: unexplained.length === 0, detail: unexplained.slice(0, 5).join('\n') }];
}

function fieldsOf(line: string): { readonly level: string; readonly msg: string } {
  try {
    // Boundary: the logger writes objects with these.
    const { level, msg } = JSON.parse(line) as { level: string; msg: string };
    return { level, msg };
  } catch {
    return { level: 'none', msg: '' };
  }
}
