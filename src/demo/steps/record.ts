/**
 * What is left of it all: the trace, the usage and the audit chain.
 */
import { execFile } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { renderTable } from '../render/table.ts';
import { formatMicros, renderWaterfall } from '../render/waterfall.ts';
import type { Stage } from '../stage.ts';
import { type Check, check, type Step } from '../step.ts';
import type { ExportTally } from '../telemetry/otlp-forwarder.ts';
import { traceOfClient } from '../telemetry/span.ts';
import { type AuditSummary, summarizeAudit, USAGE_COLUMNS, usageRows } from '../usage.ts';

/** How long spans and audit records may take to arrive at the collector. */
const DELIVERY_TIMEOUT_MS = 10_000;
const GATHERING_TIMEOUT_MS = 3_000;
const VERIFY_TIMEOUT_MS = 20_000;

/** Every gate that an allowed inference passes, in order. */
const GATES = ['identify', 'authenticate', 'authorize', 'reserve', 'inspect', 'upstream'];

/** Attributes of the server span that are shown below the waterfall. */
const SHOWN = ['bulkhead.decision', 'bulkhead.decision.rule', 'bulkhead.caller.id', 'bulkhead.model.name'];

/** The trace of acme's first call. */
export const trace: Step = {
  title: 'The trace of acme’s first call',
  proves:
    'Every gate that took part is in it. The client’s own trace context is a link, since acme is not trusted to be a parent.',
  async run(stage, ink) {
    const clientTraceId = stage.notes.tracedCall?.traceId ?? '';
    const spans = await stage.sink.waitFor(() => {
      const found = traceOfClient(stage.sink.spans, clientTraceId);
      return found.some((span) => span.kind === 'client') ? found : undefined;
    }, DELIVERY_TIMEOUT_MS);
    if (spans === undefined)
      return { lines: [], checks: [check('spans of the call', 'none came', false, 'a server span and a client span')] };
    const [server] = spans;
    const tenant = server?.attributes['bulkhead.tenant.id'] ?? '';
    const told = new Set(spans.flatMap((span) => [span.name, ...span.events.map((event) => event.name)]));
    const gates = GATES.filter((gate) => told.has(`bulkhead.gate.${gate}`));
    const lasted = formatMicros((server?.endMicros ?? 0) - (server?.startMicros ?? 0));
    return {
      lines: [
        ...renderWaterfall(spans, ink),
        '',
        ...SHOWN.map((name) => ink.dim(`${name.padEnd(24)} ${server?.attributes[name] ?? ''}`)),
      ],
      checks: [
        check(
          `trace ${server?.traceId}`,
          `${spans.length} spans over OTLP, ${lasted}`,
          spans.length > 1,
          'more than one span',
        ),
        check(
          'bulkhead.tenant.id, linked to the client’s trace',
          `${tenant}, ${server?.links.includes(clientTraceId)}`,
          tenant === 'acme' && server?.links.includes(clientTraceId) === true,
          'acme, true',
        ),
        check('gates in it', gates.join(', '), gates.length === GATES.length, GATES.join(', ')),
        ...(await forwardedCheck(stage)),
      ],
    };
  },
};

/** Usage from the audit records. */
export const usage: Step = {
  title: 'Usage per tenant, counted from the audit records',
  proves: 'Exactly one record for each call, whatever became of it, under the tenant that made it.',
  async run(stage, ink) {
    const summary = await settledSummary(stage);
    const names = summary.tenants.map((tenant) => tenant.tenant).join(', ');
    const made = stage.counter.calls;
    const recounted = await bulkhead('usage', '--directory', stage.workplace.auditDirectory, '--verify');
    const refusals = [...summary.refusals].map(([reason, count]) => `${reason} ×${count}`).join(', ');
    return {
      lines: renderTable(USAGE_COLUMNS, usageRows(summary.tenants), ink),
      checks: [
        check(
          'calls on record, of calls that the demo made',
          `${summary.calls} of ${made}`,
          summary.calls === made,
          `${made} of ${made}`,
        ),
        check('tenants', names, names === 'acme, globex', 'acme, globex'),
        check(
          'bulkhead usage --verify',
          `exit code ${recounted.code}: ${recounted.output.at(-1)}`,
          recounted.code === 0 && recounted.output.some((line) => line.includes(`${made} calls on record`)),
          `exit code 0, ${made} calls`,
        ),
        check('refused before they were calls', refusals, summary.refusals.size > 0, 'the handshakes of step 7'),
      ],
    };
  },
};

