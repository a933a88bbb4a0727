/**
 * What a caller with good credentials lacks: kinds × {method, model, version, address, scope, step-up}, and the limits of use.
 *
 * Each row is about bob, who has a role that lacks something, and alice, who has it. Roles are bound to the credential of the
 * row's kind alone.
 */
import type { ApiKeyConfig } from '../../../src/config/credentials-config.ts';
import type { RoleConfig, StepUpConfig } from '../../../src/config/policy-config.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { respond } from '../../fakes/fake-upstream.ts';
import type { Claims } from '../../fakes/tokens.ts';
import { type Actors, attemptAs, bearer, bindingOf, type Caller, roleOfAll } from './actors.ts';
import { type Attempt, type Check, type Gap, KINDS, type Kind, type Tenants } from './check.ts';
import type { MatrixGround } from './ground.ts';
import { type MatrixMethod, METHOD_NAMES, METHODS } from './methods.ts';

/** What who lacks a method, model or version is told. */
export const DENIED = { status: 7, reason: 'MODEL_ACCESS_DENIED' };
const SCOPE = 'models:infer';
const GOLD: StepUpConfig = { acrValues: ['gold'], amr: [], maxAgeMs: undefined };
const MFA: StepUpConfig = { acrValues: [], amr: ['mfa'], maxAgeMs: undefined };

/** Of kinds × dimensions, what has no row: nothing. */
export const AUTHORIZATION_GAPS: readonly Gap[] = [];

export function authorizationChecks(actors: Actors): readonly Check[] {
  return [
    ...KINDS.flatMap((kind) => [
      ...roleChecks(actors, kind),
      ...strengthChecks(actors, kind),
      ...addressChecks(actors, kind),
    ]),
    ...keyModelChecks(actors),
    ...quotaChecks(actors),
  ];
}

/** Roles of both callers; undefined: everything. */
export function roles(actors: Actors, kind: Kind, of: Readonly<Partial<Record<Caller, Partial<RoleConfig>>>>): Tenants {
  const callers: readonly Caller[] = ['alice', 'bob'];
  return {
    acme: {
      apiKeys: actors.apiKeys,
      roles: callers.map((caller) => roleOfAll(caller, of[caller])),
      bindings: callers.map((caller) => bindingOf(actors, caller, kind)),
    },
  };
}

interface RoleRow {
  readonly aspect: Check['aspect'];
  readonly name: string;
  readonly bob: Partial<RoleConfig>;
  readonly model?: string;
  readonly version?: string;
  /** What bob may ask for instead; absent: alice asks for the same. */
  readonly right?: Attempt;
  readonly cannot?: (method: MatrixMethod) => string | undefined;
}

const ROLE_ROWS: readonly RoleRow[] = [
  {
    aspect: 'method',
    name: 'a sensitive method that is only in the whole of its service',
    bob: { methods: [...new Set(METHODS.map(({ service }) => `${service}/*`))] },
    cannot: ({ sensitive }) => (sensitive ? undefined : 'it is not sensitive'),
  },
  {
    aspect: 'model',
    name: 'a model that is not allowed',
    bob: { models: ['allowed'] },
    model: 'other',
    right: { model: 'allowed' },
    cannot: ({ noModel }) => noModel,
  },
  {
    aspect: 'model',
    name: 'no model where one is to be named',
    bob: { models: ['allowed'] },
    model: '',
    right: { model: 'allowed' },
    cannot: ({ noModel, isServed }) => noModel ?? (isServed ? 'its requests name no model' : undefined),
  },
  {
    aspect: 'version',
    name: 'a version that is not allowed',
    bob: { versions: ['1'] },
    version: '2',
    right: { version: '1' },
    cannot: ({ noVersion }) => noVersion,
  },
  {
    aspect: 'version',
    name: 'no version where one is to be named',
    bob: { versions: ['1'] },
    right: { version: '1' },
    cannot: ({ noVersion }) => noVersion,
  },
];

