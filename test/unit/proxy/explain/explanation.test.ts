import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Authenticator } from '../../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../../src/authn/credentials.ts';
import { Directory } from '../../../../src/authn/directory.ts';
import { Authorizer, withoutModel } from '../../../../src/authz/authorizer.ts';
import type { TenantConfig } from '../../../../src/config/tenant-config.ts';
import { createCa, issueClient } from '../../../../src/identity/issue.ts';
import type { Peer } from '../../../../src/identity/peer.ts';
import { MethodTable } from '../../../../src/inspection/method-table.ts';
import type { Denial } from '../../../../src/kernel/denial.ts';
import { type Explanation, explain } from '../../../../src/proxy/explain/explanation.ts';
import type { Credentials, Question } from '../../../../src/proxy/explain/question.ts';
import { binding, credentials, INFER, LIVE, LOAD, now, question, role } from '../../../fakes/explain.ts';
import { FakeIssuer } from '../../../fakes/tokens.ts';
import { fakeTenant } from '../../../fakes/trust.ts';

const ROLES = {
  lines: { clientCa: 5, accept: 6, issuers: 7, apiKeys: 12, roles: 20, bindings: 30, quota: 40 },
  roles: [role(), role({ name: 'all', models: ['*'], source: 'tenants/acme.yaml:25 roles[1]' })],
  bindings: [
    binding(),
    binding({ role: 'all', subjects: ['root'], source: 'tenants/acme.yaml:33 bindings[1]' }),
    binding({ keys: ['acme-key'], subjects: [], source: 'tenants/acme.yaml:35 bindings[2]' }),
  ],
} as const;
const acme = fakeTenant('acme', ROLES);
const globex = fakeTenant('globex');

async function explained(changes: Partial<Question>, tenant: TenantConfig = acme.config): Promise<Explanation> {
  const answer = await explain({ tenants: [tenant, globex.config] }, question(changes));
  if (!answer.ok) throw new Error(answer.error);
  return answer.value;
}

const as = (changes: Partial<Credentials>): Partial<Question> => ({ credentials: credentials(changes) });
const subject = (name: string, more: object = {}): Partial<Question> =>
  as({ token: { kind: 'assumed', subject: name, ...more } });
const verdicts = ({ gates }: Explanation): readonly string[] => gates.map(({ gate, verdict }) => `${gate} ${verdict}`);

/** Shifts a token's times to the tests' certificates' own. */
function token(issuer: FakeIssuer, claims: object = {}): string {
  const seconds = Math.floor(now() / 1_000_000);
  return issuer.token({ iat: seconds, exp: seconds + 600, ...claims });
}
const presented = (text: string): Partial<Question> => as({ token: { kind: 'presented', text } });

