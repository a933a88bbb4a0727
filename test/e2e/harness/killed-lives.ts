/**
 * Lives of a sidecar on one audit directory, each ended by `kill -9` under load. What the usage says afterwards is held against the
 * records, counted in another way than the sidecar does.
 */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readRecords } from '../../../src/audit/reader.ts';
import { readStoredUsage } from '../../../src/usage/stored-usage.ts';
import { usageReport } from '../../../src/usage/usage-report.ts';
import { type UsageVerification, verifyUsage } from '../../../src/usage/usage-verify.ts';
import type { ModelUpstream } from './model-upstream.ts';
import { Sidecar } from './sidecar.ts';
import { tenantClient } from './tenant-client.ts';

const TENANTS = ['acme', 'umbra'] as const;
const LOOPS_PER_CLIENT = 8;

/** Sums by tenant: `calls requestBytes responseBytes requestMessages responseMessages`. */
export type Sums = ReadonlyMap<string, string>;

/** Starts a sidecar, lets both tenants call it, and kills it after so long. Returns how many calls were answered. */
export async function killedLife(upstream: ModelUpstream, audit: string, runMs: number): Promise<number> {
  const sidecar = await Sidecar.start({
    tenants: TENANTS.map((id) => ({ id, upstream: upstream.address })),
    // Small segments, so that the roll-up saves often, and is hit between its files.
    extra: { audit: { directory: audit, segmentSize: '1MiB', maxSize: '16MiB' } },
  });
  const clients = TENANTS.map((tenant) => tenantClient(sidecar, tenant));
  let answered = 0;
  const loops = clients.flatMap((client, index) =>
    Array.from({ length: LOOPS_PER_CLIENT }, async (_, loop) => {
      for (let call = 0; ; call++) {
        const modelName = `model-${index}-${loop % 3}`;
        const { code } = await client.infer({ modelName, id: 'delay:0', inputs: [] });
        if (code !== 'OK') return;
        answered += 1;
      }
    }),
  );
  await sleep(runMs / 2);
  // A question has it take in what there is at that moment.
  const asked = await sidecar.admin('/usage?by=total');
  if (asked.status !== 200) throw new Error(asked.text);
  await sleep(runMs / 2);
  process.kill(sidecar.child.pid, 'SIGKILL');
  await Promise.all(loops);
  for (const client of clients) client.close();
  await sidecar.end();
  rmSync(sidecar.directory, { recursive: true, force: true });
  return answered;
}

/** As the usage has it: the files, and what the records say since. */
export async function usageSums(
  audit: string,
): Promise<{ readonly sums: Sums; readonly verification: UsageVerification }> {
  const { rollUp, warnings } = await readStoredUsage(audit);
  try {
    if (warnings.length > 0) throw new Error(warnings.join('\n'));
    const question = {
      tenant: undefined,
      sinceMs: 0,
      untilMs: Number.POSITIVE_INFINITY,
      by: 'total',
      per: 'tenant',
      zone: 'UTC',
    } as const;
    const { lines } = await usageReport(rollUp, question);
    const sums = new Map(
      lines.map(({ tenant, used }) => [
        tenant,
        sumText(used.calls, used.requestBytes, used.responseBytes, used.requestMessages, used.responseMessages),
      ]),
    );
    return { sums, verification: await verifyUsage(rollUp, audit) };
  } finally {
    rollUp.close();
  }
}

/** As the records have it. */
export async function recordedSums(audit: string): Promise<Sums> {
  const sums = new Map<string, [number, number, number, number, number]>();
  for await (const stored of readRecords(audit, {})) {
    if (!('record' in stored)) throw new Error(`${stored.file}:${stored.number}: ${stored.why}`);
    const { record } = stored;
    if (record.type !== 'call') continue;
    const sum = sums.get(record.tenant) ?? [0, 0, 0, 0, 0];
    sums.set(record.tenant, sum);
    sum[0] += 1;
    sum[1] += record.requestBytes;
    sum[2] += record.responseBytes;
    sum[3] += record.requestMessages;
    sum[4] += record.responseMessages;
  }
  return new Map([...sums].map(([tenant, sum]) => [tenant, sumText(...sum)]));
}

function sumText(...numbers: readonly number[]): string {
  return numbers.join(' ');
}
