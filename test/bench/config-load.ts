/**
 * How long 10,000 tenants take to load, to look at again, and to reload with one changed; and what they weigh.
 *
 *   node test/bench/config-load.ts [tenants [keys [roles]]]
 *
 * Each tenant has a file, a certificate, a key, a client CA and a key set of its own, as in production, and so many API keys and roles with
 * a binding each (1 and 1).
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigurationLoader } from '../../src/config/load.ts';
import { createCa, issueServer } from '../../src/identity/issue.ts';
import { emptyDirectory, keySet, write } from '../fakes/configuration.ts';

const MAX_TENANTS = 100_000;

interface Size {
  readonly keys: number;
  readonly roles: number;
}

function writeTenants(directory: string, count: number, size: Size): void {
  const main = 'listen: { address: 127.0.0.1:0 }\naudit: { directory: audit }\ntenants: tenants/\n';
  write(join(directory, 'bulkhead.yaml'), main);
  for (let index = 0; index < count; index += 1) {
    const id = `tenant-${index}`;
    const ca = createCa({ commonName: `${id} CA`, days: 365 });
    const server = issueServer(ca, { dnsNames: [`${id}.models.example`], days: 365 });
    write(join(directory, `pki/${id}/server.pem`), server.certPem);
    write(join(directory, `pki/${id}/server-key.pem`), server.keyPem);
    write(join(directory, `pki/${id}/client-ca.pem`), ca.certPem);
    write(join(directory, `jwks/${id}.json`), keySet());
    write(join(directory, `tenants/${id}.yaml`), tenantFile(id, '100/s', size));
  }
}

function tenantFile(id: string, calls: string, { keys, roles }: Size): string {
  const of = (count: number, line: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => line(index)).join('');
  const hash = (index: number): string => createHash('sha256').update(`${id} ${index}`).digest('hex');
  return `tenant: ${id}
serverNames: [${id}.models.example]
certificate:
  chain: ../pki/${id}/server.pem
  key: ../pki/${id}/server-key.pem
clientCa: ../pki/${id}/client-ca.pem
trustDomain: ${id}.example
accept: [token, api-key]
issuers:
  - issuer: https://login.${id}.example
    audience: bulkhead
    jwks: { file: ../jwks/${id}.json }
    algorithms: [ES256]
apiKeys:
${of(keys, (index) => `  - { id: ${id}-${index}, sha256: ${hash(index)} }\n`)}roles:
${of(
  roles,
  (index) => `  - name: predictor-${index}
    methods: [ServerLive, ServerReady, ModelReady, ModelMetadata, ModelInfer, ModelStreamInfer]
    models: [fraud-${index}-*, shared-digits-${index}]
`,
)}bindings:
${of(
  roles,
  (index) => `  - role: predictor-${index}
    subjects: [alice, bob]
    keys: [${id}-${index % keys}]
`,
)}quota:
  tenant: { calls: ${calls}, burst: 200 }
  caller: { calls: 20/s, burst: 40 }
  concurrentCalls: 64
byteAccount: 64MiB
upstream:
  address: http://127.0.0.1:8001
`;
}

async function timed<T>(label: string, run: () => Promise<T>): Promise<T> {
  const before = performance.now();
  const cpu = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(cpu);
  const rss = Math.round(process.memoryUsage.rss() / 1024 ** 2);
  const wall = ((performance.now() - before) / 1000).toFixed(2);
  console.log(`${label.padEnd(28)} ${wall} s wall  ${((user + system) / 1e6).toFixed(2)} s CPU  ${rss} MiB RSS`);
  return result;
}

async function main(): Promise<void> {
  const count = Number(process.argv[2] ?? 10_000);
  if (!Number.isInteger(count) || count < 1 || count > MAX_TENANTS)
    throw new RangeError(`tenants: 1 to ${MAX_TENANTS}`);
  const size = { keys: Number(process.argv[3] ?? 1), roles: Number(process.argv[4] ?? 1) };
  const directory = emptyDirectory();
  try {
    // The first key pair loads OpenSSL's providers, which is no part of what is measured.
    generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeTenants(directory, count, size);
    const file = join(directory, 'bulkhead.yaml');
    const loader = new ConfigurationLoader({ environment: {} });
    const first = await timed(`first load, ${count} tenants`, () => loader.load(file, undefined));
    if (!first.ok) throw new Error(JSON.stringify(first.error.slice(0, 3), undefined, 1));
    const second = await timed('second load', () => loader.load(file, first.value));
    if (!second.ok || second.value.number !== 1 || second.value.tenants.length !== count)
      throw new Error('lost tenants');
    const same = await timed('nothing changed', () => loader.load(file, second.value));
    if (!same.ok || same.value !== second.value) throw new Error('a change where there is none');
    write(join(directory, 'tenants/tenant-0.yaml'), tenantFile('tenant-0', '50/s', size));
    const changed = await timed('one tenant changed', () => loader.load(file, same.value));
    if (!changed.ok || changed.value.number !== 2) throw new Error('the change was not seen');
    write(join(directory, 'tenants/tenant-0.yaml'), tenantFile('tenant-0', '40/s', size));
    const suspects = new Set([join(directory, 'tenants/tenant-0.yaml')]);
    const told = await timed('one changed, as watched', () => loader.load(file, changed.value, suspects));
    if (!told.ok || told.value.number !== 3) throw new Error('the change was not seen');
    const reloaded = told.value;
    const clone = await timed('clone for a new worker', async () => structuredClone(reloaded));
    if (clone.tenants.length !== count) throw new Error('lost tenants');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
