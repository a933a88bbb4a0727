/**
 * The denial matrix: every method of the KServe V2 service × everything that must keep a caller out, each with its exact status
 * and reason, and each with its counter-proof: the same attack against a configuration without that check gets through.
 *
 * The methods come from the method table, which a test holds against the proto. A method that a row cannot apply to is listed
 * in `uncovered.txt` with its reason, and the list is compared.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RoleConfig, TenantConfig } from '../../src/config/generation.ts';
import { INFERENCE_METHODS, INFERENCE_SERVICE } from '../../src/inspection/inference-methods.ts';
import { FakeUpstream } from '../fakes/fake-upstream.ts';
import { generationOf, InProcessSidecar } from '../fakes/in-process-sidecar.ts';
import { type Access, type Answer, field, frame, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { boundTo, FakeIssuer } from '../fakes/tokens.ts';
import { type FakeTenant, fakeTenant } from '../fakes/trust.ts';

const METHODS = [...INFERENCE_METHODS.keys()];
/** One by one: what is sensitive has to be named. */
const FULL_NAMES = METHODS.map((method) => `${INFERENCE_SERVICE}/${method}`);
const PERMITTED = 'digits';
/** Field numbers of the model's name, of methods that have it elsewhere than in field 1. */
const MODEL_FIELD: Readonly<Record<string, number>> = {
  RepositoryModelLoad: 2,
  RepositoryModelUnload: 2,
  TraceSetting: 2,
};

let upstream: FakeUpstream;
let acme: FakeTenant;
let globex: FakeTenant;

const nowSeconds = Math.floor(Date.now() / 1000);
const fresh = { iat: nowSeconds - 10, exp: nowSeconds + 3600 };

/** What acme may do by default: everything, with model `digits`. */
function acmeConfig(changes: Partial<TenantConfig> = {}): TenantConfig {
  return {
    ...acme.config,
    upstream: upstream.config,
    roles: [{ name: 'all', methods: FULL_NAMES, models: [PERMITTED], versions: ['*'], source: 'acme.yaml:1' }],
    bindings: [{ role: 'all', subjects: ['*'], keys: ['*'], certificates: ['*'], source: 'acme.yaml:2' }],
    digest: `${acme.config.digest}-${JSON.stringify(changes)}`,
    ...changes,
  };
}

/** acme's role, when it asks for something of credentials. */
function roleAsking(demands: Pick<RoleConfig, 'scopes' | 'stepUp'>): RoleConfig {
  const role = { name: 'all', methods: FULL_NAMES, models: [PERMITTED], versions: ['*'] };
  return { ...role, source: 'acme.yaml:1', ...demands };
}

/** acme's keys after a rotation: the secret that a client has is the one before, which ends then. */
function rotatedKeys(previousEndsAtSeconds: number): TenantConfig['apiKeys'] {
  return acme.config.apiKeys.map((key) => ({
    ...key,
    sha256: '0'.repeat(64),
    previous: { sha256: key.sha256, expiresAtSeconds: previousEndsAtSeconds },
  }));
}

function globexConfig(changes: Partial<TenantConfig> = {}): TenantConfig {
  return { ...globex.config, upstream: upstream.config, ...changes };
}

function accessOf(sidecar: InProcessSidecar, changes: Partial<Access> = {}): Access {
  return {
    port: sidecar.port,
    serverName: acme.pki.serverName,
    caPem: acme.pki.ca.certPem,
    certPem: acme.pki.client.certPem,
    keyPem: acme.pki.client.keyPem,
    ...changes,
  };
}

function request(method: string, model = PERMITTED): Buffer {
  const reads = INFERENCE_METHODS.get(method)?.plan !== undefined;
  return frame(reads ? field(MODEL_FIELD[method] ?? 1, model) : Buffer.alloc(0));
}

async function attempt(
  sidecar: InProcessSidecar,
  method: string,
  headers: Readonly<Record<string, string>>,
  options: { readonly access?: Partial<Access>; readonly model?: string } = {},
): Promise<Answer> {
  const client = await RawGrpcClient.connect(accessOf(sidecar, options.access));
  try {
    return await client.call(`/${INFERENCE_SERVICE}/${method}`, {
      headers,
      chunks: [request(method, options.model)],
    });
  } finally {
    client.close();
  }
}