function roleChecks(actors: Actors, kind: Kind): readonly Check[] {
  const rows = ROLE_ROWS.map(({ bob, model, version, right, ...row }): Check => {
    const asked = { ...(model === undefined ? {} : { model }), ...(version === undefined ? {} : { version }) };
    return {
      ...row,
      kind,
      refusal: DENIED,
      strict: roles(actors, kind, { bob }),
      attack: () => ({ ...attemptAs(actors, 'bob', kind), ...asked }),
      satisfied: ({ isServed }) =>
        right === undefined || isServed
          ? { ...attemptAs(actors, 'alice', kind), ...asked }
          : { ...attemptAs(actors, 'bob', kind), ...right },
      lax: roles(actors, kind, {}),
    };
  });
  // Every second method is alice's, and the others are bob's: each is refused to one of them.
  const half = (parity: number): readonly string[] => METHOD_NAMES.filter((_, index) => index % 2 === parity);
  const has = (method: MatrixMethod): Caller => (half(0).includes(method.fullName) ? 'alice' : 'bob');
  const hasNot = (method: MatrixMethod): Caller => (has(method) === 'alice' ? 'bob' : 'alice');
  return [
    {
      kind,
      aspect: 'method',
      name: 'a role without the method, but with others of its service',
      refusal: DENIED,
      strict: roles(actors, kind, { alice: { methods: half(0) }, bob: { methods: half(1) } }),
      attack: (method) => attemptAs(actors, hasNot(method), kind),
      satisfied: (method) => attemptAs(actors, has(method), kind),
      lax: roles(actors, kind, {}),
    },
    ...rows,
  ];
}

/** What is asked of both, and what alice has. */
function strengthChecks(actors: Actors, kind: Kind): readonly Check[] {
  const { nowSeconds } = actors;
  const demand = (
    name: string,
    demands: Partial<RoleConfig>,
    claims: { readonly alice: Claims; readonly bob: Claims },
  ): Check => {
    const scoped = demands.scopes !== undefined;
    const strict = roles(actors, kind, { alice: demands, bob: demands });
    const keys = actors.apiKeys.map((key, index) => (index === 0 ? { ...key, scopes: [SCOPE] } : key));
    return {
      kind,
      aspect: scoped ? 'scope' : 'step-up',
      name,
      refusal: scoped ? { status: 7, reason: 'INSUFFICIENT_SCOPE' } : { status: 16, reason: 'STEP_UP_REQUIRED' },
      strict: { acme: { ...strict.acme, apiKeys: keys } },
      attack: () => attemptAs(actors, 'bob', kind, claims.bob),
      satisfied: () => strong(actors, kind, claims.alice, scoped),
      lax: roles(actors, kind, {}),
    };
  };
  const recently = { acrValues: [], amr: [], maxAgeMs: 300_000 };
  return [
    demand('no scope', { scopes: [SCOPE] }, { alice: { scope: `a ${SCOPE}` }, bob: { scope: 'models:inferx' } }),
    demand('a sign-in of another class', { stepUp: GOLD }, { alice: { acr: 'gold' }, bob: { acr: 'silver' } }),
    demand(
      'a sign-in without a second factor',
      { stepUp: MFA },
      { alice: { amr: ['pwd', 'mfa'] }, bob: { amr: ['pwd'] } },
    ),
    demand(
      'a sign-in that is too old',
      { stepUp: recently },
      { alice: { auth_time: nowSeconds - 1 }, bob: { auth_time: nowSeconds - 301 } },
    ),
  ];
}

/** Alice with what is asked for: in her token, or in one beside her certificate or key; a key has scopes of its own. */
function strong(actors: Actors, kind: Kind, claims: Claims, scoped: boolean): Attempt {
  const own = attemptAs(actors, 'alice', kind, claims);
  if (kind === 'token' || (kind === 'api-key' && scoped)) return own;
  return { ...own, headers: { ...own.headers, ...bearer(actors, claims) } };
}

function addressChecks(actors: Actors, kind: Kind): readonly Check[] {
  const there = { access: { localAddress: '127.0.0.2' } };
  const alice = attemptAs(actors, 'alice', kind);
  const check = (name: string, of: (ranges: readonly string[]) => Partial<TenantConfig>): Check => ({
    kind,
    aspect: 'address',
    name,
    refusal: { status: 7, reason: 'IP_NOT_ALLOWED' },
    strict: { acme: of(['192.0.2.0/24', '127.0.0.2/31', '::1']) },
    attack: () => alice,
    satisfied: () => ({ ...alice, ...there }),
    lax: { acme: of(['192.0.2.0/24', '127.0.0.0/8']) },
  });
  const denying = (name: string, of: (ranges: readonly string[]) => Partial<TenantConfig>): Check => ({
    ...check(name, of),
    strict: { acme: of(['192.0.2.0/24', '127.0.0.0/31', '::1']) },
    lax: { acme: of(['192.0.2.0/24', '127.0.0.3']) },
  });
  const tenants = [
    check('an address that is not the tenant’s', (addresses) => ({ addresses })),
    denying('an address that the tenant denies', (deniedAddresses) => ({
      addresses: ['127.0.0.0/8'],
      deniedAddresses,
    })),
  ];
  if (kind !== 'api-key') return tenants;
  const ofKey = check('an address that is not the key’s', (addresses) => ({
    apiKeys: actors.acme.config.apiKeys.map((key) => ({ ...key, addresses })),
  }));
  const denied = denying('an address that the key denies', (deniedAddresses) => ({
    apiKeys: actors.acme.config.apiKeys.map((key) => ({ ...key, deniedAddresses })),
  }));
  return [...tenants, ofKey, denied];
}

