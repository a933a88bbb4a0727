/**
 * A listener that tenants share without server names, and the tenants that are known by their clients' certificates.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { YamlDocument } from '../../../src/config/document.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { judgeNeighbours, MAX_CAS_OF_ONE_NAME } from '../../../src/config/neighbours.ts';
import type { BuiltTenant } from '../../../src/config/tenant.ts';
import { createCa, issueServer } from '../../../src/identity/issue.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import { addSmallTenant, edit, emptyDirectory, write, writeSmall } from '../../fakes/configuration.ts';
import { tenantId } from '../../fakes/trust.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

const ca = createCa({ commonName: 'front CA', days: 365 });
const server = issueServer(ca, { dnsNames: ['models.test', 'acme.test', 'alt.acme.test'], days: 365 });

interface Written {
  /** In `listen`; empty: nothing is shared. */
  readonly shared?: string;
  /** Lines of the tenants' files in place of their server names and certificates; undefined: these stay. */
  readonly acme?: string;
  readonly globex?: string;
}

const CERTIFICATE = 'certificate: { chain: pki/front.pem, key: pki/front-key.pem }';

function written({ shared = `{ ${CERTIFICATE}, serverNames: [models.test] }`, acme, globex }: Written): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  addSmallTenant(directory, 'globex');
  write(join(directory, 'pki/front.pem'), server.certPem);
  write(join(directory, 'pki/front-key.pem'), server.keyPem);
  const listen = 'listen: { address: 127.0.0.1:8443';
  if (shared !== '') edit(join(directory, 'bulkhead.yaml'), listen, `${listen}, shared: ${shared}`);
  for (const [id, lines] of [
    ['acme', acme],
    ['globex', globex],
  ] as const) {
    if (lines === undefined) continue;
    const file = join(directory, `tenants/${id}.yaml`);
    edit(file, `serverNames: [${id}.test, alt.${id}.test]\n`, lines);
    edit(file, `certificate:\n  chain: ../pki/${id}/server.pem\n  key: ../pki/${id}/server-key.pem\n`, '');
    edit(file, `trustDomain: ${id}.example\n`, '');
  }
  return directory;
}

async function found(what: Written): Promise<readonly string[]> {
  const { lines } = await findingsOf(written(what));
  return lines.map(({ at, message }) => `${at.replace(/:\d+:\d+/, '')} ${message}`);
}

const spiffe = (...ids: readonly string[]): string => `identifiedBy: { spiffe: ["${ids.join('", "')}"] }\n`;
const OWN = spiffe('spiffe://mesh.test/tenant/{tenant}/*');

test('a tenant is known by SPIFFE ids with its own name in them, or by its CA, and sees the shared certificate', async () => {
  const directory = written({ acme: OWN, globex: 'identifiedBy: { clientCa: true }\n' });
  const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  expect(loaded.value.listener?.shared).toEqual({
    certificate: { chainPem: server.certPem, keyPem: server.keyPem },
    serverNames: ['models.test'],
  });
  const [acme, globex] = loaded.value.tenants;
  expect(acme).toMatchObject({
    serverNames: [],
    certificate: undefined,
    sharesCertificate: true,
    identifiedBy: { kind: 'spiffe', ids: ['spiffe://mesh.test/tenant/acme/*'] },
  });
  expect(globex?.identifiedBy).toEqual({ kind: 'client-ca', names: [expect.stringMatching(/^CN=/)] });
});

describe('what would leave it open whose client a certificate is', () => {
  test.each([
    ['one id of two tenants', spiffe('spiffe://m/x'), spiffe('spiffe://m/x')],
    ['an id below another’s path', spiffe('spiffe://m/a/*'), spiffe('spiffe://m/a/b/c')],
    ['a path below another’s, in the other order', spiffe('spiffe://m/a/b/*'), spiffe('spiffe://m/*')],
  ])('is an error: %s', async (_what, acme, globex) => {
    const said = await found({ acme, globex });
    expect(said.some((line) => /identifiedBy\.spiffe\[0\] .* is also of tenants\/(acme|globex)\.yaml/.test(line))).toBe(
      true,
    );
  });

  test('is not: ids beside each other', async () => {
    expect(
      await found({
        acme: spiffe('spiffe://m/a/*', 'spiffe://m/ab'),
        globex: spiffe('spiffe://m/b/*', 'spiffe://m/a'),
      }),
    ).toEqual([]);
  });

  test('is an error: a CA that signs for two tenants of which one is known by it', async () => {
    const directory = written({ acme: 'identifiedBy: { clientCa: true }\n', globex: OWN });
    edit(join(directory, 'tenants/globex.yaml'), 'clientCa: ../pki/globex/', 'clientCa: ../pki/acme/');
    const { lines } = await findingsOf(directory);
    expect(lines.map(({ at, message }) => `${at} ${message}`)).toContainEqual(
      expect.stringMatching(/acme\.yaml.* clientCa the client CA also signs the clients of tenants\/globex\.yaml/),
    );
  });

  test('is an error: a CA of several tenants that are known by it whose name is another one’s issuer', async () => {
    const directory = written({
      acme: 'identifiedBy: { clientCa: true }\n',
      globex: 'identifiedBy: { clientCa: true }\n',
    });
    const root = createCa({ commonName: 'root', days: 365, pathLength: 1 });
    write(join(directory, 'pki/acme/client-ca.pem'), root.certPem);
    write(join(directory, 'pki/globex/client-ca.pem'), createCa({ commonName: 'below', days: 365 }, root).certPem);
    const { lines } = await findingsOf(directory);
    expect(lines.map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/is issued by one of the name of/),
    );
  });

  test('is not: one CA for both, with ids of their own', async () => {
    const directory = written({ acme: OWN, globex: OWN });
    edit(join(directory, 'tenants/globex.yaml'), 'clientCa: ../pki/globex/', 'clientCa: ../pki/acme/');
    expect((await findingsOf(directory)).lines).toEqual([]);
  });
});

