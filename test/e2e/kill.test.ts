/**
 * `kill -9` under load: of every call that a client saw answered there is a record, and the chain is whole.
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyDirectory } from '../../src/audit/verify.ts';
import type { InferenceClient } from '../../src/demo/inference-client.ts';
import { auditRecords } from './harness/audit-records.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';

const ROUNDS = 3;
const LOOPS_PER_CLIENT = 8;

let upstream: ModelUpstream;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
});
afterAll(() => upstream?.stop());

/** Calls one after the other, each for a model name of its own, until one fails. Returns the names that were answered. */
async function answered(client: InferenceClient, loop: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (let call = 0; call < 100_000; call++) {
    const modelName = `${loop}-${call}`;
    const { code } = await client.infer({ modelName, id: 'delay:1', inputs: [] });
    if (code !== 'OK') return names;
    names.push(modelName);
  }
  return names;
}

describe('a sidecar that is killed', () => {
  it.each(Array.from({ length: ROUNDS }, (_, round) => round))(
    'has on record every call that a client saw answered (round %i)',
    async (round) => {
      const sidecar = await Sidecar.start({ tenants: [{ id: 'acme', upstream: upstream.address }] });
      try {
        const clients = Array.from({ length: 4 }, () => tenantClient(sidecar, 'acme'));
        const loops = clients.flatMap((client, index) =>
          Array.from({ length: LOOPS_PER_CLIENT }, (_, loop) => answered(client, `r${round}-c${index}-l${loop}`)),
        );
        await new Promise((resolve) => setTimeout(resolve, 1_000 + 137 * round));
        process.kill(sidecar.child.pid, 'SIGKILL');
        const seen = (await Promise.all(loops)).flat();
        for (const client of clients) client.close();

        expect(seen.length).toBeGreaterThan(100);
        const recorded = new Map<string, number>();
        for (const record of await auditRecords(sidecar)) {
          if (record.type !== 'call' || record.outcome !== 'ok') continue;
          recorded.set(record.model, (recorded.get(record.model) ?? 0) + 1);
        }
        expect(seen.filter((name) => recorded.get(name) !== 1)).toEqual([]);
        expect((await verifyDirectory(sidecar.auditDirectory)).ok).toBe(true);
      } finally {
        await sidecar.end();
        rmSync(sidecar.directory, { recursive: true, force: true });
      }
    },
  );
});