interface Row {
  readonly name: string;
  readonly status: number;
  readonly reason: string;
  /** Methods that it applies to; default: all. */
  readonly applies?: (method: string) => boolean;
  /** With the check, and without. */
  readonly strict: () => readonly TenantConfig[];
  readonly lax: () => readonly TenantConfig[];
  readonly attack: (sidecar: InProcessSidecar, method: string) => Promise<Answer>;
  /** What gets through instead, where no configuration is without the check: the attack with the one thing right that was wrong. */
  readonly proof?: (sidecar: InProcessSidecar, method: string) => Promise<Answer>;
}

const bearer = (token: string): Readonly<Record<string, string>> => ({ authorization: `Bearer ${token}` });
const readsModel = (method: string): boolean => INFERENCE_METHODS.get(method)?.plan !== undefined;

const ROWS: readonly Row[] = [
  {
    name: 'no credential where a token is wanted',
    status: 16,
    reason: 'CREDENTIALS_MISSING',
    strict: () => [acmeConfig({ accept: ['token'] })],
    lax: () => [acmeConfig({ accept: ['certificate', 'token'] })],
    attack: (sidecar, method) => attempt(sidecar, method, {}),
  },
  {
    name: 'an expired token',
    status: 16,
    reason: 'TOKEN_EXPIRED',
    strict: () => [acmeConfig()],
    lax: () => [acmeConfig({ issuers: acme.config.issuers.map((issuer) => ({ ...issuer, clockSkewMs: 86_400_000 })) })],
    attack: (sidecar, method) =>
      attempt(sidecar, method, bearer(acme.issuer.token({ iat: nowSeconds - 7200, exp: nowSeconds - 3600 }))),
  },
  {
    name: "another tenant's token",
    status: 7,
    reason: 'TENANT_MISMATCH',
    strict: () => [acmeConfig(), globexConfig()],
    lax: () => [
      acmeConfig({ issuers: [...acme.config.issuers, ...globex.config.issuers] }),
      globexConfig({ issuers: [] }),
    ],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(globex.issuer.token(fresh))),
  },
  {
    name: "a token of nobody's issuer",
    status: 16,
    reason: 'TOKEN_INVALID',
    strict: () => [acmeConfig()],
    lax: () => [
      acmeConfig({
        issuers: [...acme.config.issuers, { ...issuerConfig(stranger), issuer: stranger.issuer }],
      }),
    ],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(stranger.token(fresh))),
  },
  {
    name: 'a token that is bound to another certificate',
    status: 16,
    reason: 'TOKEN_BINDING_MISMATCH',
    strict: () => [acmeConfig()],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) =>
      attempt(sidecar, method, bearer(acme.issuer.token({ ...fresh, cnf: boundTo(globex.pki.client.certPem) }))),
    proof: (sidecar, method) =>
      attempt(sidecar, method, bearer(acme.issuer.token({ ...fresh, cnf: boundTo(acme.pki.client.certPem) }))),
  },
  {
    name: 'a token that is bound to nothing where it must be',
    status: 16,
    reason: 'TOKEN_BINDING_MISMATCH',
    strict: () => [acmeConfig({ issuers: acme.config.issuers.map((issuer) => ({ ...issuer, requireBound: true })) })],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(acme.issuer.token(fresh))),
  },
  {
    name: "another tenant's key",
    status: 7,
    reason: 'TENANT_MISMATCH',
    strict: () => [acmeConfig(), globexConfig()],
    lax: () => [acmeConfig({ apiKeys: globex.config.apiKeys }), globexConfig({ apiKeys: [] })],
    attack: (sidecar, method) => attempt(sidecar, method, { 'x-api-key': globex.apiKey }),
  },
  {
    name: 'a revoked key',
    status: 16,
    reason: 'API_KEY_INVALID',
    strict: () => [acmeConfig({ apiKeys: acme.config.apiKeys.map((key) => ({ ...key, revoked: true })) })],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, { 'x-api-key': acme.apiKey }),
  },
  {
    name: 'an expired key',
    status: 16,
    reason: 'API_KEY_INVALID',
    strict: () => [
      acmeConfig({ apiKeys: acme.config.apiKeys.map((key) => ({ ...key, expiresAtSeconds: nowSeconds - 1 })) }),
    ],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, { 'x-api-key': acme.apiKey }),
  },
  {
    name: 'the secret before of a key, after its end',
    status: 16,
    reason: 'API_KEY_INVALID',
    strict: () => [acmeConfig({ apiKeys: rotatedKeys(nowSeconds - 1) })],
    lax: () => [acmeConfig({ apiKeys: rotatedKeys(nowSeconds + 3600) })],
    attack: (sidecar, method) => attempt(sidecar, method, { 'x-api-key': acme.apiKey }),
  },
  {
    name: 'a key of another secret',
    status: 16,
    reason: 'API_KEY_INVALID',
    strict: () => [acmeConfig({ apiKeys: acme.config.apiKeys.map((key) => ({ ...key, sha256: '0'.repeat(64) })) })],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, { 'x-api-key': acme.apiKey }),
  },
  {
    name: 'a key that nobody has',
    status: 16,
    reason: 'API_KEY_INVALID',
    strict: () => [acmeConfig({ apiKeys: acme.config.apiKeys.map((key) => ({ ...key, id: 'another' })) })],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, { 'x-api-key': acme.apiKey }),
  },
  {
    name: 'an address that is not the tenant’s',
    status: 7,
    reason: 'IP_NOT_ALLOWED',
    strict: () => [acmeConfig({ addresses: ['192.0.2.0/24', '::1'] })],
    lax: () => [acmeConfig({ addresses: ['192.0.2.0/24', '127.0.0.0/8'] })],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(acme.issuer.token(fresh))),
  },
  {
    name: 'an address that is not the key’s',
    status: 7,
    reason: 'IP_NOT_ALLOWED',
    strict: () => [
      acmeConfig({ apiKeys: acme.config.apiKeys.map((key) => ({ ...key, addresses: ['127.0.0.2/31'] })) }),
    ],
    lax: () => [acmeConfig({ apiKeys: acme.config.apiKeys.map((key) => ({ ...key, addresses: ['127.0.0.1'] })) })],
    attack: (sidecar, method) => attempt(sidecar, method, { 'x-api-key': acme.apiKey }),
  },
  {
    name: 'a role without the method',
    status: 7,
    reason: 'MODEL_ACCESS_DENIED',
    strict: () => [
      acmeConfig({
        roles: [{ name: 'none', methods: ['other.Service/*'], models: ['*'], versions: ['*'], source: 'acme.yaml:1' }],
        bindings: [{ role: 'none', subjects: ['*'], keys: ['*'], certificates: ['*'], source: 'acme.yaml:2' }],
      }),
    ],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(acme.issuer.token(fresh))),
  },
  {
    name: 'a model that is not allowed',
    status: 7,
    reason: 'MODEL_ACCESS_DENIED',
    applies: readsModel,
    strict: () => [acmeConfig()],
    lax: () => [
      acmeConfig({
        roles: [{ name: 'all', methods: FULL_NAMES, models: ['*'], versions: ['*'], source: 'acme.yaml:1' }],
      }),
    ],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(acme.issuer.token(fresh)), { model: 'globex-secret' }),
  },
  {
    name: 'a token without the scope',
    status: 7,
    reason: 'INSUFFICIENT_SCOPE',
    strict: () => [acmeConfig({ roles: [roleAsking({ scopes: ['models:infer'] })] })],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(acme.issuer.token({ ...fresh, scope: 'other' }))),
  },
  {
    name: 'a key without the scope',
    status: 7,
    reason: 'INSUFFICIENT_SCOPE',
    strict: () => [acmeConfig({ roles: [roleAsking({ scopes: ['models:infer'] })] })],
    lax: () => [
      acmeConfig({
        roles: [roleAsking({ scopes: ['models:infer'] })],
        apiKeys: acme.config.apiKeys.map((key) => ({ ...key, scopes: ['models:infer'] })),
      }),
    ],
    attack: (sidecar, method) => attempt(sidecar, method, { 'x-api-key': acme.apiKey }),
  },
  {
    name: 'a sign-in of another class',
    status: 16,
    reason: 'STEP_UP_REQUIRED',
    strict: () => [
      acmeConfig({ roles: [roleAsking({ stepUp: { acrValues: ['gold'], amr: [], maxAgeMs: undefined } })] }),
    ],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(acme.issuer.token({ ...fresh, acr: 'silver' }))),
  },
  {
    name: 'a sign-in without a second factor',
    status: 16,
    reason: 'STEP_UP_REQUIRED',
    strict: () => [
      acmeConfig({ roles: [roleAsking({ stepUp: { acrValues: [], amr: ['mfa'], maxAgeMs: undefined } })] }),
    ],
    lax: () => [acmeConfig()],
    attack: (sidecar, method) => attempt(sidecar, method, bearer(acme.issuer.token({ ...fresh, amr: ['pwd'] }))),
  },
  {
    name: 'a sign-in that is too old',
    status: 16,
    reason: 'STEP_UP_REQUIRED',
    strict: () => [acmeConfig({ roles: [roleAsking({ stepUp: { acrValues: [], amr: [], maxAgeMs: 300_000 } })] })],
    lax: () => [acmeConfig({ roles: [roleAsking({ stepUp: { acrValues: [], amr: [], maxAgeMs: 86_400_000 } })] })],
    attack: (sidecar, method) =>
      attempt(sidecar, method, bearer(acme.issuer.token({ ...fresh, auth_time: nowSeconds - 301 }))),
  },
  {
    name: 'over the rate',
    status: 8,
    reason: 'RATE_LIMITED',
    strict: () => [
      acmeConfig({
        quota: { perTenant: { callsPerSecond: 1, burst: 1 }, perCaller: undefined, maxConcurrentCalls: undefined },
      }),
    ],
    lax: () => [acmeConfig()],
    attack: async (sidecar, method) => {
      const headers = bearer(acme.issuer.token(fresh));
      await attempt(sidecar, method, headers);
      return attempt(sidecar, method, headers);
    },
  },
  {
    name: 'over the concurrency',
    status: 8,
    reason: 'CONCURRENCY_LIMITED',
    strict: () => [acmeConfig({ quota: { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: 1 } })],
    lax: () => [acmeConfig()],
    attack: async (sidecar, method) => {
      const headers = bearer(acme.issuer.token(fresh));
      const client = await RawGrpcClient.connect(accessOf(sidecar));
      const reached = new Promise<void>((resolve) => {
        // The first call is held by the model server; whatever comes after it is answered.
        upstream.answer = (_stream) => {
          upstream.answer = undefined;
          resolve();
        };
      });
      const held = client.call(`/${INFERENCE_SERVICE}/${method}`, {
        headers,
        chunks: [request(method)],
      });
      await reached;
      const second = await attempt(sidecar, method, headers);
      client.close();
      await held;
      return second;
    },
  },
];

