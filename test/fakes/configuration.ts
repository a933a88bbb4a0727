/**
 * Configurations on disk for tests: a small one whose lines are known, and the example of `deploy/`, both with keys and
 * certificates made for them.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCa, issueClient, issueServer } from '../../src/identity/issue.ts';

const EXAMPLE = fileURLToPath(new URL('../../deploy/example/config', import.meta.url));

/** An empty directory among the system's temporary files. */
export function emptyDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'bulkhead-config-'));
}

/** Copies the example configuration and makes every file that it names. Returns the main file. */
export function writeExample(directory: string): string {
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

/** `bulkhead.yaml` of the small configuration. */
export const SMALL_MAIN = `listen: { address: 127.0.0.1:8443 }
admin: { address: 127.0.0.1:9901 }
audit:
  directory: audit
telemetry:
  traces: { sample: 50% }
tenants: tenants/
`;

/** `tenants/acme.yaml` of the small configuration: tests know its lines. */
export const SMALL_TENANT = `tenant: acme
serverNames: [acme.test, alt.acme.test]
certificate:
  chain: ../pki/acme/server.pem
  key: ../pki/acme/server-key.pem
clientCa: ../pki/acme/client-ca.pem
trustDomain: acme.example
accept: [token, api-key]
issuers:
  - issuer: https://login.acme.test
    audience: bulkhead
    jwks:
      file: ../jwks/acme.json
    algorithms: [ES256]
apiKeys:
  - { id: batch, expires: 2035-01-01T00:00:00Z,
    sha256: 8a5edab282632443219e051e4ade2d1d5bbc671c781051bf1437897cbdfea0f1 }
roles:
  - name: predictor
    methods: [ServerLive, ModelInfer]
    models: [fraud-*]
bindings:
  - role: predictor
    subjects: [alice]
    keys: [batch]
quota:
  tenant: { calls: 100/s, burst: 200 }
byteAccount: 1MiB
upstream:
  address: http://127.0.0.1:8001
`;

/** Writes the small configuration: a main file and the tenant acme. Returns the main file. */
export function writeSmall(directory: string): string {
  writePki(directory, 'acme', ['acme.test', 'alt.acme.test']);
  write(join(directory, 'jwks/acme.json'), keySet());
  write(join(directory, 'tenants/acme.yaml'), SMALL_TENANT);
  write(join(directory, 'bulkhead.yaml'), SMALL_MAIN);
  return join(directory, 'bulkhead.yaml');
}

/** `bulkhead.yaml` of an egress sidecar: tests know its lines. */
export const EGRESS_MAIN = `admin: { address: 127.0.0.1:9901 }
audit: { directory: audit }
egress:
  - listen: 127.0.0.1:9001
    tenant: acme
    upstream:
      address: https://acme.test:8443
      ca: pki/acme/ingress-ca.pem
      clientCertificate:
        chain: pki/acme/client.pem
        key: pki/acme/client-key.pem
`;

/** Writes the configuration of an egress sidecar. Returns the main file. */
export function writeEgress(directory: string): string {
  writeClientPki(directory, 'acme');
  write(join(directory, 'bulkhead.yaml'), EGRESS_MAIN);
  return join(directory, 'bulkhead.yaml');
}

/** Writes `pki/<tenant>/{ingress-ca.pem,client.pem,client-key.pem}`. */
export function writeClientPki(directory: string, tenant: string): void {
  const ca = createCa({ commonName: `${tenant} CA`, days: 365 });
  const client = issueClient(ca, { commonName: `${tenant} client`, days: 365 });
  write(join(directory, `pki/${tenant}/ingress-ca.pem`), ca.certPem);
  write(join(directory, `pki/${tenant}/client.pem`), client.certPem);
  write(join(directory, `pki/${tenant}/client-key.pem`), client.keyPem);
}

/** Adds a second tenant with a PKI of its own: acme's file with every name changed. */
export function addSmallTenant(directory: string, id: string): void {
  writePki(directory, id, [`${id}.test`, `alt.${id}.test`]);
  write(join(directory, `jwks/${id}.json`), keySet());
  const text = SMALL_TENANT.replaceAll('acme', id).replaceAll('batch', `batch-${id}`);
  write(join(directory, `tenants/${id}.yaml`), text);
}

/** Changes a part of a file that must be there exactly once. */
export function edit(path: string, before: string, after: string): void {
  const text = readFileSync(path, 'utf8');
  if (text.split(before).length !== 2) throw new Error(`${JSON.stringify(before)} is not once in ${path}`);
  writeFileSync(
    path,
    text.replace(before, () => after),
  );
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