describe('of a call that is allowed', () => {
  test('every gate has passed, in the pipeline’s order, with the rule that let it', async () => {
    const answer = await explained(subject('alice'));
    expect(answer).toMatchObject({ verdict: 'allowed', caller: 'token:alice', refusal: undefined });
    expect(answer.gates.map(({ gate, verdict, rule }) => `${gate} ${verdict}: ${rule}`)).toEqual([
      'identify pass: tenants/acme.yaml:5 clientCa',
      'authenticate pass: tenants/acme.yaml:7 issuers[0]',
      'authorize pass: tenants/acme.yaml:31 bindings[0] → role reader',
      'reserve pass: tenants/acme.yaml:40 quota',
      'inspect pass: tenants/acme.yaml:31 bindings[0] → role reader',
    ]);
    expect(answer.assumed).toEqual([
      'a valid client certificate that no binding names',
      'a valid token of https://acme.idp.test for alice, without scopes',
    ]);
  });

  test('with credentials that are verified, nothing is assumed', async () => {
    const answer = await explained(
      as({
        certificate: { kind: 'presented', pem: acme.pki.client.certPem },
        token: { kind: 'presented', text: token(acme.issuer) },
        apiKey: { kind: 'presented', text: acme.apiKey },
      }),
    );
    expect(answer).toMatchObject({ verdict: 'allowed', caller: 'token:alice', assumed: [] });
    expect(answer.gates[0]?.detail).toBe(`certificate ${acme.pki.spiffeId}`);
  });

  test('whose method reads no model, no model is asked about', async () => {
    const answer = await explained({ ...subject('alice'), method: LIVE, model: undefined });
    expect(verdicts(answer)).toEqual(['identify pass', 'authenticate pass', 'authorize pass', 'reserve pass']);
  });

  test('a method may be named in each of its ways', async () => {
    for (const method of ['ModelInfer', INFER, `/${INFER}`]) {
      expect(await explained({ ...subject('alice'), method })).toMatchObject({ method: INFER, verdict: 'allowed' });
    }
  });

  test('a bare method is that of the protocol that the tenant’s server speaks, and a server’s only model is what it is about', async () => {
    const llama = { protocols: ['vllm'], servedModel: 'llama' } as const;
    const generate = 'vllm.grpc.engine.VllmEngine/Generate';
    const roles = [role({ methods: [generate], models: ['llama'] })];
    const answer = await explained({ ...subject('alice'), method: 'Generate' }, { ...acme.config, ...llama, roles });
    expect(answer).toMatchObject({ method: generate, model: 'llama', verdict: 'allowed' });
    const others = [role({ methods: [generate] })];
    const refused = await explained(
      { ...subject('alice'), method: 'Generate' },
      { ...acme.config, ...llama, roles: others },
    );
    expect(refused).toMatchObject({ model: 'llama', refusal: { kind: 'model_denied' } });
  });

  test('the limits of its quota are said, and that what is left of them is not asked', async () => {
    const quota = { perTenant: { callsPerSecond: 5, burst: 9 }, perCaller: undefined, maxConcurrentCalls: 3 };
    const answer = await explained(subject('alice'), { ...acme.config, quota });
    expect(answer.gates[3]?.detail).toBe('tenant 5/s, burst 9; 3 calls at once (what is left of it now is not asked)');
  });

  test('where calls wait, its tenant’s weight and its class are said, and that nobody was asked who waits', async () => {
    const scheduling = {
      concurrentCalls: 8,
      maxQueuedCalls: 9,
      maxQueuedCallsPerTenant: 9,
      maxWaitMs: 9,
      classes: [
        { name: 'interactive', weight: 8 },
        { name: 'batch', weight: 1 },
      ],
      weight: 3,
      defaultClass: 0,
      rules: [{ class: 1, methods: ['*/ModelInfer'] }],
    };
    const answer = await explained(subject('alice'), { ...acme.config, scheduling });
    expect(answer.gates.map(({ gate }) => gate)).toEqual([
      'identify',
      'authenticate',
      'authorize',
      'queue',
      'reserve',
      'inspect',
    ]);
    expect(answer.gates[3]).toMatchObject({
      verdict: 'pass',
      detail: 'tenant’s weight 3, class batch; 8 calls of all tenants at once (whether calls wait now is not asked)',
    });
    const refused = await explained({ ...subject('nobody') }, { ...acme.config, scheduling });
    expect(refused.gates.map(({ gate }) => gate).slice(-3)).toEqual(['queue', 'reserve', 'inspect']);
  });

  test('a tenant whose place among the others is far up is explained like the first', async () => {
    expect(await explained(subject('alice'), { ...acme.config, slot: 4_000 })).toMatchObject({ verdict: 'allowed' });
  });
});

interface Refusal {
  readonly gate: string;
  readonly kind: Denial['kind'];
  readonly status: string;
  readonly reason: string;
  readonly why: string;
  readonly allow: readonly string[];
}

async function refusal(changes: Partial<Question>, tenant?: TenantConfig): Promise<Refusal> {
  const answer = await explained(changes, tenant);
  const { refusal: refused, gates } = answer;
  if (refused === undefined) throw new Error('allowed');
  expect(answer.verdict).toBe('denied');
  const { kind, status, reason, why, allow } = refused;
  return { gate: gates.find(({ verdict }) => verdict === 'deny')?.gate ?? '', kind, status, reason, why, allow };
}

