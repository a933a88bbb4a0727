import { describe, expect, test } from 'vitest';
import { Authenticator } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import { AUTHN_LIMITS, type AuthnLimits } from '../../../src/authn/limits.ts';
import type { IntrospectionConfig, IssuerConfig } from '../../../src/config/credentials-config.ts';
import type { DocumentRequest } from '../../../src/fetching/document-fetch.ts';
import { err, ok, type Result } from '../../../src/kernel/result.ts';
import { boundTo, type Claims, FakeIssuer, TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const NOW = TEST_NOW_SECONDS;
const ISSUER = 'https://acme.idp.test';
const ENDPOINT = `${ISSUER}/introspect`;
const SECRET = 'a secret: 50% + ü';

const INTROSPECTION: IntrospectionConfig = {
  endpoint: ENDPOINT,
  caPem: 'CA',
  clientId: 'bulkhead',
  clientSecret: SECRET,
  method: 'basic',
  clientCertificate: undefined,
  tokens: 'opaque',
  cacheMs: 60_000,
  staleIfErrorMs: 300_000,
};

const ACTIVE: Claims = { active: true, iss: ISSUER, aud: 'bulkhead', sub: 'alice', exp: NOW + 3600 };

class Scene {
  readonly issuer = new FakeIssuer(ISSUER);
  readonly asked: DocumentRequest[] = [];
  readonly #by: Authenticator;
  readonly #peer;
  /** `cnf` of a token that is bound to the caller's certificate. */
  readonly own: object;
  /** What the endpoint answers next. */
  answer: (token: string) => Result<unknown, string> | Promise<Result<unknown, string>> = () => ok(ACTIVE);

  constructor(
    introspection: Partial<IntrospectionConfig> = {},
    issuer: Partial<IssuerConfig> = {},
    limits: Partial<AuthnLimits> = {},
  ) {
    const tenant = fakeTenant('acme', {}, this.issuer);
    const issuers = tenant.config.issuers.map((config) => ({
      ...config,
      introspection: { ...INTROSPECTION, ...introspection },
      ...issuer,
    }));
    const config = { ...tenant.config, issuers };
    this.#peer = tenant.peer();
    this.own = boundTo(tenant.pki.client.certPem);
    this.#by = new Authenticator(config, new Directory([config]), {
      limits,
      fetch: async (request) => {
        this.asked.push(request);
        const answer = await this.answer(new URLSearchParams(request.form).get('token') ?? '');
        if (!answer.ok) return answer;
        return ok(Buffer.from(typeof answer.value === 'string' ? answer.value : JSON.stringify(answer.value)));
      },
    });
  }

  #ask(seconds: number, token: string): ReturnType<Authenticator['authenticate']> {
    const parsed = parseCredentials(`Bearer ${token}`, undefined);
    if (!parsed.ok) throw new Error('not a token');
    return this.#by.authenticate(this.#peer, parsed.value, micros(NOW + seconds));
  }

  async at(seconds: number, token = 'opaque-token'): Promise<string> {
    const verdict = await this.#ask(seconds, token);
    if (verdict.ok) return `accepted as ${verdict.value.id}`;
    const { error } = verdict;
    return 'why' in error ? `${error.kind}: ${error.why}` : error.kind;
  }

  async callerAt(seconds: number, token = 'opaque-token'): Promise<unknown> {
    const verdict = await this.#ask(seconds, token);
    return verdict.ok ? verdict.value : verdict.error;
  }

  /** Whether the verdict on it comes at once. */
  atOnce(seconds: number, token = 'opaque-token'): boolean {
    return !(this.#ask(seconds, token) instanceof Promise);
  }
}

