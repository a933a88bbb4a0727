/**
 * Tokens by which a caller would have the sidecar do something for it: ask somebody, ask without end, forget what others need. Over the
 * wire, with two tenants whose issuers are asked.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { IssuerConfig } from '../../src/config/credentials-config.ts';
import type { DocumentFetch } from '../../src/fetching/document-fetch.ts';
import { err, ok } from '../../src/kernel/result.ts';
import { fresh, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { FakeIssuer } from '../fakes/tokens.ts';
import type { FakeTenant } from '../fakes/trust.ts';

const told = ({ status, reason }: Answer): string => `${status} ${reason}`.trim();
const INVALID = '16 TOKEN_INVALID';

let ground: HostileGround;
let acme: RawGrpcClient;
let globex: RawGrpcClient;
/** What was fetched, as URL and token, in order. */
const asked: { readonly url: string; readonly token: string | null }[] = [];

const tenants = (): readonly FakeTenant[] => [ground.acme, ground.globex];
const infer = (over: RawGrpcClient, token: string): Promise<Answer> =>
  over.call(INFER, { headers: { authorization: `Bearer ${token}` }, chunks: [inferRequest()] });
const questions = (token: string): number => asked.filter((one) => one.token === token).length;
const keySets = ({ issuer }: FakeTenant): number => asked.filter(({ url }) => url === `${issuer.issuer}/jwks`).length;

/** The web of both issuers, and of nobody else. */
const fetch: DocumentFetch = async ({ url, form }) => {
  asked.push({ url, token: form === undefined ? null : new URLSearchParams(form).get('token') });
  await Promise.resolve();
  const owner = tenants().find(({ issuer }) => url.startsWith(`${issuer.issuer}/`));
  if (owner === undefined) return err('nobody');
  const { issuer } = owner;
  if (url === `${issuer.issuer}/.well-known/openid-configuration`) {
    const about = { issuer: issuer.issuer, jwks_uri: `${issuer.issuer}/jwks` };
    return ok(Buffer.from(JSON.stringify({ ...about, introspection_endpoint: `${issuer.issuer}/introspect` })));
  }
  if (url === `${issuer.issuer}/jwks`) return ok(Buffer.from(issuer.jwks()));
  const isKnown = new URLSearchParams(form).get('token') === `opaque-${owner.config.id}`;
  const answer = { active: isKnown, aud: 'bulkhead', sub: 'alice', exp: Math.floor(Date.now() / 1000) + 3600 };
  return ok(Buffer.from(JSON.stringify(answer)));
};

const INTROSPECTION = {
  endpoint: undefined,
  caPem: undefined,
  clientId: 'bulkhead',
  clientSecret: 'secret',
  method: 'basic',
  clientCertificate: undefined,
  tokens: 'opaque',
  cacheMs: 600_000,
  staleIfErrorMs: 0,
} as const;

beforeAll(async () => {
  ground = await HostileGround.start({ fetch });
  const discovered = ({ config }: FakeTenant): { readonly issuers: readonly IssuerConfig[] } => ({
    issuers: config.issuers.map((issuer) => ({
      ...issuer,
      jwks: { kind: 'discovery', caPem: undefined },
      introspection: INTROSPECTION,
    })),
  });
  const [first, second] = [discovered(ground.acme), discovered(ground.globex)];
  ground.sidecar.apply(ground.generation({ acme: first, globex: second }));
  acme = await ground.client(ground.acme);
  globex = await ground.client(ground.globex);
});
afterAll(() => ground.stop());
beforeEach(() => {
  asked.length = 0;
});

describe('the sidecar asks nobody', () => {
  it.each<[string, () => string]>([
    ['whom a token names as its issuer', () => new FakeIssuer('https://evil.test').token(fresh())],
    ['where a token says that its keys are', () => ground.acme.issuer.token(fresh(), { jku: 'https://evil.test/k' })],
    [
      'where a token says that its certificate is',
      () => ground.acme.issuer.token(fresh(), { x5u: 'https://evil.test/c' }),
    ],
    [
      'whom a path in the issuer’s name would lead to',
      () => new FakeIssuer('https://acme.idp.test/../evil').token(fresh()),
    ],
    ['at the metadata service', () => new FakeIssuer('http://169.254.169.254/latest').token(fresh())],
    ['about a JWT that is not signed', () => `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`],
    ['about another tenant’s JWT', () => ground.globex.issuer.token(fresh())],
    ['about what is no token', () => '{"token":"x"}'],
  ])('%s', async (_what, make) => {
    expect(told(await infer(acme, make()))).toBe(INVALID);
    expect(asked).toEqual([]);
    expect(told(await infer(acme, ground.acme.issuer.token(fresh())))).toBe('0');
  });

  it('but the tenant’s own issuer about a token that names none, also when it is another tenant’s', async () => {
    expect(told(await infer(acme, 'opaque-globex'))).toBe(INVALID);
    expect(new Set(asked.map(({ url }) => new URL(url).hostname))).toEqual(new Set(['acme.idp.test']));
    expect(told(await infer(globex, 'opaque-globex'))).toBe('0');
  });
});

describe('a flood of one tenant’s', () => {
  const FLOOD = 2_500;

  it('made-up key ids asks its issuer once, and no other', async () => {
    await infer(globex, ground.globex.issuer.token(fresh()));
    await infer(acme, ground.acme.issuer.token(fresh()));
    asked.length = 0;
    for (let index = 0; index < 200; index += 1) {
      const kid = index % 2 === 0 ? `made-up-${index}` : `../../${index}`;
      expect(told(await infer(acme, ground.acme.issuer.token(fresh(), { kid })))).toBe(INVALID);
    }
    expect([keySets(ground.acme), keySets(ground.globex)]).toEqual([1, 0]);
  });

  it('made-up and good tokens costs no other tenant what is remembered of its own', async () => {
    const jwt = ground.globex.issuer.token(fresh());
    expect(told(await infer(globex, jwt))).toBe('0');
    expect(told(await infer(globex, 'opaque-globex'))).toBe('0');
    asked.length = 0;
    const outcomes = new Set<string>();
    for (let from = 0; from < FLOOD; from += 100) {
      const flood = Array.from({ length: 100 }, (_, index) =>
        // Beyond what a tenant may have remembered.
        (from + index) % 50 === 0 ? `made-up-${from + index}` : ground.acme.issuer.token(fresh({ jti: from + index })),
      );
      for (const answer of await Promise.all(flood.map((token) => infer(acme, token)))) outcomes.add(told(answer));
    }
    expect(outcomes).toEqual(new Set(['0', INVALID]));
    expect(told(await infer(globex, jwt))).toBe('0');
    expect(told(await infer(globex, 'opaque-globex'))).toBe('0');
    expect(questions('opaque-globex')).toBe(0);
    expect(keySets(ground.globex)).toBe(0);
  }, 60_000);

  it('one made-up token is asked about once', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => infer(acme, 'made-up')));
    expect(new Set(answers.map(told))).toEqual(new Set([INVALID]));
    expect(questions('made-up')).toBe(1);
  });
});
