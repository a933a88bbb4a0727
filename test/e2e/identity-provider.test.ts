/**
 * A real identity provider (npm's oidc-provider, a process of its own) issues the tokens: found by its metadata, verified by its keys,
 * asked about those that only it can read; it rotates, revokes, binds, and goes away.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { issueClient } from '../../src/identity/issue.ts';
import { auditRecords } from './harness/audit-records.ts';
import { IdentityProvider, SECRET } from './harness/identity-provider.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** How long an answer about a token is good. */
const CACHE_MS = 1_000;

let provider: IdentityProvider;
let upstream: ModelUpstream;
let sidecar: Sidecar;

const now = Math.floor(Date.now() / 1000);
const CLIENTS = [
  { client_id: 'acme-batch', claims: { tenant: 'acme' } },
  { client_id: 'acme-admin', claims: { tenant: 'acme', acr: 'gold', amr: ['hwk', 'mfa'], auth_time: now } },
  { client_id: 'acme-bound', claims: { tenant: 'acme' }, tls_client_certificate_bound_access_tokens: true },
  { client_id: 'globex-batch', claims: { tenant: 'globex' } },
  { client_id: 'globex-bound', claims: { tenant: 'globex' }, tls_client_certificate_bound_access_tokens: true },
  { client_id: 'initech-batch', claims: { tenant: 'initech' } },
  { client_id: 'sidecar-acme' },
  {
    client_id: 'sidecar-globex',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_uri: 'spiffe://globex.example/sidecar',
  },
] as const;

beforeAll(async () => {
  [provider, upstream] = await Promise.all([IdentityProvider.start(CLIENTS), ModelUpstream.start()]);
  const { issuer } = provider;
  const about = { issuer, audience: 'bulkhead', discovery: { ca: '../pki/idp.pem' }, algorithms: ['ES256'] };
  const answers = { cache: `${CACHE_MS}ms`, staleIfError: '1m' };
  const roles = {
    accept: ['token'],
    roles: [
      { name: 'reader', methods: ['ModelInfer'], models: ['digits'], scopes: ['models:infer'] },
      {
        name: 'keeper',
        methods: ['ModelInfer'],
        models: ['vault'],
        stepUp: { acr: ['gold'], amr: ['mfa'], maxAge: '1h' },
      },
    ],
    bindings: ['reader', 'keeper'].map((role) => ({ role, subjects: ['*'] })),
  };
  const acme = {
    issuers: [
      {
        ...about,
        tenantClaim: 'tenant',
        introspection: { clientId: 'sidecar-acme', clientSecret: '../pki/acme/introspection', ...answers },
      },
    ],
    ...roles,
  };
  const globex = {
    issuers: [
      {
        ...about,
        tenantClaim: 'tenant',
        requireBound: true,
        introspection: {
          clientId: 'sidecar-globex',
          clientCertificate: { chain: '../pki/globex/sidecar.pem', key: '../pki/globex/sidecar.key' },
          ...answers,
        },
      },
    ],
    ...roles,
  };
  const initech = { issuers: [{ ...about, tenantClaim: 'tenant', replay: 'connection' }], ...roles };
  sidecar = await Sidecar.start({
    tenants: [
      { id: 'acme', upstream: upstream.address, extra: acme },
      { id: 'globex', upstream: upstream.address, extra: globex },
      { id: 'initech', upstream: upstream.address, extra: initech },
    ],
    extra: { fetching: { allowAddresses: ['127.0.0.0/8'] }, log: { level: 'debug' } },
    prepare: (directory) => {
      const write = (name: string, text: string): void => writeFileSync(join(directory, 'pki', name), text);
      write('idp.pem', provider.caPem);
      write('acme/introspection', `${SECRET}\n`);
      // The provider asks for a certificate and takes any: it goes by the name in it.
      const own = issueClient(provider.ca, { spiffeId: 'spiffe://globex.example/sidecar', days: 1 });
      write('globex/sidecar.pem', own.certPem);
      write('globex/sidecar.key', own.keyPem);
    },
  });
});
afterAll(async () => {
  await Promise.all([sidecar?.stop(), provider?.child.stop()]);
  upstream?.stop();
});