const ALICE = 'accepted as token:alice';
const INACTIVE = 'token_invalid: the issuer says that it is not active';
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe('an opaque token', () => {
  test('is asked about with the client’s name and secret, which are in the header and nowhere else', async () => {
    const scene = new Scene();
    expect(await scene.at(0)).toBe(ALICE);
    // RFC 6749 §2.3.1 has both encoded as in a form.
    const credentials = `bulkhead:${new URLSearchParams({ s: SECRET }).toString().slice(2)}`;
    const [request] = scene.asked;
    expect(request).toMatchObject({
      url: ENDPOINT,
      headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
      caPem: 'CA',
      timeoutMs: AUTHN_LIMITS.introspectionTimeoutMs,
      maxBytes: AUTHN_LIMITS.maxIntrospectionBytes,
      contentTypes: ['application/json'],
    });
    expect(Object.fromEntries(new URLSearchParams(request?.form))).toEqual({
      token: 'opaque-token',
      token_type_hint: 'access_token',
    });
  });

  test('may be asked about with the secret in the form', async () => {
    const scene = new Scene({ method: 'post' });
    expect(await scene.at(0)).toBe(ALICE);
    expect(scene.asked[0]?.headers).toBeUndefined();
    expect(Object.fromEntries(new URLSearchParams(scene.asked[0]?.form))).toMatchObject({
      client_id: 'bulkhead',
      client_secret: SECRET,
    });
  });

  test('may be asked about with a certificate instead', async () => {
    const clientCertificate = { chainPem: 'chain', keyPem: 'key' };
    const scene = new Scene({ clientSecret: undefined, clientCertificate });
    expect(await scene.at(0)).toBe(ALICE);
    expect(scene.asked[0]).toMatchObject({ clientCertificate });
    expect(scene.asked[0]?.headers).toBeUndefined();
    expect(Object.fromEntries(new URLSearchParams(scene.asked[0]?.form))).toMatchObject({ client_id: 'bulkhead' });
  });

  test('has the subject, scopes and sign-in that its issuer says', async () => {
    const scene = new Scene();
    scene.answer = () =>
      ok({ ...ACTIVE, scope: 'models:infer', acr: 'gold', amr: ['mfa'], auth_time: NOW - 10, token_type: 'Bearer' });
    expect(await scene.callerAt(0)).toMatchObject({
      id: 'token:alice',
      issuer: ISSUER,
      kind: 'token',
      strength: { scope: 'models:infer', acr: 'gold', amr: ['mfa'], authTimeSeconds: NOW - 10 },
      expiresAt: micros(NOW + 3630),
    });
  });

  test('of a client’s own is the client’s, and one that names no issuer is its', async () => {
    const scene = new Scene();
    scene.answer = () => ok({ ...ACTIVE, iss: undefined, sub: undefined, client_id: 'batch' });
    expect(await scene.at(0)).toBe('accepted as token:batch');
  });

  test.each<[string, Claims | string]>([
    ['token_invalid: iss differs from the issuer', { iss: 'https://evil.test' }],
    ['token_invalid: aud names none of the audiences', { aud: 'billing' }],
    ['token_invalid: aud names none of the audiences', { aud: undefined }],
    ['token_invalid: sub is not a name', { sub: undefined }],
    ['token_invalid: sub is not a name', { sub: 'a\nb' }],
    ['token_invalid: exp is not a time', { exp: undefined }],
    ['token_invalid: exp is not a time', { exp: '9999999999' }],
    ['token_expired', { exp: NOW - 30 }],
    ['token_invalid: nbf is in the future', { nbf: NOW + 31 }],
    ['token_binding_mismatch: another certificate', { cnf: { 'x5t#S256': 'A'.repeat(43) } }],
    ['token_binding_mismatch: cnf has no x5t#S256', { cnf: { jkt: 'x' } }],
    ['token_invalid: token_type is not Bearer', { token_type: 'DPoP' }],
    ['token_invalid: token_type is not Bearer', { token_type: 'refresh_token' }],
    ['token_invalid: token_type is not Bearer', { token_type: ['Bearer'] }],
    [INACTIVE, { active: false }],
    [INACTIVE, '{"active":false}'],
    ['policy_unavailable: "response" body "active" property must be a boolean', { active: 'true' }],
    ['policy_unavailable: "response" body "active" property must be a boolean', { active: undefined }],
    ['policy_unavailable: a member stands in it twice', `{"active":false,"active":true}`],
    ['policy_unavailable: not a JSON object', '[true]'],
    ['policy_unavailable: not JSON in UTF-8', '<html>'],
  ])('is refused with %s when its issuer says %j', async (verdict, said) => {
    const scene = new Scene();
    scene.answer = () => ok(typeof said === 'string' ? said : { ...ACTIVE, ...said });
    expect(await scene.at(0)).toBe(verdict);
    const good = new Scene();
    expect(await good.at(0)).toBe(ALICE);
  });

  test('that is bound to the caller’s certificate passes over it', async () => {
    const scene = new Scene({}, { requireBound: true });
    expect(await scene.at(0)).toBe('token_binding_mismatch: no cnf');
    scene.answer = () => ok({ ...ACTIVE, cnf: scene.own });
    expect(await scene.at(0, 'bound')).toBe(ALICE);
  });

  test.each(['a b', 'ü', 'a,b', '', '=', '{}'])('%j is none, and nobody is asked about it', async (token) => {
    const scene = new Scene();
    expect(await scene.at(0, token)).toMatch(/^token_invalid/);
    expect(scene.asked).toEqual([]);
  });

  test.each(['x', 'ya29.a0AfH6.SMB-x_y', 'ory_at_abc.def', 'a+b/c==', '00000000-0000-4000-8000-000000000000'])(
    '%j is one',
    async (token) => {
      expect(await new Scene().at(0, token)).toBe(ALICE);
    },
  );
});