const stranger = new FakeIssuer('https://stranger.test');

function issuerConfig(issuer: FakeIssuer): TenantConfig['issuers'][number] {
  return {
    issuer: issuer.issuer,
    audiences: ['bulkhead'],
    algorithms: [issuer.algorithm],
    jwks: { kind: 'inline', json: issuer.jwks() },
    clockSkewMs: 30_000,
    tenantClaim: undefined,
    requireBound: false,
  };
}

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  acme = fakeTenant('acme');
  globex = fakeTenant('globex');
});
afterAll(() => upstream.stop());

async function withSidecar<T>(
  tenants: readonly TenantConfig[],
  use: (sidecar: InProcessSidecar) => Promise<T>,
): Promise<T> {
  const sidecar = await InProcessSidecar.start(generationOf(tenants));
  try {
    return await use(sidecar);
  } finally {
    upstream.answer = undefined;
    await sidecar.stop();
  }
}

describe.each(ROWS)('$name', (row) => {
  const methods = METHODS.filter((method) => row.applies?.(method) ?? true);

  it.each(methods)(`is refused for %s with ${row.status} ${row.reason}, on record and not upstream`, async (method) => {
    await withSidecar(row.strict(), async (sidecar) => {
      const answer = await row.attack(sidecar, method);
      expect([answer.status, answer.reason]).toEqual([row.status, row.reason]);
      const denied = (await sidecar.calls()).filter((record) => record.outcome === 'denied');
      expect(denied).toHaveLength(1);
      expect(denied[0]?.method).toBe(`${INFERENCE_SERVICE}/${method}`);
      expect(denied[0]?.grpcStatus).toBe(row.status);
      expect(denied[0]?.upstream).toBe('');
    });
  });

  it.each(methods)('gets through for %s when that check is taken away', async (method) => {
    await withSidecar(row.lax(), async (sidecar) => {
      const answer = await (row.proof ?? row.attack)(sidecar, method);
      expect([answer.status, answer.message]).toEqual([0, '']);
    });
  });
});