/** The summary once it has the refused handshakes, which are gathered by the second before they are written. */
async function settledSummary(stage: Stage): Promise<AuditSummary> {
  const deadline = performance.now() + GATHERING_TIMEOUT_MS;
  for (;;) {
    const summary = await summarizeAudit(stage.workplace.auditDirectory);
    if (summary.refusals.size > 0 || performance.now() > deadline) return summary;
    await setTimeout(100);
  }
}

/** The chain, verified; and what the verifier says when one bit is changed. */
export const audit: Step = {
  title: 'The audit chain',
  proves: 'Nobody can change a record afterwards, not even by one bit, without the chain naming it.',
  async run(stage, ink) {
    const { auditDirectory } = stage.workplace;
    const summary = await summarizeAudit(auditDirectory);
    await stage.sink.waitFor(() => (stage.sink.logRecords >= summary.records ? true : undefined), DELIVERY_TIMEOUT_MS);
    const { logRecords } = stage.sink;
    const genuine = await verify(auditDirectory);
    const copy = stage.workplace.path('audit-forged');
    const forged = forge(auditDirectory, copy);
    const judged = await verify(copy);
    rmSync(copy, { recursive: true, force: true });
    const bad = judged.output.find((line) => line.includes(forged)) ?? judged.output.join(' ');
    return {
      lines: genuine.output.map((line) => ink.dim(line)),
      checks: [
        check(
          'bulkhead audit verify',
          `exit code ${genuine.code}, ${summary.records} records`,
          genuine.code === 0,
          'exit code 0',
        ),
        check(
          'the same with one bit changed in a copy',
          `exit code ${judged.code}: ${bad.trim()}`,
          judged.code !== 0 && bad.includes(forged),
          `it names ${forged}`,
        ),
        check(
          'delivered to the collector as OTLP logs',
          `${logRecords} of ${summary.records}`,
          logRecords >= summary.records,
          'all',
        ),
      ],
    };
  },
};

/** Says whether the spans have also reached the collector that the environment names; it need not take logs. */
async function forwardedCheck(stage: Stage): Promise<Check[]> {
  const { forwarder } = stage;
  if (forwarder === undefined) return [];
  await forwarder.settle();
  const { traces, logs } = forwarder.tallies;
  const seen = `traces: ${tellTally(traces)}; logs: ${tellTally(logs)}`;
  const passed = traces.accepted > 0 && traces.refused === 0;
  return [check(`the same to ${forwarder.endpoint} (${forwarder.protocol})`, seen, passed, 'all traces accepted')];
}

function tellTally({ accepted, refused, lastError }: ExportTally): string {
  return refused === 0 ? `${accepted} accepted` : `${refused} of ${accepted + refused} refused (${lastError})`;
}

/** Copies the log and flips one bit in the middle of its largest segment; returns that segment's name. */
function forge(directory: string, copy: string): string {
  rmSync(copy, { recursive: true, force: true });
  cpSync(directory, copy, { recursive: true });
  const files = readdirSync(copy, { withFileTypes: true }).filter((entry) => entry.isFile());
  const contents = files.map(({ name }) => ({ name, bytes: readFileSync(join(copy, name)) }));
  const largest = contents.reduce((a, b) => (b.bytes.length > a.bytes.length ? b : a));
  const middle = largest.bytes.length >> 1;
  largest.bytes.writeUInt8(largest.bytes.readUInt8(middle) ^ 1, middle);
  writeFileSync(join(copy, largest.name), largest.bytes);
  return largest.name;
}

function verify(directory: string): ReturnType<typeof bulkhead> {
  return bulkhead('audit', 'verify', directory);
}

/** Runs a command of the command line to its end. */
function bulkhead(...args: readonly string[]): Promise<{ readonly code: number; readonly output: readonly string[] }> {
  const main = fileURLToPath(new URL('../../main.ts', import.meta.url));
  return new Promise((resolve) => {
    const options = { timeout: VERIFY_TIMEOUT_MS, encoding: 'utf8' } as const;
    execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, output: `${stdout}${stderr}`.split('\n').filter((line) => line.trim() !== '') });
    });
  });
}