describe('a JWT', () => {
  test('is verified by its signature, and nobody is asked about it', async () => {
    const scene = new Scene();
    expect(await scene.at(0, scene.issuer.token())).toBe(ALICE);
    expect(scene.asked).toEqual([]);
  });

  test('that is bent is not shown to anybody', async () => {
    const scene = new Scene();
    const [header = '', claims = '', signature = ''] = scene.issuer.token().split('.');
    const json = (text: string): string => Buffer.from(text).toString('base64');
    for (const token of [
      `${header}.${claims}.`,
      `${header}.${claims}`,
      `${header}=.${claims}.${signature}`,
      `${header}.${claims}.${signature}.x`,
      `${json(' {"alg":"none"}').replaceAll('=', '')}.x`,
      `${json('\n\t{"iss"')}.x`,
      new FakeIssuer('https://other.test').token(),
    ]) {
      expect(await scene.at(0, token)).toMatch(/^token_invalid/);
    }
    expect(scene.asked).toEqual([]);
  });

  test('is asked about after its signature where that is configured', async () => {
    const scene = new Scene({ tokens: 'all' });
    const token = scene.issuer.token({ scope: 'old' });
    scene.answer = () => ok({ ...ACTIVE, scope: 'new', exp: NOW + 100 });
    expect(await scene.callerAt(0, token)).toMatchObject({ strength: { scope: 'new' }, expiresAt: micros(NOW + 130) });
    expect(await scene.at(0, new FakeIssuer(ISSUER).token())).toBe('token_invalid: signature');
    expect(scene.asked.length).toBe(1);
    scene.answer = () => ok({ active: false });
    expect(await scene.at(0, scene.issuer.token({ jti: '2' }))).toBe(INACTIVE);
    scene.answer = () => ok({ ...ACTIVE, sub: 'mallory' });
    expect(await scene.at(0, scene.issuer.token({ jti: '3' }))).toMatch(/about another subject/);
  });

  test('keeps the end and the binding that its signature vouches for', async () => {
    const scene = new Scene({ tokens: 'all' });
    const { own } = scene;
    scene.answer = () => ok({ ...ACTIVE, exp: NOW + 9999 });
    expect(await scene.callerAt(0, scene.issuer.token({ cnf: own }))).toMatchObject({ expiresAt: micros(NOW + 3630) });
    const other = { 'x5t#S256': 'A'.repeat(43) };
    expect(await scene.at(0, scene.issuer.token({ cnf: other }))).toBe('token_binding_mismatch: another certificate');
    scene.answer = () => ok({ ...ACTIVE, cnf: other });
    expect(await scene.at(0, scene.issuer.token({ cnf: own, jti: '2' }))).toMatch(/name two certificates/);
  });

  test('of an issuer without keys is refused, unless it is asked about', async () => {
    const keyless = { jwks: { kind: 'none' } } as const;
    const opaque = new Scene({}, keyless);
    expect(await opaque.at(0, opaque.issuer.token())).toBe('token_invalid: its issuer has no keys here');
    expect(opaque.asked).toEqual([]);
    expect(await opaque.at(0)).toBe(ALICE);
    const all = new Scene({ tokens: 'all' }, keyless);
    expect(await all.at(0, all.issuer.token())).toBe(ALICE);
  });
});