describe('at the door, before any method', () => {
  const connectWith = async (
    tenants: readonly TenantConfig[],
    access: (sidecar: InProcessSidecar) => Partial<Access>,
  ) =>
    withSidecar(tenants, async (sidecar) => {
      const outcome = await RawGrpcClient.connect(accessOf(sidecar, access(sidecar))).then(
        async (client) => {
          const answer = await client.call(`/${INFERENCE_SERVICE}/ModelInfer`, { chunks: [request('ModelInfer')] });
          client.close();
          return answer.status === 0 ? 'in' : 'out';
        },
        () => 'out',
      );
      const refusals = await sidecar.refusals();
      return { outcome, reasons: refusals.map(({ reason, tenantClaim }) => `${reason} ${tenantClaim}`.trim()) };
    });

  it('no certificate is refused, and with one the same client is in', async () => {
    const refused = await connectWith([acmeConfig()], () => ({ certPem: undefined, keyPem: undefined }));
    expect(refused).toEqual({ outcome: 'out', reasons: ['TLS_CLIENT_CERT_REQUIRED acme'] });
    expect((await connectWith([acmeConfig()], () => ({}))).outcome).toBe('in');
  });

  it("another CA's certificate is refused, and is in when the tenant trusts that CA", async () => {
    const foreign = { certPem: globex.pki.client.certPem, keyPem: globex.pki.client.keyPem };
    const refused = await connectWith([acmeConfig(), globexConfig()], () => foreign);
    expect(refused.outcome).toBe('out');
    expect(refused.reasons).toEqual(['TLS_CLIENT_CERT_UNTRUSTED acme']);
    const lax = acmeConfig({ clientCaPem: acme.pki.ca.certPem + globex.pki.ca.certPem, trustDomain: undefined });
    expect((await connectWith([lax], () => foreign)).outcome).toBe('in');
  });

  it("a server name that is nobody's is refused, and is in when it is the tenant's", async () => {
    const unknown = { serverName: 'unknown.models.test', verifyName: false };
    const refused = await connectWith([acmeConfig()], () => unknown);
    expect(refused).toEqual({ outcome: 'out', reasons: ['TLS_UNKNOWN_SERVER_NAME'] });
    const lax = acmeConfig({ serverNames: ['unknown.models.test'] });
    expect((await connectWith([lax], () => unknown)).outcome).toBe('in');
  });

  it('no server name is refused', async () => {
    const refused = await connectWith([acmeConfig()], () => ({ serverName: undefined }));
    expect(refused).toEqual({ outcome: 'out', reasons: ['TLS_SERVER_NAME_MISSING'] });
  });
});

