/**
 * The collector of the soak, a process of its own: `node sink-process.ts`. It decodes every export and keeps of each audit record and
 * of each span how often it came. Prints where it listens; a GET on its second port gives the counts.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OtlpSink, type SunkLog } from '../fakes/otlp-sink.ts';
import { endWithParent } from './orphan.ts';

/** How often each came: `service/writer/segment/record` of audit logs, `service/span id` of server spans. */
export interface SinkCounts {
  readonly logs: Readonly<Record<string, number>>;
  readonly spans: Readonly<Record<string, number>>;
}

const logs = new Map<string, number>();
const spans = new Map<string, number>();
endWithParent();

const sink = new OtlpSink();
sink.refuse = (request) => {
  for (const log of request.logs) count(logs, nameOf(log));
  for (const span of request.spans) {
    if (span.kind.endsWith('SERVER')) count(spans, `${span.resource['service.name']}/${span.spanId}`);
  }
  // What is counted is not kept: a soak is long.
  sink.logs.length = 0;
  sink.spans.length = 0;
  sink.requests.length = 0;
  return undefined;
};
const endpoint = await sink.listenHttp();
const control = createServer((_request, response) => {
  const counts: SinkCounts = { logs: Object.fromEntries(logs), spans: Object.fromEntries(spans) };
  response.setHeader('connection', 'close');
  response.end(JSON.stringify(counts));
});
control.listen(0, '127.0.0.1', () => {
  // A TCP server's address is never a string.
  process.stdout.write(`endpoint ${endpoint} control ${(control.address() as AddressInfo).port}\n`);
});

function nameOf({ attributes, resource }: SunkLog): string {
  const place = ['writer', 'segment', 'record'].map((part) => attributes[`bulkhead.audit.${part}`]);
  return [resource['service.name'], ...place].join('/');
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
