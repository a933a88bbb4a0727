/**
 * When API keys were last used: written down by two workers and the main thread, and read by the command line after the end.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../fakes/cli.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

let upstream: ModelUpstream;
let sidecar: Sidecar;
const SECRET = createHash('sha256').update('a secret').digest('base64url');
const sha256 = createHash('sha256').update(SECRET).digest('hex');

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  const key = (id: string) => ({ id, sha256, expires: '2099-01-01T00:00:00Z' });
  sidecar = await Sidecar.start({
    tenants: [
      {
        id: 'acme',
        upstream: upstream.address,
        extra: {
          accept: ['api-key'],
          apiKeys: [key('used'), key('idle')],
          bindings: [{ role: 'all', keys: ['*'] }],
        },
      },
    ],
  });
});
afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

it('is at the admin port within seconds, and in a file that outlives the process', async () => {
  const client = tenantClient(sidecar, 'acme', { metadata: { 'x-api-key': `bk_used_${SECRET}` } });
  const before = Math.floor(Date.now() / 1000);
  expect(await client.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
  client.close();
  await until(
    'the use at /config',
    async () => (/"lastUsedAtSeconds": ?\d+/.test((await sidecar.admin('/config')).text) ? true : undefined),
    20_000,
  );
  await sidecar.end();
  const file = join(sidecar.directory, 'tenants/acme.yaml');
  const listed = await runCli(['keys', 'list', file, '--uses', sidecar.auditDirectory, '--json']);
  expect(listed.code).toBe(0);
  const { keys }: { readonly keys: readonly { readonly id: string; readonly lastUsed: string | null }[] } = JSON.parse(
    listed.out,
  );
  const [used, idle] = keys;
  expect(Date.parse(used?.lastUsed ?? '') / 1000).toBeGreaterThanOrEqual(before);
  expect([used?.id, idle?.id, idle?.lastUsed]).toEqual(['used', 'idle', null]);
});