describe('the matrix', () => {
  it('covers every method in every row, or says why not', () => {
    const uncovered = ROWS.flatMap((row) =>
      METHODS.filter((method) => !(row.applies?.(method) ?? true)).map((method) => `${method}: ${row.name}`),
    );
    const listed = readFileSync(fileURLToPath(new URL('uncovered.txt', import.meta.url)), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('/'));
    expect(uncovered.toSorted()).toEqual(listed.toSorted());
  });

  it('an unknown method is UNIMPLEMENTED, also of a known service', async () => {
    await withSidecar([acmeConfig()], async (sidecar) => {
      const client = await RawGrpcClient.connect(accessOf(sidecar));
      const headers = bearer(acme.issuer.token(fresh));
      for (const path of [
        `/${INFERENCE_SERVICE}/ModelInferX`,
        '/other.Service/Method',
        '/x',
        `/${INFERENCE_SERVICE}/ModelInfer/`,
        `//${INFERENCE_SERVICE}/ModelInfer`,
        `/${INFERENCE_SERVICE}/Model%49nfer`,
      ]) {
        const answer = await client.call(path, { headers, chunks: [request('ModelInfer')] });
        expect([path, answer.status, answer.reason]).toEqual([path, 12, 'METHOD_UNKNOWN']);
      }
      client.close();
      expect(upstream.calls.some(({ path }) => !path.startsWith(`/${INFERENCE_SERVICE}/`))).toBe(false);
    });
  });
});