test('CAs by which tenants are known may be as many of one name as there may, and not one more', async () => {
  const tenant = (index: number): BuiltTenant => ({
    document: new YamlDocument(`tenants/${index}.yaml`, 'identifiedBy: { clientCa: true }\n'),
    draft: undefined,
    facts: {
      id: tenantId(`t${index}`),
      serverNames: [],
      issuers: [],
      apiKeyIds: [],
      trustDomain: undefined,
      clientCas: [`key ${index}`],
      clientBundle: undefined,
      sharesCertificate: true,
      identifiedBy: { kind: 'client-ca', names: ['CN=tenant CA'] },
      clientCaIssuers: [],
    },
    findings: [],
    validities: [],
    fetched: [],
    dependents: [],
  });
  const of = (count: number): readonly string[] =>
    judgeNeighbours(Array.from({ length: count }, (_, index) => tenant(index))).map(({ message }) => message);
  expect(of(MAX_CAS_OF_ONE_NAME)).toEqual([]);
  expect(of(MAX_CAS_OF_ONE_NAME + 1)).toEqual([
    'more than 8 tenants that are known by their CA have one named CN=tenant CA',
  ]);
});

describe('what has no meaning is said', () => {
  test.each([
    ['nothing that says how it is known', {}, { acme: '' }, 'serverNames nothing says who this tenant’s clients are'],
    ['both ways at once', {}, { acme: 'identifiedBy: { spiffe: ["spiffe://m/x"], clientCa: true }\n' }, 'names both'],
    ['no way', {}, { acme: 'identifiedBy: {}\n' }, 'names neither'],
    ['a star amid a path', {}, { acme: spiffe('spiffe://m/ns/*/sa/x') }, 'is not a SPIFFE id'],
    ['a trust domain alone', {}, { acme: spiffe('spiffe://m') }, 'is no SPIFFE id that a client can have'],
    ['ids of another trust domain', {}, { acme: `trustDomain: other\n${OWN}` }, 'is of the trust domain mesh.test'],
    ['no certificate to show', { shared: '' }, { acme: OWN }, 'has no certificate that its clients could be shown'],
    [
      'a name that is not the shared certificate’s',
      {},
      { acme: `serverNames: [x.test]\n${OWN}` },
      'x.test is not among the names',
    ],
    ['a shared name', {}, { acme: `serverNames: [models.test]\n${OWN}` }, 'models.test is shared by all tenants'],
    ['nobody who could come in', {}, {}, 'no tenant is known by its clients’ certificates'],
    [
      'a shared name that its certificate has not',
      { shared: `{ ${CERTIFICATE}, serverNames: [y.test] }` },
      { acme: OWN },
      'y.test is not among the names',
    ],
  ] as const)('%s', async (_what, main, tenants, message) => {
    expect(await found({ ...main, ...tenants })).toContainEqual(expect.stringContaining(message));
  });

  test('a CA of the Workload API, which is none to go by', async () => {
    const directory = written({ acme: 'identifiedBy: { clientCa: true }\n' });
    const file = join(directory, 'tenants/acme.yaml');
    edit(file, 'clientCa: ../pki/acme/client-ca.pem', 'clientCa: { spiffeBundle: mesh.test }');
    const { lines } = await findingsOf(directory);
    expect(lines.map(({ message }) => message)).toContainEqual(expect.stringMatching(/has no CA to go by/));
  });

  test('and a name of a tenant’s under the shared certificate is not', async () => {
    expect(await found({ acme: `serverNames: [acme.test]\n${OWN}`, globex: OWN })).toEqual([]);
  });
});