describe('an answer', () => {
  test('is good for as long as is configured, and renewed behind the callers’ backs before it ends', async () => {
    const scene = new Scene();
    await scene.at(0);
    expect(scene.atOnce(44.9)).toBe(true);
    expect(scene.asked.length).toBe(1);
    expect(scene.atOnce(45)).toBe(true);
    await settle();
    expect(scene.asked.length).toBe(2);
    expect(scene.atOnce(89)).toBe(true);
    expect(scene.asked.length).toBe(2);
  });

  test('that nobody renewed is asked for again', async () => {
    const scene = new Scene();
    await scene.at(0);
    scene.answer = () => ok({ active: false });
    expect(await scene.at(59.9)).toBe(ALICE);
    const other = new Scene();
    await other.at(0);
    other.answer = () => ok({ active: false });
    expect(await other.at(60)).toBe(INACTIVE);
  });

  test('that is renewed as inactive ends the token at once', async () => {
    const scene = new Scene();
    await scene.at(0);
    scene.answer = () => ok({ active: false });
    scene.atOnce(45);
    await settle();
    expect(await scene.at(45.1)).toBe(INACTIVE);
  });

  test('that is renewed with other scopes makes another caller', async () => {
    const scene = new Scene();
    await scene.at(0);
    scene.answer = () => ok({ ...ACTIVE, scope: 'less' });
    scene.atOnce(45);
    await settle();
    expect(await scene.callerAt(45.1)).toMatchObject({ strength: { scope: 'less' } });
  });

  test('is never good beyond the token’s own end', async () => {
    const scene = new Scene({ cacheMs: 3_600_000 });
    scene.answer = () => ok({ ...ACTIVE, exp: NOW + 10 });
    expect(await scene.at(0)).toBe(ALICE);
    expect(await scene.at(39.9)).toBe(ALICE);
    expect(await scene.at(40)).toBe('token_expired');
  });

  test('may be good for nothing but the call that it was asked for', async () => {
    const scene = new Scene({ cacheMs: 0 });
    for (let index = 0; index < 3; index += 1) expect(await scene.at(0)).toBe(ALICE);
    expect(scene.asked.length).toBe(3);
  });

  test('is asked for once by many calls', async () => {
    const scene = new Scene();
    expect(new Set(await Promise.all(Array.from({ length: 20 }, () => scene.at(0))))).toEqual(new Set([ALICE]));
    expect(scene.asked.length).toBe(1);
  });

  test('that a token is not active is remembered for a little while', async () => {
    const scene = new Scene();
    scene.answer = () => ok({ active: false });
    const negative = AUTHN_LIMITS.introspectionNegativeMs / 1000;
    expect(await scene.at(0)).toBe(INACTIVE);
    expect(await scene.at(negative - 0.001)).toBe(INACTIVE);
    expect(scene.asked.length).toBe(1);
    scene.answer = () => ok(ACTIVE);
    expect(await scene.at(negative)).toBe(ALICE);
  });

  test.each([
    ['maxInactiveTokens', { maxInactiveTokens: 2 }],
    ['maxInactiveTokenBytes', { maxInactiveTokenBytes: 2 }],
  ])('of so many tokens: of n all are remembered, of n + 1 one is asked about again (%s)', async (_name, limits) => {
    const scene = new Scene({}, {}, limits);
    scene.answer = () => ok({ active: false });
    for (const token of ['a', 'b', 'a', 'b']) await scene.at(0, token);
    expect(scene.asked.length).toBe(2);
    await scene.at(0, 'c');
    for (const token of ['a', 'b', 'c']) await scene.at(0, token);
    expect(scene.asked.length).toBeGreaterThan(3);
  });
});

describe('an endpoint that does not take one token', () => {
  test.each([400, 413, 414, 422, 431])('with status %i, is not away for others', async (status) => {
    const scene = new Scene();
    let active = true;
    scene.answer = (token) =>
      token === 'odd' ? err(`status ${status}`) : ok(token === 'opaque-token' && !active ? { active } : ACTIVE);
    expect(await scene.at(0)).toBe('accepted as token:alice');
    active = false;
    expect(await scene.at(60, 'odd')).toContain('policy_unavailable');
    expect(await scene.at(60, 'new')).toBe('accepted as token:alice');
    expect(await scene.at(60.001)).toContain('token_invalid');
  });
});