type Certificate = { readonly certPem: string; readonly keyPem: string };

/** The outcome of a call with a token: OK, or the reason. */
async function call(token: string, model = 'digits', tenant = 'acme', certificate?: Certificate): Promise<string> {
  const metadata = { authorization: `Bearer ${token}` };
  const client = tenantClient(sidecar, tenant, { metadata, ...(certificate === undefined ? {} : { certificate }) });
  const { code, reason } = await client.infer({ modelName: model, inputs: [] });
  client.close();
  return code === 'OK' ? 'OK' : reason;
}

describe.each(['jwt', 'opaque'] as const)('a token that is %s', (format) => {
  it('lets its client call as itself, with its scopes', async () => {
    expect(await call(await provider.token('acme-batch', format))).toBe('OK');
  });

  it('does not open another tenant’s door', async () => {
    const bound = sidecar.tenant('acme').pki.client;
    const theirs = await provider.token('globex-bound', format, bound);
    expect(await call(theirs)).toBe('TENANT_MISMATCH');
    expect(await call(await provider.token('acme-batch', format), 'digits', 'globex')).toBe('TENANT_MISMATCH');
  });

  it('is asked for a stronger sign-in where that is needed', async () => {
    expect(await call(await provider.token('acme-batch', format), 'vault')).toBe('STEP_UP_REQUIRED');
    expect(await call(await provider.token('acme-admin', format), 'vault')).toBe('OK');
  });

  it('that is bound to a certificate passes over that one alone', async () => {
    const { client } = sidecar.tenant('acme').pki;
    const other = issueClient(sidecar.tenant('acme').pki.ca, { spiffeId: 'spiffe://acme.example/other', days: 1 });
    const bound = await provider.token('acme-bound', format, client);
    expect(await call(bound)).toBe('OK');
    expect(await call(bound, 'digits', 'acme', other)).toBe('TOKEN_BINDING_MISMATCH');
    expect(await call(await provider.token('acme-batch', format), 'digits', 'acme', other)).toBe('OK');
  });

  it('must be bound where the tenant says so', async () => {
    const { client } = sidecar.tenant('globex').pki;
    expect(await call(await provider.token('globex-bound', format, client), 'digits', 'globex')).toBe('OK');
    expect(await call(await provider.token('globex-batch', format), 'digits', 'globex')).toBe('TOKEN_BINDING_MISMATCH');
  });
});

it('a token whose first connection binds it is good there, and over no other, whichever worker has it', async () => {
  const token = await provider.token('initech-batch', 'jwt');
  const first = tenantClient(sidecar, 'initech', { metadata: { authorization: `Bearer ${token}` } });
  const infer = async (): Promise<string> => (await first.infer({ modelName: 'digits', inputs: [] })).code;
  expect(await infer()).toBe('OK');
  for (let round = 0; round < 8; round += 1) expect(await call(token, 'digits', 'initech')).toBe('TOKEN_INVALID');
  expect(await infer()).toBe('OK');
  first.close();
  expect(await call(await provider.token('initech-batch', 'jwt'), 'digits', 'initech')).toBe('OK');
});

it('a revoked token is refused when the last answer about it has aged', async () => {
  const token = await provider.token('acme-batch', 'opaque');
  expect(await call(token)).toBe('OK');
  await provider.revoke('acme-batch', token);
  const revokedAt = Date.now();
  await until('refused', async () => ((await call(token)) === 'TOKEN_INVALID' ? true : undefined), 10_000);
  // Two workers, each with an answer of its own, and a busy machine.
  expect(Date.now() - revokedAt).toBeLessThan(CACHE_MS + 5_000);
  expect(await call(await provider.token('acme-batch', 'opaque'))).toBe('OK');
});

