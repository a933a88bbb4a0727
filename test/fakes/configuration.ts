/**
 * Configurations on disk for tests: the example of `deploy/`, with keys and certificates made for it.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCa, issueClient, issueServer } from '../../src/identity/issue.ts';

const EXAMPLE = fileURLToPath(new URL('../../deploy/example/config', import.meta.url));

/** An empty directory that the system's temporary files are kept in. */
export function emptyDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'bulkhead-config-'));
}

/** Copies the example configuration and makes every file that it names. Returns the main file. */
export function writeExample(directory: string = emptyDirectory()): string {
  cpSync(EXAMPLE, directory, { recursive: true });
  writePki(directory, 'acme', ['acme.models.example']);
  writePki(directory, 'globex', ['globex.models.example', 'eu.globex.models.example']);
  write(join(directory, 'jwks/acme.json'), keySet());
  const upstreamCa = createCa({ commonName: 'globex upstream CA', days: 365 });
  const client = issueClient(upstreamCa, { commonName: 'bulkhead', days: 365 });
  write(join(directory, 'pki/globex/upstream-ca.pem'), upstreamCa.certPem);
  write(join(directory, 'pki/globex/upstream-client.pem'), client.certPem);
  write(join(directory, 'pki/globex/upstream-client-key.pem'), client.keyPem);
  return join(directory, 'bulkhead.yaml');
}

/** Writes `pki/<tenant>/{server.pem,server-key.pem,client-ca.pem}`. */
export function writePki(directory: string, tenant: string, serverNames: readonly string[]): void {
  const ca = createCa({ commonName: `${tenant} CA`, days: 365 });
  const server = issueServer(ca, { dnsNames: serverNames, days: 365 });
  write(join(directory, `pki/${tenant}/server.pem`), server.certPem);
  write(join(directory, `pki/${tenant}/server-key.pem`), server.keyPem);
  write(join(directory, `pki/${tenant}/client-ca.pem`), ca.certPem);
}

/** A JSON Web Key Set with one ES256 key. */
export function keySet(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(JSON.stringify(jwk)).digest('hex').slice(0, 8);
  return JSON.stringify({ keys: [{ ...jwk, kid, use: 'sig', alg: 'ES256' }] });
}

/** Writes a file and the directories that it needs. */
export function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