describe('of a call that a role refuses', () => {
  test('whose model no role of the caller has, it says which roles have what, and who has to be given which', async () => {
    expect(await refusal({ ...subject('alice'), model: 'fraud' })).toEqual({
      gate: 'inspect',
      kind: 'model_denied',
      status: 'PERMISSION_DENIED',
      reason: 'MODEL_ACCESS_DENIED',
      why: `no role of token:alice has ${INFER} for model fraud (role \`reader\` (tenants/acme.yaml:21) is for models digits, acme-*)`,
      allow: [
        'role `all` (tenants/acme.yaml:25) has it: bind it to subject alice (tenants/acme.yaml:33)',
        'add fraud to the models of role `reader` (tenants/acme.yaml:21)',
      ],
    });
  });

  test('of whose model only the version is missing, it says so', async () => {
    const roles = [role({ versions: ['1', 'latest'] })];
    const { why, allow } = await refusal({ ...subject('alice'), modelVersion: '2' }, { ...acme.config, roles });
    expect(why).toContain(
      'for model digits version 2 (role `reader` (tenants/acme.yaml:21) is for models digits, acme-*, versions 1, latest)',
    );
    expect(allow).toEqual(['add 2 to the versions of role `reader` (tenants/acme.yaml:21)']);
  });

  test('that names no model, it says what that may mean', async () => {
    const { why, allow } = await refusal({ ...subject('alice'), model: undefined });
    expect(why).toContain('names no model, which may mean any');
    expect(allow).toEqual([
      'name the model in the request',
      'role `all` (tenants/acme.yaml:25) has it: bind it to subject alice (tenants/acme.yaml:33)',
      'add "*" to the models of role `reader` (tenants/acme.yaml:21)',
    ]);
  });

  test('from somebody without a role, it names the roles that have the method', async () => {
    expect(await refusal(subject('eve'))).toEqual({
      gate: 'authorize',
      kind: 'method_denied',
      status: 'PERMISSION_DENIED',
      reason: 'MODEL_ACCESS_DENIED',
      why: `no role of token:eve has ${INFER} for model digits (it has no role)`,
      allow: [
        'role `reader` (tenants/acme.yaml:21) has it: bind it to subject eve (tenants/acme.yaml:31)',
        'role `all` (tenants/acme.yaml:25) has it: bind it to subject eve (tenants/acme.yaml:33)',
      ],
    });
  });

  test('whose method no role has, it says where it would have to be added', async () => {
    expect((await refusal({ ...subject('alice'), method: LOAD })).allow).toEqual([
      `add ${LOAD} to the methods of role \`reader\` (tenants/acme.yaml:21)`,
    ]);
    expect((await refusal({ ...subject('eve'), method: LOAD })).allow).toEqual([
      `no role has it: add one with methods: [${LOAD}] (tenants/acme.yaml:20), and bind it to subject eve`,
    ]);
  });

  test('whose method is sensitive and covered by a star only, it says that a star is not enough', async () => {
    const roles = [role({ methods: ['inference.GRPCInferenceService/*'] })];
    const { why } = await refusal({ ...subject('alice'), method: LOAD }, { ...acme.config, roles });
    expect(why).toContain('it is sensitive, so a role must name it, and /* does not');
  });

  test('for want of a scope or of a sign-in, it says which', async () => {
    const scoped = { ...acme.config, roles: [role({ scopes: ['infer', 'beta'] })] };
    expect(await refusal(subject('alice', { scope: 'infer' }), scoped)).toMatchObject({
      kind: 'insufficient_scope',
      allow: ['a token (scope) or an API key (scopes) that has: infer beta'],
    });
    expect(await explained(subject('alice', { scope: 'beta infer' }), scoped)).toMatchObject({ verdict: 'allowed' });
    const stepUp = { acrValues: ['gold'], maxAgeMs: 60_000, amr: ['mfa'] };
    const strong = { ...acme.config, roles: [role({ stepUp })] };
    expect(await refusal(subject('alice'), strong)).toMatchObject({
      kind: 'step_up_required',
      status: 'UNAUTHENTICATED',
      allow: ['a token with acr gold, amr mfa, a sign-in of the last 60 s (auth_time)'],
    });
  });
});