it('its keys rotate without a failed call, and a key that is withdrawn leaves new tokens good', async () => {
  const tokens = [await provider.token('acme-batch', 'jwt')];
  const outcomes: string[] = [];
  const each = async (): Promise<void> => {
    for (const token of tokens) outcomes.push(await call(token));
  };
  await each();
  await provider.control('rotate');
  tokens.push(await provider.token('acme-batch', 'jwt'));
  expect(new Set(tokens.map((token) => token.split('.')[0])).size).toBe(2);
  for (let round = 0; round < 5; round += 1) await each();
  expect(new Set(outcomes)).toEqual(new Set(['OK']));
  expect(outcomes.length).toBe(11);
});

describe.each([
  ['refuses connections', () => provider.control('away'), () => provider.control('back')],
  ['does not answer', async () => provider.child.signal('SIGSTOP'), async () => provider.child.signal('SIGCONT')],
])('an identity provider that %s', (_what, leave, comeBack) => {
  let away = false;
  afterEach(async () => {
    if (away) await comeBack();
    away = false;
  });

  it('costs no known caller a call, lets nobody new in, and is found when it is back', async () => {
    const tokens = await Promise.all([provider.token('acme-admin', 'jwt'), provider.token('acme-admin', 'opaque')]);
    const unseen = await provider.token('acme-batch', 'opaque');
    // Each stays on its connection, and so with the worker that knows it.
    const known = tokens.map((token) =>
      tenantClient(sidecar, 'acme', { metadata: { authorization: `Bearer ${token}` } }),
    );
    const callAll = async (): Promise<void> => {
      for (const client of known) outcomes.add((await client.infer({ modelName: 'digits', inputs: [] })).code);
    };
    let outcomes = new Set<string>();
    // A worker that has not asked since an outage before may not ask yet.
    await until(
      'known',
      async () => {
        outcomes = new Set();
        await callAll();
        return outcomes.size === 1 && outcomes.has('OK') ? true : undefined;
      },
      10_000,
    );
    away = true;
    await leave();
    const end = Date.now() + 4 * CACHE_MS;
    while (Date.now() < end) await callAll();
    expect(outcomes).toEqual(new Set(['OK']));
    expect(await call(unseen)).toBe('POLICY_UNAVAILABLE');
    await comeBack();
    away = false;
    await until('let in', async () => ((await call(unseen)) === 'OK' ? true : undefined), 20_000, 250);
    await callAll();
    expect(outcomes).toEqual(new Set(['OK']));
    for (const client of known) client.close();
  });
});

/** `bulkhead explain` of a call with this token. */
function explained(token: string): Promise<string> {
  const file = join(sidecar.directory, 'token');
  writeFileSync(file, token);
  const { cert } = sidecar.tenant('acme').files;
  const of = ['--tenant', 'acme', '--method', 'ModelInfer', '--model', 'digits', '--token', file, '--cert', cert];
  const args = [MAIN, 'explain', '--config', join(sidecar.directory, 'bulkhead.yaml'), ...of];
  return new Promise((resolve) => {
    execFile(process.execPath, args, (_, out, err) => resolve(out + err));
  });
}

it('an explanation finds the keys and asks the issuer as a call would', async () => {
  for (const format of ['jwt', 'opaque'] as const) {
    expect(await explained(await provider.token('acme-batch', format))).toMatch(/authenticate .*token:acme-batch/);
  }
  expect(await explained('made-up')).toContain('the issuer says that it is not active');
});

it('nobody is told the client’s secret or a token', async () => {
  const token = await provider.token('acme-batch', 'opaque');
  await call(token);
  await sleep(100);
  const pages = await Promise.all(['/config', '/tenants', '/metrics'].map((path) => sidecar.admin(path)));
  const everything = [
    sidecar.child.output,
    JSON.stringify(await auditRecords(sidecar), (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    ),
    ...pages.map(({ text }) => text),
    await explained(token),
  ].join('\n');
  expect(everything).toContain('token:acme-batch');
  expect(everything).not.toContain(SECRET);
  expect(everything).not.toContain(token);
});
