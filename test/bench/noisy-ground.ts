/**
 * What the noisy neighbours stand on: two tenants of the same shape, each with a model server of its own and the same rate that it may
 * call at, behind the sidecar and behind Envoy.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { newSecret } from '../../src/authn/api-key-secret.ts';
import { accepts, Child } from '../e2e/harness/child.ts';
import { freePorts } from '../e2e/harness/free-port.ts';
import { tenantPki } from '../fakes/pki.ts';
import type { CallTarget } from './caller.ts';
import { LOAD_CORE } from './load.ts';
import { ATTACKER, NOISY_KEY_ID, noisyIssuer } from './noisy-attacks.ts';
import { pinned, type Running } from './subjects/subject.ts';

/** Each tenant may call so often in a second; the neighbour calls half as often. */
export const TENANT_CALLS_PER_SECOND = 1_000;

export interface NoisyTenant {
  readonly id: string;
  readonly serverName: string;
  readonly backendPort: number;
  /** Files: certificate chain and key, its clients' CA, its issuer's keys. */
  readonly chain: string;
  readonly key: string;
  readonly ca: string;
  readonly jwks: string;
  readonly caPem: string;
  readonly clientPem: string;
}

export interface NoisyGround {
  readonly directory: string;
  readonly attacker: NoisyTenant;
  readonly neighbour: NoisyTenant;
  stop(): Promise<void>;
}

export interface NoisySubject {
  readonly name: 'bulkhead' | 'envoy';
  readonly running: Running;
}

export async function noisyGround(directory: string): Promise<NoisyGround> {
  const [attackerPort = 0, neighbourPort = 0] = await freePorts(2);
  mkdirSync(join(directory, 'tenants'));
  const attacker = tenantOf(directory, ATTACKER, attackerPort);
  const neighbour = tenantOf(directory, 'globex', neighbourPort);
  // The attacker's own model server waits for everybody else on its core.
  const backends = [await backendOn(attackerPort, 19), await backendOn(neighbourPort, 0)];
  const stop = async (): Promise<void> => {
    for (const backend of backends) await backend.stop();
  };
  return { directory, attacker, neighbour, stop };
}

export const targetOf = ({ serverName, clientPem }: NoisyTenant, { port }: Running): CallTarget => ({
  port,
  tls: true,
  serverName,
  clientPem,
});

async function backendOn(port: number, niceness: number): Promise<Child> {
  const program = join(import.meta.dirname, 'backend.ts');
  const args = ['-c', LOAD_CORE, 'nice', '-n', String(niceness), process.execPath, program, String(port)];
  const backend = await Child.spawn('the backend', { command: 'taskset', args });
  await backend.until('listening', () => accepts(port));
  return backend;
}

function tenantOf(directory: string, id: string, backendPort: number): NoisyTenant {
  const pki = tenantPki(id);
  const write = (name: string, text: string): string => {
    const file = join(directory, `${id}-${name}`);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: NOISY_KEY_ID, alg: 'ES256', use: 'sig' };
  const tenant: NoisyTenant = {
    id,
    serverName: pki.serverName,
    backendPort,
    chain: write('server.pem', pki.server.certPem),
    key: write('server.key', pki.server.keyPem),
    ca: write('ca.pem', pki.ca.certPem),
    jwks: write('jwks.json', JSON.stringify({ keys: [jwk] })),
    caPem: pki.ca.certPem,
    clientPem: write('client.pem', pki.client.certPem + pki.client.keyPem),
  };
  writeFileSync(join(directory, 'tenants', `${id}.yaml`), stringify(tenantFile(tenant)));
  return tenant;
}

function tenantFile({ id, serverName, backendPort, chain, key, ca, jwks }: NoisyTenant): object {
  return {
    tenant: id,
    serverNames: [serverName],
    certificate: { chain, key },
    clientCa: ca,
    trustDomain: `${id}.example`,
    accept: ['certificate', 'token', 'api-key'],
    issuers: [{ issuer: noisyIssuer(id), audience: 'ml', jwks: { file: jwks }, algorithms: ['ES256'] }],
    // A key whose secret nobody has.
    apiKeys: [{ id, sha256: newSecret(id).sha256, expires: '2099-01-01T00:00:00Z' }],
    roles: [{ name: 'predict', methods: ['ModelInfer'], models: ['digits'] }],
    bindings: [{ role: 'predict', certificates: ['*'] }],
    quota: { tenant: { calls: `${TENANT_CALLS_PER_SECOND}/s`, burst: TENANT_CALLS_PER_SECOND } },
    upstream: { address: `http://127.0.0.1:${backendPort}` },
  };
}

export async function startBulkhead({ directory }: NoisyGround): Promise<NoisySubject> {
  const [port = 0, adminPort = 0] = await freePorts(2);
  mkdirSync(join(directory, 'audit'), { mode: 0o700 });
  const file = join(directory, 'bulkhead.yaml');
  const config = {
    listen: { address: `127.0.0.1:${port}` },
    admin: { address: `127.0.0.1:${adminPort}` },
    workers: 1,
    audit: { directory: 'audit', maxSize: '1GiB', whenFull: 'drop' },
    log: { level: 'error' },
    tenants: 'tenants',
  };
  writeFileSync(file, stringify(config));
  const main = join(import.meta.dirname, '../../src/main.ts');
  const args = [main, 'run', '--config', file];
  return {
    name: 'bulkhead',
    running: await pinned({ name: 'the sidecar', command: process.execPath, args, port, adminPort }),
  };
}
