import { describe, expect, test } from 'vitest';
import { IssuerMetadata } from '../../../src/authn/issuer-metadata.ts';
import { JwksSource } from '../../../src/authn/jwks-source.ts';
import { AUTHN_LIMITS } from '../../../src/authn/limits.ts';
import type { IssuerConfig } from '../../../src/config/credentials-config.ts';
import type { DocumentRequest } from '../../../src/fetching/document-fetch.ts';
import { err, ok, type Result } from '../../../src/kernel/result.ts';
import { FakeIssuer, TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { micros } from '../../fakes/trust.ts';

const ISSUER = 'https://idp.test/acme';
const OIDC = `${ISSUER}/.well-known/openid-configuration`;
const OAUTH = 'https://idp.test/.well-known/oauth-authorization-server/acme';
const KEYS = 'https://keys.idp.test/acme.json';
const NOW = TEST_NOW_SECONDS;

/** An issuer's web: what is at which URL. */
class Web {
  readonly asked: DocumentRequest[] = [];
  readonly pages = new Map<string, string>();
  readonly access = {
    limits: AUTHN_LIMITS,
    fetch: async (request: DocumentRequest): Promise<Result<Buffer, string>> => {
      this.asked.push(request);
      await Promise.resolve();
      const page = this.pages.get(request.url);
      return page === undefined ? err('status 404') : ok(Buffer.from(page));
    },
  };

  get urls(): readonly string[] {
    return this.asked.map(({ url }) => url);
  }

  serve(url: string, document: object | string): this {
    this.pages.set(url, typeof document === 'string' ? document : JSON.stringify(document));
    return this;
  }
}

const about = (more: object = {}): object => ({ issuer: ISSUER, jwks_uri: KEYS, ...more });
const metadata = (web: Web, issuer = ISSUER): IssuerMetadata => new IssuerMetadata(issuer, 'CA', web.access);
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

async function placed(by: IssuerMetadata, seconds = 0): Promise<string> {
  const got = await by.get(micros(NOW + seconds));
  return got.ok ? String(got.value.jwks_uri) : `error: ${got.error}`;
}

describe('an issuer’s metadata', () => {
  test('are where OpenID Connect has them, fetched with the issuer’s CA and within limits', async () => {
    const web = new Web().serve(OIDC, about());
    expect(await placed(metadata(web))).toBe(KEYS);
    expect(web.asked).toEqual([
      {
        url: OIDC,
        caPem: 'CA',
        timeoutMs: AUTHN_LIMITS.jwksTimeoutMs,
        maxBytes: AUTHN_LIMITS.maxMetadataBytes,
        contentTypes: ['application/json'],
      },
    ]);
  });

  test('or where RFC 8414 has them, which is where they are looked for first from then on', async () => {
    const web = new Web().serve(OAUTH, about());
    const by = metadata(web);
    expect(await placed(by)).toBe(KEYS);
    await by.renewed(micros(NOW + AUTHN_LIMITS.jwksCooldownMs / 1000));
    expect(web.urls).toEqual([OIDC, OAUTH, OAUTH]);
  });

  test.each([
    ['another issuer', about({ issuer: 'https://idp.test/globex' })],
    ['the issuer with a slash', about({ issuer: `${ISSUER}/` })],
    ['the issuer in another spelling', about({ issuer: 'https://IDP.test/acme' })],
    ['the issuer with its port', about({ issuer: 'https://idp.test:443/acme' })],
    ['no issuer', { jwks_uri: KEYS }],
    ['an issuer that is no text', about({ issuer: [ISSUER] })],
    ['the issuer twice', `{"issuer":"https://evil.test","issuer":"${ISSUER}","jwks_uri":"${KEYS}"}`],
    ['a list', `[${JSON.stringify(about())}]`],
    ['a page', '<html>'],
    ['nothing', ''],
  ])('that name %s are not believed', async (_what, document) => {
    const web = new Web().serve(OIDC, document).serve(OAUTH, document);
    expect(await placed(metadata(web))).toMatch(/^error: openid-configuration: .+; oauth-authorization-server: .+/);
    web.serve(OIDC, about());
    expect(await placed(metadata(web))).toBe(KEYS);
  });

  test('are asked for once by many', async () => {
    const web = new Web().serve(OIDC, about());
    const by = metadata(web);
    expect(new Set(await Promise.all(Array.from({ length: 20 }, () => placed(by))))).toEqual(new Set([KEYS]));
    expect(web.urls).toEqual([OIDC]);
  });

  const refresh = AUTHN_LIMITS.metadataRefreshMs / 1000;
  const cooldown = AUTHN_LIMITS.jwksCooldownMs / 1000;
  const maxStale = AUTHN_LIMITS.jwksMaxStaleMs / 1000;
  const retry = AUTHN_LIMITS.jwksRetryMs / 1000;

  test('are fetched again behind the callers’ backs at their age, and not before', async () => {
    const web = new Web().serve(OIDC, about());
    const by = metadata(web);
    await placed(by);
    web.serve(OIDC, about({ jwks_uri: 'https://new.test/' }));
    expect(await placed(by, refresh - 0.001)).toBe(KEYS);
    await settle();
    expect(await placed(by, refresh)).toBe(KEYS);
    await settle();
    expect(await placed(by, refresh + 1)).toBe('https://new.test/');
    expect(web.urls).toEqual([OIDC, OIDC]);
  });

  test('serve for a day while the issuer is down, which is asked at most once in a cooldown', async () => {
    const web = new Web().serve(OIDC, about());
    const by = metadata(web);
    await placed(by);
    web.pages.clear();
    for (let second = 0; second < cooldown; second += 1) {
      expect(await placed(by, refresh + second)).toBe(KEYS);
      await settle();
    }
    expect(web.urls).toEqual([OIDC, OIDC, OAUTH]);
    expect(await placed(by, maxStale - 1)).toBe(KEYS);
    await settle();
    expect(await placed(by, maxStale + cooldown)).toMatch(/^error: /);
    web.serve(OIDC, about());
    expect(await placed(by, maxStale + 2 * cooldown)).toBe(KEYS);
  });

  test('that nobody has seen are asked for again after a while', async () => {
    const web = new Web();
    const by = metadata(web);
    expect(await placed(by)).toBe('error: openid-configuration: status 404; oauth-authorization-server: status 404');
    web.serve(OIDC, about());
    expect(await placed(by, retry - 0.001)).toMatch(/^error/);
    expect(await placed(by, retry)).toBe(KEYS);
  });
});

describe('keys that metadata lead to', () => {
  const issuer = new FakeIssuer(ISSUER);
  const config: IssuerConfig = {
    issuer: ISSUER,
    audiences: ['bulkhead'],
    algorithms: ['ES256'],
    jwks: { kind: 'discovery', caPem: 'CA' },
    clockSkewMs: 0,
    tenantClaim: undefined,
    requireBound: false,
  };
  const source = (web: Web): JwksSource => new JwksSource(config, web.access, metadata(web));
  const found = async (by: JwksSource, seconds = 0): Promise<string> => {
    const keys = await by.keys(micros(NOW + seconds));
    if (keys.ok) return 'keys';
    return keys.error.kind === 'policy_unavailable' ? keys.error.why : keys.error.kind;
  };

  test('are fetched with the issuer’s CA, within the limits of keys', async () => {
    const web = new Web().serve(OIDC, about()).serve(KEYS, issuer.jwks());
    expect(await found(source(web))).toBe('keys');
    expect(web.asked[1]).toMatchObject({ url: KEYS, caPem: 'CA', maxBytes: AUTHN_LIMITS.maxJwksBytes });
  });

  test('may move: where they are is asked for anew when they are not there any more', async () => {
    const moved = 'https://keys.idp.test/moved.json';
    const web = new Web().serve(OIDC, about()).serve(KEYS, issuer.jwks());
    const by = source(web);
    await found(by);
    web.pages.delete(KEYS);
    web.serve(OIDC, about({ jwks_uri: moved })).serve(moved, issuer.jwks());
    by.tend(micros(NOW + AUTHN_LIMITS.jwksRefreshMs / 1000));
    await settle();
    expect(web.urls).toEqual([OIDC, KEYS, KEYS, OIDC, moved]);
  });

  test.each([
    ['no place', { jwks_uri: undefined }],
    ['a place that is no text', { jwks_uri: 7 }],
  ])('are unavailable with metadata that name %s', async (_what, more) => {
    expect(await found(source(new Web().serve(OIDC, about(more))))).toBe('the issuer’s metadata name no jwks_uri');
  });
});