describe('an endpoint that does not let us ask, or says so of one token,', () => {
  test.each([401, 403, 404, 405, 451])('with status %i, is not away for others', async (status) => {
    const scene = new Scene();
    let active = true;
    scene.answer = (token) =>
      token === 'odd' ? err(`status ${status}`) : ok(token === 'opaque-token' && !active ? { active } : ACTIVE);
    expect(await scene.at(0)).toBe(ALICE);
    active = false;
    expect(await scene.at(60, 'odd')).toBe(`policy_unavailable: status ${status}`);
    expect(await scene.at(60, 'new')).toBe(ALICE);
    // What was withdrawn is not kept alive by it.
    expect(await scene.at(60.001)).toBe(INACTIVE);
  });

  test.each([
    [401, ALICE],
    [403, ALICE],
    [408, ALICE],
    [429, ALICE],
    [500, ALICE],
  ])(
    'with status %i of a token that was active, is away: known callers go on, and nobody new gets in',
    async (status, known) => {
      const scene = new Scene();
      await scene.at(0);
      await scene.at(0, 'other');
      scene.answer = () => err(`status ${status}`);
      // Behind the back of its caller.
      expect(await scene.at(50)).toBe(ALICE);
      await new Promise((resolve) => setImmediate(resolve));
      expect(await scene.at(70)).toBe(known);
      expect(await scene.at(70, 'other')).toBe(known);
      expect(await scene.at(70, 'stranger')).toBe(`policy_unavailable: status ${status}`);
      scene.answer = () => ok(ACTIVE);
      expect(await scene.at(80, 'stranger')).toBe(ALICE);
    },
  );

  test('that was away for everybody stays so when it does not let us ask about a stranger', async () => {
    const scene = new Scene();
    await scene.at(0);
    scene.answer = () => err('connection refused');
    expect(await scene.at(61)).toBe(ALICE);
    scene.answer = () => err('status 403');
    expect(await scene.at(70, 'stranger')).toBe('policy_unavailable: status 403');
    expect(await scene.at(71)).toBe(ALICE);
    expect(await scene.at(70 + AUTHN_LIMITS.introspectionRetryMs / 1000 - 0.001, 'another')).toBe(
      'policy_unavailable: connection refused',
    );
  });
});

describe('an endpoint that is away', () => {
  const retry = AUTHN_LIMITS.introspectionRetryMs / 1000;
  const AWAY = 'policy_unavailable: connection refused';

  test('costs no known caller for as long as is configured, and lets nobody new in', async () => {
    const scene = new Scene();
    await scene.at(0);
    scene.answer = () => err('connection refused');
    for (let second = 30; second < 360; second += 1) {
      expect(await scene.at(second)).toBe(ALICE);
      await Promise.resolve();
    }
    expect(await scene.at(300, 'stranger')).toBe(AWAY);
    expect(await scene.at(360)).toBe(AWAY);
    scene.answer = () => ok(ACTIVE);
    expect(await scene.at(360 + retry)).toBe(ALICE);
    expect(await scene.at(360 + retry, 'stranger')).toBe(ALICE);
  });

  test('keeps a known caller whom nobody had asked about when its time was over', async () => {
    const scene = new Scene();
    await scene.at(0);
    scene.answer = () => err('connection refused');
    expect(await scene.at(61)).toBe(ALICE);
    expect(scene.asked.length).toBe(2);
    expect(await new Scene({ staleIfErrorMs: 0 }).at(0)).toBe(ALICE);
  });

  test('costs known callers their calls where they are not to be trusted longer', async () => {
    const scene = new Scene({ staleIfErrorMs: 0 });
    await scene.at(0);
    scene.answer = () => err('connection refused');
    expect(await scene.at(60)).toBe(AWAY);
  });

  test('never keeps a token beyond its own end, nor one that was said to be inactive', async () => {
    const scene = new Scene();
    scene.answer = (token) => ok({ ...ACTIVE, exp: token === 'short' ? NOW + 60 : NOW + 3600 });
    await scene.at(0, 'short');
    await scene.at(0, 'revoked');
    scene.answer = () => ok({ active: false });
    expect(await scene.at(60, 'revoked')).toBe(INACTIVE);
    scene.answer = () => err('connection refused');
    expect(await scene.at(61, 'short')).toBe(ALICE);
    expect(await scene.at(90, 'short')).toBe('token_expired');
    expect(await scene.at(90, 'revoked')).toBe(AWAY);
  });

  test('is asked again by one caller at a time, and not before a while has passed', async () => {
    const scene = new Scene();
    scene.answer = () => err('connection refused');
    expect(await scene.at(0, 'first')).toBe(AWAY);
    expect(await scene.at(retry - 0.001, 'second')).toBe(AWAY);
    expect(scene.asked.length).toBe(1);
    const verdicts = await Promise.all(['a', 'b', 'c'].map((token) => scene.at(retry, token)));
    expect(verdicts).toEqual([AWAY, AWAY, AWAY]);
    expect(scene.asked.length).toBe(2);
    scene.answer = () => ok(ACTIVE);
    expect(await scene.at(2 * retry, 'd')).toBe(ALICE);
    expect(await scene.at(2 * retry, 'e')).toBe(ALICE);
  });

  test('lets those that wait for their turn go when it is found out', async () => {
    const scene = new Scene({}, {}, { maxConcurrentIntrospections: 1 });
    scene.answer = () => err('connection refused');
    const verdicts = await Promise.all(['a', 'b', 'c'].map((token) => scene.at(0, token)));
    expect(verdicts).toEqual([AWAY, AWAY, AWAY]);
    expect(scene.asked.length).toBe(1);
  });

  test('says nothing of the secret or the token, whatever it answers', async () => {
    for (const answer of [err('status 401'), ok('x'), ok({ active: 7, error: SECRET })]) {
      const scene = new Scene({ method: 'post' });
      scene.answer = () => answer;
      const refusal = JSON.stringify(await scene.callerAt(0));
      expect(refusal).toContain('policy_unavailable');
      expect(refusal).not.toContain('secret');
      expect(refusal).not.toContain('opaque-token');
    }
  });
});