describe('of a call whose credentials do not do', () => {
  test('that has none, it says what is accepted', async () => {
    const tenant = { ...acme.config, accept: ['token', 'api-key'] } as const;
    expect(await refusal({}, tenant)).toMatchObject({
      gate: 'authenticate',
      kind: 'credentials_missing',
      allow: ['present one of: token, api-key', 'add certificate to accept (tenants/acme.yaml:6)'],
    });
  });

  test('that has a token of another key, issuer or time, it says so, and never prints it', async () => {
    const seconds = Math.floor(now() / 1_000_000);
    const forged = token(new FakeIssuer(acme.issuer.issuer));
    const foreign = token(globex.issuer);
    const expired = token(acme.issuer, { exp: seconds - 600 });
    const cases = [
      [forged, 'token_invalid', 'a valid token of https://acme.idp.test (tenants/acme.yaml:7)'],
      [foreign, 'foreign_token_unproven', 'a valid token of https://acme.idp.test (tenants/acme.yaml:7)'],
      [expired, 'token_expired', 'a valid token of https://acme.idp.test (tenants/acme.yaml:7)'],
      ['nonsense', 'token_invalid', 'a valid token of https://acme.idp.test (tenants/acme.yaml:7)'],
    ] as const;
    for (const [text, kind, advice] of cases) {
      expect(await refusal(presented(text)), kind).toMatchObject({ gate: 'authenticate', kind, allow: [advice] });
      expect(JSON.stringify(await explained(presented(text)))).not.toContain(text.slice(-20));
    }
  });

  test('that has a token bound to another certificate, it says that it needs that one', async () => {
    const cnf = { 'x5t#S256': Buffer.alloc(32, 7).toString('base64url') };
    expect(await refusal(presented(token(acme.issuer, { cnf })))).toMatchObject({
      kind: 'token_binding_mismatch',
      allow: ['the client certificate that the token names in cnf, or a token that names this one'],
    });
  });

  test('that has an API key that is unknown, revoked, expired, wrong or malformed, it says which to the operator alone', async () => {
    const id = 'acme-key';
    const [key] = acme.config.apiKeys;
    if (key === undefined) throw new Error('no key');
    const withKey = (changes: object): TenantConfig => ({ ...acme.config, apiKeys: [{ ...key, ...changes }] });
    const assumed = (name: string): Partial<Question> => as({ apiKey: { kind: 'assumed', id: name } });
    const text = (value: string): Partial<Question> => as({ apiKey: { kind: 'presented', text: value } });
    const cases = [
      [assumed('other'), acme.config, 'add the key to apiKeys (tenants/acme.yaml:12)'],
      [assumed(id), withKey({ revoked: true }), 'another key: this one is revoked (tenants/acme.yaml:12)'],
      [assumed(id), withKey({ expiresAtSeconds: 1 }), 'another key, or a later expires (tenants/acme.yaml:12)'],
      [text(`bk_${id}_wrong`), acme.config, 'the secret that belongs to the key’s id'],
      [text('wrong'), acme.config, 'a key of the form bk_<id>_<secret>'],
    ] as const;
    const seen = new Set<string>();
    for (const [asked, tenant, advice] of cases) {
      expect(await refusal(asked, tenant), advice).toMatchObject({ kind: 'api_key_invalid', allow: [advice] });
      seen.add((await explained(asked, tenant)).refusal?.message ?? '');
    }
    expect([...seen]).toEqual(['the API key is not valid']);
    expect(await refusal(as({ apiKey: { kind: 'assumed', id: 'globex-key' } }))).toMatchObject({
      kind: 'foreign_key_unproven',
      why: 'the API key has the id of a key of globex, and is not that: wrong_secret',
    });
    expect(await refusal(text(globex.apiKey))).toMatchObject({
      kind: 'tenant_mismatch',
      allow: ['only credentials of acme, or the server name of globex'],
    });
  });

  test('that comes from an address where the tenant or its key is not to be used, it says whose list that is', async () => {
    const addresses = ['192.0.2.0/24'];
    expect(await refusal({}, { ...acme.config, addresses })).toMatchObject({
      gate: 'authenticate',
      kind: 'address_not_allowed',
      status: 'PERMISSION_DENIED',
      allow: ['a call from one of its addresses, or 127.0.0.1 among them (tenants/acme.yaml)'],
    });
    const apiKeys = acme.config.apiKeys.map((key) => ({ ...key, addresses }));
    const withKey = as({ apiKey: { kind: 'assumed', id: 'acme-key' } });
    expect(await refusal(withKey, { ...acme.config, apiKeys })).toMatchObject({
      kind: 'address_not_allowed',
      allow: ['a call from one of its addresses, or 127.0.0.1 among them (tenants/acme.yaml:12)'],
    });
    expect(await explained(withKey)).toMatchObject({ verdict: 'allowed' });
    const from = { ...withKey, address: '192.0.2.7' };
    const answer = await explained(from, { ...acme.config, addresses, apiKeys });
    expect(answer).toMatchObject({ verdict: 'allowed' });
    expect(answer.assumed.join()).not.toContain('a connection from');
    expect((await explained(withKey, { ...acme.config, apiKeys })).assumed).toContain('a connection from 127.0.0.1');
  });

  test('whose certificate another CA has signed, or has no client’s name, it does not get past the first gate', async () => {
    const stranger = issueClient(createCa({ commonName: 'other', days: 1 }), {
      spiffeId: 'spiffe://acme.example/x',
      days: 1,
    });
    for (const credential of [
      { kind: 'presented', pem: stranger.certPem },
      { kind: 'assumed', name: 'spiffe://elsewhere.example/x' },
    ] as const) {
      const answer = await explained(as({ certificate: credential }));
      expect(answer.refusal?.kind).toBe('certificate_unacceptable');
      expect(verdicts(answer)).toEqual([
        'identify deny',
        'authenticate not reached',
        'authorize not reached',
        'reserve not reached',
        'inspect not reached',
      ]);
    }
  });

  test('whose certificate has no SPIFFE id of the tenant’s, it says so, and what is assumed has one', async () => {
    const tenant = (...ids: readonly string[]): TenantConfig => ({
      ...acme.config,
      identifiedBy: { kind: 'spiffe', ids },
    });
    for (const ids of ['spiffe://acme.example/a/*', 'spiffe://acme.example/client']) {
      expect(await explained(subject('alice'), tenant(ids))).toMatchObject({ verdict: 'allowed' });
    }
    const presentedOne = as({ certificate: { kind: 'presented', pem: acme.pki.client.certPem } });
    expect((await explained(presentedOne, tenant('spiffe://acme.example/a/*'))).refusal?.why).toContain(
      "spiffe://acme.example/client is none of the tenant's ids",
    );
  });

  test('whose certificate comes with its intermediate, it is found to be the tenant’s', async () => {
    const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
    const between = createCa({ commonName: 'between', days: 1 }, root);
    const client = issueClient(between, { spiffeId: 'spiffe://acme.example/x', days: 1 });
    const tenant = { ...acme.config, clientCaPem: root.certPem };
    const pem = `${client.certPem}\n${between.certPem}`;
    const chain = { ...subject('alice').credentials, certificate: { kind: 'presented', pem } } as Credentials;
    expect(await explained({ credentials: chain }, tenant)).toMatchObject({ verdict: 'allowed' });
    const bare = { ...chain, certificate: { kind: 'presented', pem: client.certPem } } as const;
    expect((await explained({ credentials: bare }, tenant)).refusal?.kind).toBe('certificate_unacceptable');
  });

  test('whose authorities are not known here, a certificate that is shown cannot be judged, and a named one can', async () => {
    const tenant = { ...acme.config, clientCaPem: '' };
    const shown = as({ certificate: { kind: 'presented', pem: acme.pki.client.certPem } });
    const answer = await explain({ tenants: [tenant] }, question(shown));
    expect(answer).toMatchObject({ ok: false, error: expect.stringContaining('ask the running sidecar') });
    expect(await explained(subject('alice'), tenant)).toMatchObject({ verdict: 'allowed' });
  });

  test('whose issuer cannot be reached, it says so', async () => {
    const [issuer] = acme.config.issuers;
    if (issuer === undefined) throw new Error('no issuer');
    const jwks = { kind: 'url', url: 'http://127.0.0.1:1/jwks', caPem: undefined } as const;
    const tenant = { ...acme.config, issuers: [{ ...issuer, jwks }] };
    expect(await refusal(presented(token(acme.issuer)), tenant)).toMatchObject({ kind: 'policy_unavailable' });
    const asked = { fetching: { allowAddresses: ['127.0.0.1'] }, tenants: [tenant] };
    const answer = await explain(asked, question(presented(token(acme.issuer))));
    expect(answer.ok && answer.value.gates.find(({ verdict }) => verdict === 'deny')?.detail).toContain('ECONNREFUSED');
  });
});