/** Of one that is allowed to both, the key denies bob's. */
function keyModelChecks(actors: Actors): readonly Check[] {
  const narrowed = (narrow: Pick<ApiKeyConfig, 'models' | 'versions'>): Tenants => ({
    acme: { apiKeys: actors.apiKeys.map((key, index) => (index === 1 ? { ...key, ...narrow } : key)) },
  });
  const base = { kind: 'api-key', refusal: DENIED, lax: { acme: { apiKeys: actors.apiKeys } } } as const;
  const bob = attemptAs(actors, 'bob', 'api-key');
  const alice = attemptAs(actors, 'alice', 'api-key');
  return [
    {
      ...base,
      aspect: 'model',
      name: 'a model that the key is not for, though its role is',
      strict: narrowed({ models: ['another'] }),
      attack: () => bob,
      satisfied: () => alice,
      cannot: ({ noModel }) => noModel,
    },
    {
      ...base,
      aspect: 'version',
      name: 'a version that the key is not for, though its role is',
      strict: narrowed({ versions: ['1'] }),
      attack: () => ({ ...bob, version: '2' }),
      satisfied: ({ isServed }) => (isServed ? alice : { ...bob, version: '1' }),
      cannot: ({ noVersion }) => noVersion,
    },
  ];
}

/** So seldom that no second call of a test is within it. */
const ONCE = { callsPerSecond: 0.001, burst: 1 };

const total = (level: 'tenant' | 'caller') =>
  ({ name: 'contract', level, bound: { kind: 'total', amount: 1, sinceSeconds: 0 } }) as const;

function quotaChecks(actors: Actors): readonly Check[] {
  const none = { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: undefined };
  const bob = attemptAs(actors, 'bob', 'token');
  const [first] = METHODS;
  if (first === undefined) throw new Error('there are methods');
  const useUp = async (ground: MatrixGround): Promise<() => Promise<void>> => {
    await ground.call(first, bob);
    return async () => undefined;
  };
  const base = { kind: 'any', attack: () => bob, lax: { acme: {} } } as const;
  return [
    {
      ...base,
      aspect: 'rate',
      name: 'over the tenant’s rate',
      refusal: { status: 8, reason: 'RATE_LIMITED' },
      strict: { acme: { quota: { ...none, perTenant: ONCE } } },
      satisfied: { notShown: 'the rate is the tenant’s: nobody of it has any left' },
      before: useUp,
    },
    {
      ...base,
      aspect: 'rate',
      name: 'over the caller’s rate',
      refusal: { status: 8, reason: 'RATE_LIMITED' },
      strict: { acme: { quota: { ...none, perCaller: ONCE } } },
      satisfied: (method) => ({ headers: bearer(actors, { sub: `who calls ${method.fullName}` }) }),
      before: useUp,
    },
    {
      ...base,
      aspect: 'quota',
      name: 'over the tenant’s total',
      refusal: { status: 8, reason: 'QUOTA_EXHAUSTED' },
      strict: { acme: { quota: { ...none, limits: [total('tenant')] } } },
      satisfied: { notShown: 'the total is the tenant’s: nobody of it has any left' },
      before: useUp,
    },
    {
      ...base,
      aspect: 'quota',
      name: 'over the caller’s total',
      refusal: { status: 8, reason: 'QUOTA_EXHAUSTED' },
      strict: { acme: { quota: { ...none, limits: [total('caller')] } } },
      satisfied: (method) => ({ headers: bearer(actors, { sub: `who counts ${method.fullName}` }) }),
      before: useUp,
    },
    {
      ...base,
      aspect: 'concurrency',
      name: 'over the calls in progress',
      refusal: { status: 8, reason: 'CONCURRENCY_LIMITED' },
      strict: { acme: { quota: { ...none, maxConcurrentCalls: 1 } } },
      satisfied: () => bob,
      before: (ground) => hold(ground, first, bob),
    },
  ];
}

/** A call that the model server keeps, until it is let go. */
async function hold(ground: MatrixGround, method: MatrixMethod, attempt: Attempt): Promise<() => Promise<void>> {
  const { upstream } = ground;
  let held: Promise<string> | undefined;
  const letGo = await new Promise<() => void>((resolve) => {
    upstream.answer = (stream) => {
      upstream.answer = undefined;
      resolve(() => respond(stream));
    };
    held = ground.call(method, attempt);
  });
  return async () => {
    letGo();
    await held;
  };
}