describe('a flood of made-up tokens', () => {
  test('is asked about n at a time, and n wait', async () => {
    let asking = 0;
    let most = 0;
    const scene = new Scene({}, {}, { maxConcurrentIntrospections: 2, maxPendingIntrospections: 5 });
    const gate = Promise.withResolvers<void>();
    scene.answer = async () => {
      asking += 1;
      most = Math.max(most, asking);
      await gate.promise;
      asking -= 1;
      return ok({ active: false });
    };
    const waiting = ['a', 'b', 'c', 'd', 'e'].map((token) => scene.at(0, token));
    expect(await scene.at(0, 'f')).toBe('overloaded: too many tokens of this tenant are being asked about');
    gate.resolve();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([INACTIVE]));
    expect(most).toBe(2);
    scene.answer = () => ok(ACTIVE);
    expect(await scene.at(0, 'f')).toBe(ALICE);
  });

  test('costs no token its place among those that are known', async () => {
    const scene = new Scene({}, {}, { maxCachedTokens: 1 });
    await scene.at(0);
    scene.answer = () => ok({ active: false });
    for (let index = 0; index < 50; index += 1) await scene.at(0, `made-up-${String(index)}`);
    expect(scene.atOnce(1)).toBe(true);
  });
});

describe('a call that runs while the configuration changes', () => {
  const tenant = fakeTenant('acme', {}, new FakeIssuer(ISSUER));
  const configured = (issuer: Partial<IssuerConfig>) => {
    const issuers = tenant.config.issuers.map((config) => ({ ...config, introspection: INTROSPECTION, ...issuer }));
    return { ...tenant.config, issuers };
  };
  const peer = tenant.peer();
  const parsed = parseCredentials('Bearer opaque-token', undefined);
  if (!parsed.ok) throw new Error('not a token');
  const presented = parsed.value;

  test.each<[string, Partial<IssuerConfig>, string]>([
    ['the same issuer', {}, 'token:alice'],
    ['another audience', { audiences: ['billing'] }, 'token_invalid'],
    ['another issuer', { issuer: 'https://new.test' }, 'token_invalid'],
    ['an issuer that is asked no more', { introspection: undefined as never }, 'token_invalid'],
    ['binding', { requireBound: true }, 'token_binding_mismatch'],
  ])('to %s is held against it by what its issuer said, and nobody is asked again', async (_what, change, outcome) => {
    let asked = 0;
    const fetch = async () => {
      asked += 1;
      return ok(Buffer.from(JSON.stringify(ACTIVE)));
    };
    const before = configured({});
    const admitted = await new Authenticator(before, new Directory([before]), { fetch }).authenticate(
      peer,
      presented,
      micros(NOW),
    );
    if (!admitted.ok) throw new Error(JSON.stringify(admitted.error));
    const after = configured(change);
    const by = new Authenticator(after, new Directory([after]), { fetch });
    const again = by.reauthenticate(admitted.value, peer, presented, micros(NOW + 1));
    expect(again.ok ? again.value.id : again.error.kind).toBe(outcome);
    expect(asked).toBe(1);
    expect(JSON.stringify(admitted.value)).not.toContain('active');
  });
});