describe('of a call that makes no sense', () => {
  test('an unknown method and a malformed one are told from each other', async () => {
    expect(await refusal({ ...subject('alice'), method: 'Nope' })).toMatchObject({
      gate: 'authorize',
      kind: 'method_unknown',
      status: 'UNIMPLEMENTED',
    });
    expect(await refusal({ ...subject('alice'), method: 'a//b' })).toMatchObject({
      gate: 'request',
      kind: 'path_malformed',
    });
  });

  test('a tenant that is not there, and a certificate that is none, cannot be asked about', async () => {
    const ask = (changes: Partial<Question>) => explain({ tenants: [acme.config] }, question(changes));
    expect(await ask({ tenant: 'acne' })).toEqual({ ok: false, error: 'there is no tenant acne; there are: acme' });
    const pem = 'no certificate';
    expect(await ask(as({ certificate: { kind: 'presented', pem } }))).toEqual({
      ok: false,
      error: 'the certificate holds no PEM certificate',
    });
  });
});

describe('whatever the roles and whoever asks', () => {
  const methods = [INFER, LIVE, LOAD, 'inference.GRPCInferenceService/ModelReady', 'inference.GRPCInferenceService/*'];
  const models = ['digits', 'fraud', 'acme-1', ''];
  const names = ['alice', 'bob', '*'];
  const someOf = <T>(values: readonly T[], minLength = 0) => fc.uniqueArray(fc.constantFrom(...values), { minLength });
  const aRole = fc.record({
    name: fc.constantFrom('r0', 'r1', 'r2'),
    methods: someOf(methods, 1),
    models: someOf(['digits', 'acme-*', '*', 'fraud']),
    versions: someOf(['*', 'latest', '1'], 1),
    scopes: someOf(['s1', 's2']),
  });
  const aBinding = fc.record({
    role: fc.constantFrom('r0', 'r1', 'r2'),
    subjects: someOf(names),
    keys: someOf(['acme-key', '*']),
    certificates: someOf([acme.pki.spiffeId, 'spiffe://acme.example/other']),
  });
  const anything = fc.record({
    roles: fc.uniqueArray(aRole, { selector: ({ name }) => name, maxLength: 3 }),
    bindings: fc.array(aBinding, { maxLength: 4 }),
    accept: someOf(['certificate', 'token', 'api-key'] as const, 1),
    subject: fc.option(fc.constantFrom('alice', 'bob', 'carol'), { nil: undefined }),
    scope: fc.option(fc.constantFrom('s1', 's1 s2'), { nil: undefined }),
    withKey: fc.boolean(),
    verified: fc.boolean(),
    method: fc.constantFrom(INFER, LIVE, LOAD, 'inference.GRPCInferenceService/ModelReady'),
    model: fc.constantFrom(...models),
    version: fc.constantFrom('', '1', '2'),
  });

  /** What authentication and authorization themselves say. */
  async function decided(
    config: TenantConfig,
    peer: Peer,
    bearer: string | undefined,
    key: string | undefined,
    call: { method: string; model: string; version: string },
  ): Promise<string> {
    const headers = parseCredentials(bearer === undefined ? undefined : `Bearer ${bearer}`, key);
    if (!headers.ok) return headers.error.kind;
    const caller = await new Authenticator(config, new Directory([config])).authenticate(peer, headers.value, now());
    if (!caller.ok) return caller.error.kind;
    const method = new MethodTable([]).find(`/${call.method}`);
    if (method === undefined) throw new Error('no such method');
    const authorizer = new Authorizer(config);
    const permit = authorizer.method(caller.value, method, now());
    if (!permit.ok) return permit.error.kind;
    const may = method.readsModel
      ? authorizer.model(permit.value, call.model, call.version)
      : withoutModel(permit.value);
    return may.ok ? `allowed by ${may.value.rule}` : may.error.kind;
  }

  test('the explanation’s verdict is the authorizer’s, with the same rule', async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(anything, async (one) => {
        const roles = one.roles.map((each, index) => ({
          ...each,
          source: `tenants/acme.yaml:${index} roles[${index}]`,
        }));
        const bindings = one.bindings.map((each, index) => ({
          ...each,
          source: `tenants/acme.yaml:${50 + index} bindings[${index}]`,
        }));
        const config = { ...acme.config, accept: one.accept, roles, bindings };
        const scope = one.scope === undefined ? {} : { scope: one.scope };
        const bearer = one.subject === undefined ? undefined : token(acme.issuer, { sub: one.subject, ...scope });
        const key = one.withKey ? acme.apiKey : undefined;
        const expected = await decided(config, acme.peer(), bearer, key, one);
        const asked: Credentials = one.verified
          ? {
              certificate: { kind: 'presented', pem: acme.pki.client.certPem },
              token: bearer === undefined ? undefined : { kind: 'presented', text: bearer },
              apiKey: key === undefined ? undefined : { kind: 'presented', text: key },
            }
          : {
              certificate: { kind: 'assumed', name: acme.pki.spiffeId },
              token: one.subject === undefined ? undefined : { kind: 'assumed', subject: one.subject, ...scope },
              apiKey: one.withKey ? { kind: 'assumed', id: 'acme-key' } : undefined,
            };
        const { method, model, version: modelVersion } = one;
        const answer = await explained({ method, model, modelVersion, credentials: asked }, config);
        const rule = answer.gates.at(-1)?.gate === 'inspect' ? answer.gates.at(-1)?.rule : answer.gates[2]?.rule;
        expect(answer.refusal?.kind ?? `allowed by ${rule ?? ''}`).toBe(expected);
        // Whoever is refused by roles is told something that would help.
        if (answer.refusal !== undefined) expect(answer.refusal.allow.length).toBeGreaterThan(0);
        seen.add(expected.replace(/ by .*/, ''));
      }),
      { numRuns: 300, seed: 5 },
    );
    expect([...seen].sort()).toEqual([
      'allowed',
      'credentials_missing',
      'insufficient_scope',
      'method_denied',
      'model_denied',
    ]);
  }, 60_000);
});

