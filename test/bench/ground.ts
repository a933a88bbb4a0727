/**
 * The ground that all subjects stand on: certificates, a token of a usual size, messages, the tenants' files, and on the
 * second core the backend and two OTLP sinks.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCa, issueServer } from '../../src/identity/issue.ts';
import { accepts, Child } from '../e2e/harness/child.ts';
import { freePorts } from '../e2e/harness/free-port.ts';
import { peerFile } from '../e2e/harness/peer-file.ts';
import { tenantPki } from '../fakes/pki.ts';
import { LOAD_CORE, type LoadTarget } from './load.ts';
import { modelInfer } from './message.ts';
import { tenantFile } from './subjects/bulkhead.ts';
import type { Ground, Running, Subject } from './subjects/subject.ts';

export const SERVER_NAME = 'acme.models.test';

export interface PreparedGround extends Ground {
  /** How a subject that runs is called. */
  targetOf(subject: Subject, running: Running): LoadTarget;
  /** Makes a directory with so many tenants, each with files of its own; `acme` is one of them. Returns its name. */
  tenants(count: number): string;
  /** Bytes that each OTLP sink has received. */
  exported(): Promise<{ readonly http: number; readonly grpc: number }>;
  stop(): Promise<void>;
}

const MISSING_PEER = 'is missing: run test/e2e/install';

/** Writes everything into the directory, and starts what runs on the second core. */
export async function prepareGround(directory: string): Promise<PreparedGround> {
  const shim = peerFile('lib/h2load-client-cert.so');
  for (const file of [shim, peerFile('bin/envoy')]) if (!existsSync(file)) throw new Error(`${file} ${MISSING_PEER}`);
  const [backendPort, sinkPort, sinkGrpcPort] = await freePorts(3);
  if (backendPort === undefined || sinkPort === undefined || sinkGrpcPort === undefined) throw new Error('no ports');
  const ground: Ground = { directory, backendPort, sinkPort, sinkGrpcPort, serverName: SERVER_NAME };
  const { token, clientPem } = writeFiles(ground);
  const helpers = [
    await helper('the backend', 'backend.ts', [backendPort]),
    await helper('the OTLP sinks', 'sink.ts', [sinkPort, sinkGrpcPort]),
  ];
  const bodyFile = (messageBytes: number): string => {
    const file = join(directory, `message-${messageBytes}`);
    if (!existsSync(file)) writeFileSync(file, modelInfer(messageBytes));
    return file;
  };
  return {
    ...ground,
    targetOf: ({ tls }, { port }) => ({ port, tls, serverName: SERVER_NAME, clientPem, token, shim, bodyFile }),
    tenants: (count) => writeTenants(ground, count),
    exported: async () => {
      const response = await fetch(`http://127.0.0.1:${sinkPort}/received`);
      // Our own sink answers with exactly this.
      return (await response.json()) as { http: number; grpc: number };
    },
    stop: async () => {
      for (const one of helpers) await one.stop();
    },
  };
}

/** Starts one of our own programs on the second core, and waits until it listens on all its ports. */
async function helper(name: string, file: string, ports: readonly number[]): Promise<Child> {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const args = ['-c', LOAD_CORE, process.execPath, program, ...ports.map(String)];
  const child = await Child.spawn(name, { command: 'taskset', args });
  for (const port of ports) await child.until(`listening on port ${port}`, () => accepts(port));
  return child;
}

function writeFiles(ground: Ground): { readonly token: string; readonly clientPem: string } {
  const pki = tenantPki('acme');
  const write = (name: string, text: string): string => {
    const file = join(ground.directory, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  write('server.pem', pki.server.certPem);
  write('server.key', pki.server.keyPem);
  write('server.both.pem', pki.server.certPem + pki.server.keyPem);
  write('ca.pem', pki.ca.certPem);
  const { token, jwks } = issueToken();
  write('jwks.json', jwks);
  mkdirSync(join(ground.directory, 'tenants'));
  write('tenants/acme.yaml', acmeFile(ground.backendPort));
  return { token, clientPem: write('client.both.pem', pki.client.certPem + pki.client.keyPem) };
}

/** The tenant that is called; `models`: what it may use beside what it is called for. */
export function acmeFile(backendPort: number, ...models: readonly string[]): string {
  const files = { chain: '../server.pem', key: '../server.key', clientCa: '../ca.pem', jwks: '../jwks.json' };
  return tenantFile({ id: 'acme', serverName: SERVER_NAME, files }, backendPort, models);
}

/** An ES256 token of 575 bytes or so, valid for a day. */
function issueToken(): { readonly token: string; readonly jwks: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = part({ alg: 'ES256', typ: 'JWT', kid: 'bench' });
  const claims = {
    iss: 'https://idp.acme.example',
    aud: 'ml',
    sub: 'bench',
    tenant: 'acme',
    iat: now,
    exp: now + 86_400,
    groups: Array.from({ length: 11 }, (_, i) => `group-${i}-of-the-bench`),
  };
  const signed = `${header}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'bench', alg: 'ES256', use: 'sig' };
  return { token: `${signed}.${signature.toString('base64url')}`, jwks: JSON.stringify({ keys: [jwk] }) };
}

function writeTenants({ directory, backendPort }: Ground, count: number): string {
  const name = `tenants-${count}`;
  mkdirSync(join(directory, name));
  mkdirSync(join(directory, `${name}-pki`));
  writeFileSync(join(directory, name, 'acme.yaml'), acmeFile(backendPort));
  for (let i = 1; i < count; i++) {
    const id = `tenant-${i}`;
    const serverName = `${id}.models.test`;
    const ca = createCa({ commonName: `${id} CA`, days: 1 });
    const server = issueServer(ca, { dnsNames: [serverName], days: 1 });
    const write = (kind: string, text: string): string => {
      writeFileSync(join(directory, `${name}-pki`, `${id}-${kind}`), text, { mode: 0o600 });
      return `../${name}-pki/${id}-${kind}`;
    };
    const files = {
      chain: write('server.pem', server.certPem),
      key: write('server.key', server.keyPem),
      clientCa: write('ca.pem', ca.certPem),
      jwks: write('jwks.json', publicKeySet()),
    };
    writeFileSync(join(directory, name, `${id}.yaml`), tenantFile({ id, serverName, files }, backendPort));
  }
  return name;
}

function publicKeySet(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'a', alg: 'ES256', use: 'sig' }] });
}
