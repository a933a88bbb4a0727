/**
 * A call that the running sidecar has refused is explained by its record, and by the admin port: all three say the same.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CallRecord } from '../../src/audit/record.ts';
import { auditRecord } from './harness/audit-records.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar, tenantYaml } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

let upstream: ModelUpstream;
let sidecar: Sidecar;

function reading(models: readonly string[]): Readonly<Record<string, unknown>> {
  return {
    roles: [{ name: 'reader', methods: ['ModelInfer'], models }],
    bindings: [{ role: 'reader', certificates: ['*'] }],
  };
}

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({ tenants: [{ id: 'acme', upstream: upstream.address, extra: reading(['digits']) }] });
});
afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

/** Calls a model, and waits for the call's record. */
async function called(model: string): Promise<{ readonly code: string; readonly record: CallRecord }> {
  const client = tenantClient(sidecar, 'acme');
  const { code } = await client.infer({ modelName: model, inputs: [] });
  client.close();
  const record = await auditRecord(sidecar, model, (one) => one.type === 'call' && one.model === model);
  if (record.type !== 'call') throw new Error('no call');
  return { code, record };
}

interface Answer {
  readonly verdict: string;
  readonly caller: string;
  readonly refusal?: { readonly kind: string; readonly status: string; readonly allow: readonly string[] };
}

async function askAdmin(model: string): Promise<Answer & { readonly generation: number }> {
  const certificate = sidecar.tenant('acme').pki.spiffeId;
  const query = new URLSearchParams({ tenant: 'acme', method: 'ModelInfer', model, certificate });
  const { status, text } = await sidecar.admin(`/explain?${query.toString()}`);
  expect(status).toBe(200);
  return JSON.parse(text);
}

/** `bulkhead explain --record` beside the running sidecar. */
function askCli(id: string): Promise<{
  readonly code: number;
  readonly out: { readonly recorded: { readonly reason: string }; readonly present: Answer; readonly differs: boolean };
}> {
  const args = [MAIN, 'explain', '--config', join(sidecar.directory, 'bulkhead.yaml'), '--record', id, '--json'];
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, args, (_, out, err) => {
      if (out === '') reject(new Error(err));
      else resolve({ code: child.exitCode ?? -1, out: JSON.parse(out) });
    });
  });
}

it('the call, its record, the admin port and the command line agree on why, before and after a change', async () => {
  const { code, record } = await called('fraud');
  expect(code).toBe('PERMISSION_DENIED');
  expect(record).toMatchObject({ outcome: 'denied', reason: 'model_denied' });

  const admin = await askAdmin('fraud');
  const cli = await askCli(record.traceId);
  expect(admin).toMatchObject({ generation: 1, verdict: 'denied', caller: record.caller });
  expect(cli).toMatchObject({ code: 1, out: { differs: false, recorded: { reason: record.reason } } });
  for (const { refusal } of [admin, cli.out.present]) {
    expect(refusal).toMatchObject({ kind: record.reason, status: code });
    expect(refusal?.allow[0]).toMatch(/^add fraud to the models of role `reader` \(tenants\/acme\.yaml:\d+\)$/);
  }

  // What the explanation says would have allowed it does allow it.
  const extra = reading(['digits', 'fraud']);
  sidecar.writeTenantFile('acme', tenantYaml({ id: 'acme', upstream: upstream.address, extra }));
  await until('the change', async () => ((await askAdmin('fraud')).generation > 1 ? true : undefined), 10_000);
  expect(await askAdmin('fraud')).toMatchObject({ verdict: 'allowed' });
  expect(await askCli(record.traceId)).toMatchObject({ code: 0, out: { differs: true } });
  const client = tenantClient(sidecar, 'acme');
  await until(
    'the model',
    async () => ((await client.infer({ modelName: 'fraud', inputs: [] })).code === 'OK' ? true : undefined),
    10_000,
  );
  client.close();
});