describe('of a credential that is revoked', () => {
  const denied = (kind: 'spiffe' | 'key' | 'subject', value: string): TenantConfig => ({
    ...acme.config,
    denied: [{ kind, value, source: 'tenants/acme.yaml:9 denied[0]' }],
  });

  test.each([
    ['a certificate', denied('spiffe', 'spiffe://acme.example/x'), 'identify', 'CERTIFICATE_UNACCEPTABLE', {}],
    ['a subject', denied('subject', 'alice'), 'authenticate', 'TOKEN_INVALID', subject('alice')],
    [
      'a key',
      denied('key', 'acme-key'),
      'authenticate',
      'API_KEY_INVALID',
      as({ apiKey: { kind: 'assumed', id: 'acme-key' } }),
    ],
  ])('%s, the entry is named that revokes it', async (_name, tenant, gate, reason, asked) => {
    const certificate = { kind: 'assumed', name: 'spiffe://acme.example/x' } as const;
    const question = 'credentials' in asked ? asked : as({ certificate });
    const answer = await explained(question, tenant);
    expect(answer.verdict).toBe('denied');
    expect(answer.gates.find(({ verdict }) => verdict === 'deny')?.gate).toBe(gate);
    expect(answer.refusal).toMatchObject({ reason, why: 'it is revoked by tenants/acme.yaml:9 denied[0]' });
  });

  test('for all tenants, too', async () => {
    const entry = { kind: 'subject', value: 'alice', source: 'deny.yaml:2 denied[0]' } as const;
    const answer = await explain({ tenants: [acme.config], denied: [entry] }, question(subject('alice')));
    expect(answer.ok && answer.value.refusal?.why).toBe('it is revoked by deny.yaml:2 denied[0]');
  });
});
