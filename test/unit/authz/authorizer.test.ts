import { describe, expect, test } from 'vitest';
import { Authenticator, type Caller } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import { Authorizer, type MethodPermit, type Permit, withoutModel } from '../../../src/authz/authorizer.ts';
import type { BindingConfig, RoleConfig } from '../../../src/config/policy-config.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { issueClient } from '../../../src/identity/issue.ts';
import { TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { type FakeTenant, fakeTenant, micros } from '../../fakes/trust.ts';

const INFER = { fullName: 'inference.GRPCInferenceService/ModelInfer', readsModel: true, sensitive: false };
const LIVE = { fullName: 'inference.GRPCInferenceService/ServerLive', readsModel: false, sensitive: false };
const NOW = micros(TEST_NOW_SECONDS);
const acme = fakeTenant('acme');

function role(changes: Partial<RoleConfig> = {}): RoleConfig {
  return {
    name: 'predict',
    methods: [INFER.fullName, LIVE.fullName],
    models: ['digits', 'acme-*'],
    versions: ['*'],
    source: 'tenants/acme.yaml:20 roles[0]',
    ...changes,
  };
}

function binding(changes: Partial<BindingConfig> = {}): BindingConfig {
  return {
    role: 'predict',
    subjects: ['alice'],
    keys: [],
    certificates: [],
    source: 'tenants/acme.yaml:31 bindings[0]',
    ...changes,
  };
}

function authorizer(
  roles: readonly RoleConfig[] = [role()],
  bindings: readonly BindingConfig[] = [binding()],
): Authorizer {
  return new Authorizer({ id: acme.config.id, roles, bindings });
}

interface Credentials {
  readonly subject?: string;
  readonly key?: boolean;
  readonly tenant?: FakeTenant;
}

async function caller({ subject, key = false, tenant = acme }: Credentials = {}): Promise<Caller> {
  const authorization = subject === undefined ? undefined : `Bearer ${tenant.issuer.token({ sub: subject })}`;
  const presented = parseCredentials(authorization, key ? tenant.apiKey : undefined);
  if (!presented.ok) throw new Error(presented.error.kind);
  const by = new Authenticator(tenant.config, new Directory([tenant.config]));
  const verdict = await by.authenticate(tenant.peer(), presented.value, micros(TEST_NOW_SECONDS));
  if (!verdict.ok) throw new Error(verdict.error.kind);
  return verdict.value;
}

function permitOf(by: Authorizer, who: Caller, method = INFER): MethodPermit {
  const decision = by.method(who, method, NOW);
  if (!decision.ok) throw new Error(decision.error.kind);
  return decision.value;
}

function allows(by: Authorizer, who: Caller, model: string, version = ''): boolean {
  return by.model(permitOf(by, who), model, version).ok;
}

const alice = await caller({ subject: 'alice' });

describe('a method', () => {
  test('is permitted by the role that a binding gives, and the rule says so', () => {
    expect(permitOf(authorizer(), alice)).toMatchObject({
      caller: alice,
      method: INFER,
      rule: 'tenants/acme.yaml:31 bindings[0] → role predict',
    });
  });

  test('that no role of the caller has is denied', () => {
    const denied = { ok: false, error: { kind: 'method_denied', method: INFER.fullName, caller: 'token:alice' } };
    expect(authorizer([role({ methods: [LIVE.fullName] })]).method(alice, INFER, NOW)).toEqual(denied);
    expect(authorizer([], []).method(alice, INFER, NOW)).toEqual(denied);
    expect(authorizer([role()], []).method(alice, INFER, NOW)).toEqual(denied);
    expect(authorizer([role()], [binding({ subjects: ['bob'] })]).method(alice, INFER, NOW)).toEqual(denied);
    expect(authorizer([role()], [binding({ role: 'nobody' })]).method(alice, INFER, NOW)).toEqual(denied);
    expect(authorizer().method(alice, INFER, NOW).ok).toBe(true);
  });

  test.each([
    ['inference.GRPCInferenceService/*', true],
    ['inference.GRPCInferenceService/ModelInfer', true],
    ['inference.GRPCInferenceService/modelinfer', false],
    ['inference.GRPCInferenceService/Model*', false],
    ['inference.*', false],
    ['*', false],
    ['other.GRPCInferenceService/*', false],
    ['inference.GRPCInferenceServic/*', false],
    ['GRPCInferenceService/*', false],
  ])('of a role that lists %s: %s', (method, permitted) => {
    expect(authorizer([role({ methods: [method] })]).method(alice, INFER, NOW).ok).toBe(permitted);
  });

  test('that is sensitive is not in its service’s whole, and has to be named', () => {
    const load = { fullName: 'inference.GRPCInferenceService/RepositoryModelLoad', readsModel: true, sensitive: true };
    const of = (method: string) => authorizer([role({ methods: [method] })]).method(alice, load, NOW).ok;
    expect(of('inference.GRPCInferenceService/*')).toBe(false);
    expect(of(load.fullName)).toBe(true);
    const harmless = authorizer([role({ methods: ['inference.GRPCInferenceService/*'] })]);
    expect(harmless.method(alice, { ...load, sensitive: false }, NOW).ok).toBe(true);
  });

  test('is denied to the caller of another tenant, whatever the roles say', async () => {
    const globex = fakeTenant('globex');
    const stranger = await caller({ subject: 'alice', tenant: globex });
    expect(authorizer().method(stranger, INFER, NOW)).toMatchObject({ ok: false, error: { kind: 'tenant_mismatch' } });
    const theirs = new Authorizer({ id: globex.config.id, roles: [role()], bindings: [binding()] });
    expect(theirs.method(stranger, INFER, NOW).ok).toBe(true);
  });
});

describe('a binding', () => {
  const bind = (changes: Partial<BindingConfig>): Authorizer =>
    authorizer([role()], [binding({ subjects: [], keys: [], certificates: [], ...changes })]);

  test('by subject, by key and by certificate gives its role to who has that one', async () => {
    const withKey = await caller({ key: true });
    const bare = await caller();
    const permitted = (changes: Partial<BindingConfig>): readonly boolean[] =>
      [alice, withKey, bare].map((who) => bind(changes).method(who, INFER, NOW).ok);
    expect(permitted({ subjects: ['alice'] })).toEqual([true, false, false]);
    expect(permitted({ keys: ['acme-key'] })).toEqual([false, true, false]);
    expect(permitted({ certificates: ['spiffe://acme.example/client'] })).toEqual([true, true, true]);
    expect(permitted({})).toEqual([false, false, false]);
  });

  test('of * gives its role to everybody who has such a credential, and nobody else', async () => {
    const withKey = await caller({ key: true });
    const bare = await caller();
    const permitted = (changes: Partial<BindingConfig>): readonly boolean[] =>
      [alice, withKey, bare].map((who) => bind(changes).method(who, INFER, NOW).ok);
    expect(permitted({ subjects: ['*'] })).toEqual([true, false, false]);
    expect(permitted({ keys: ['*'] })).toEqual([false, true, false]);
    expect(permitted({ certificates: ['*'] })).toEqual([true, true, true]);
  });

  test('names no caller by a prefix, a pattern or another kind of credential', async () => {
    for (const name of ['alic', 'alice2', 'ali*', 'ALICE', 'token:alice', 'acme-key']) {
      expect(bind({ subjects: [name] }).method(alice, INFER, NOW).ok).toBe(false);
    }
    const confused = await caller({ subject: 'acme-key' });
    expect(bind({ keys: ['acme-key'] }).method(confused, INFER, NOW).ok).toBe(false);
    const wildcard = await caller({ subject: '*' });
    expect(bind({ subjects: ['bob'] }).method(wildcard, INFER, NOW).ok).toBe(false);
  });

  test('names a certificate’s DNS name without case', async () => {
    const changes: Partial<TenantConfig> = { trustDomain: undefined };
    const tenant = fakeTenant('acme', changes);
    const client = issueClient(tenant.pki.ca, { dnsNames: ['Batch.Acme.Example'], days: 1 });
    const by = new Authenticator(tenant.config, new Directory([tenant.config]));
    const who = await by.authenticate(
      tenant.peer(client),
      { authorization: undefined, apiKey: undefined },
      micros(TEST_NOW_SECONDS),
    );
    if (!who.ok) throw new Error(who.error.kind);
    expect(bind({ certificates: ['dns:batch.ACME.example'] }).method(who.value, INFER, NOW).ok).toBe(true);
    expect(bind({ certificates: ['dns:acme.example'] }).method(who.value, INFER, NOW).ok).toBe(false);
  });
});

describe('a model', () => {
  test('of the role is permitted, and the permit says which', () => {
    const by = authorizer();
    const decision = by.model(permitOf(by, alice), 'acme-fraud', '3');
    expect(decision).toMatchObject({
      ok: true,
      value: {
        caller: alice,
        method: INFER,
        model: 'acme-fraud',
        version: '3',
        rule: 'tenants/acme.yaml:31 bindings[0] → role predict',
      },
    });
  });

  test('that no role has is denied, with the names as sent', () => {
    const by = authorizer();
    expect(by.model(permitOf(by, alice), 'globex-fraud', '')).toEqual({
      ok: false,
      error: { kind: 'model_denied', method: INFER.fullName, model: 'globex-fraud', version: '' },
    });
    expect(allows(authorizer([role({ models: ['globex-*'] })]), alice, 'globex-fraud')).toBe(true);
  });

  test('is matched whole', () => {
    const by = authorizer();
    for (const model of ['digits2', 'xdigits', 'DIGITS', 'digits\0', 'digits/../globex', ' digits', 'xacme-']) {
      expect([model, allows(by, alice, model)]).toEqual([model, false]);
    }
    expect(allows(by, alice, 'digits')).toBe(true);
  });

  test('without a name needs a role for all models', () => {
    expect(allows(authorizer([role({ models: ['*'] })]), alice, '')).toBe(true);
    for (const models of [[], ['digits'], ['**'], ['a*', '*b'], ['']]) {
      expect(allows(authorizer([role({ models })]), alice, '')).toBe(false);
    }
  });

  test('without a version is the latest', () => {
    expect(allows(authorizer([role({ versions: ['latest'] })]), alice, 'digits', '')).toBe(true);
    expect(allows(authorizer([role({ versions: ['latest'] })]), alice, 'digits', '1')).toBe(false);
    expect(allows(authorizer([role({ versions: ['1', '2*'] })]), alice, 'digits', '')).toBe(false);
    expect(allows(authorizer([role({ versions: ['1', '2*'] })]), alice, 'digits', '1')).toBe(true);
    expect(allows(authorizer([role({ versions: ['1', '2*'] })]), alice, 'digits', '22')).toBe(true);
    expect(allows(authorizer([role({ versions: [] })]), alice, 'digits', '1')).toBe(false);
  });

  test('must be in a role that has the method too: two half roles are none', () => {
    const roles = [
      role({ name: 'infer', models: ['digits'] }),
      role({ name: 'look', methods: ['inference.GRPCInferenceService/ModelMetadata'], models: ['*'] }),
    ];
    const both = [binding({ role: 'infer' }), binding({ role: 'look', source: 'tenants/acme.yaml:40 bindings[1]' })];
    const by = authorizer(roles, both);
    expect(allows(by, alice, 'digits')).toBe(true);
    expect(allows(by, alice, 'secret')).toBe(false);
  });

  test('is decided by the first of several roles that has it', () => {
    const roles = [role({ name: 'a', models: ['a'] }), role({ name: 'b', models: ['*'] })];
    const by = authorizer(roles, [binding({ role: 'a', source: 'f:1' }), binding({ role: 'b', source: 'f:2' })]);
    const permit = permitOf(by, alice);
    const ruleOf = (model: string): string => {
      const decision = by.model(permit, model, '');
      return decision.ok ? decision.value.rule : decision.error.kind;
    };
    expect([permit.rule, ruleOf('a'), ruleOf('x')]).toEqual(['f:1 → role a', 'f:1 → role a', 'f:2 → role b']);
  });
});

describe('a permit without a model', () => {
  test('is for methods that read none', () => {
    const permit = permitOf(authorizer(), alice, LIVE);
    expect(withoutModel(permit)).toMatchObject({
      ok: true,
      value: { method: LIVE, model: '', version: '', rule: permit.rule },
    });
    expect(withoutModel(permit)).toBe(withoutModel(permit));
  });

  test('is refused for a method that reads one', () => {
    expect(withoutModel(permitOf(authorizer(), alice))).toMatchObject({
      ok: false,
      error: { kind: 'model_denied', model: '' },
    });
  });
});

describe('a repeated decision', () => {
  test('is the same object', () => {
    const by = authorizer();
    expect(by.method(alice, { ...INFER }, NOW)).toBe(by.method(alice, INFER, NOW));
    expect(by.method(alice, { ...INFER, fullName: 'a.B/C' }, NOW)).toBe(
      by.method(alice, { ...INFER, fullName: 'a.B/C' }, NOW),
    );
    const permit = permitOf(by, alice);
    for (const [model, version] of [
      ['digits', ''],
      ['digits', '1'],
      ['denied', ''],
    ] as const) {
      expect(by.model(permit, model, version)).toBe(by.model(permit, model, version));
    }
  });

  test('is not confused with one that only looks alike', () => {
    const by = authorizer([role({ models: ['a'], versions: ['1'] })]);
    const permit = permitOf(by, alice);
    expect([by.model(permit, 'a', '1').ok, by.model(permit, 'a1', '').ok, by.model(permit, '', 'a1').ok]).toEqual([
      true,
      false,
      false,
    ]);
    const loose = { ...INFER, readsModel: false };
    expect(withoutModel(permitOf(by, alice, loose)).ok).toBe(true);
    expect(withoutModel(permitOf(by, alice, INFER)).ok).toBe(false);
  });

  test('is remembered for 256 models and versions, and then the oldest is forgotten', () => {
    const remembered = (count: number): boolean => {
      const by = authorizer();
      const permit = permitOf(by, alice);
      const first = by.model(permit, 'acme-first', '');
      for (let index = 1; index < count; index += 1) by.model(permit, `acme-${String(index)}`, '');
      return by.model(permit, 'acme-first', '') === first;
    };
    expect([remembered(256), remembered(257)]).toEqual([true, false]);
    const by = authorizer();
    const permit = permitOf(by, alice);
    for (let index = 0; index < 1000; index += 1) expect(by.model(permit, 'digits', String(index)).ok).toBe(true);
  });

  test('is remembered for 256 methods of a caller, and then the oldest is forgotten', () => {
    const remembered = (count: number): boolean => {
      const by = authorizer([role({ methods: ['a.B/*'] })]);
      const method = (index: number) => ({ fullName: `a.B/M${String(index)}`, readsModel: false, sensitive: false });
      const first = by.method(alice, method(0), NOW);
      for (let index = 1; index < count; index += 1) by.method(alice, method(index), NOW);
      return by.method(alice, method(0), NOW) === first;
    };
    expect([remembered(256), remembered(257)]).toEqual([true, false]);
  });

  test('is remembered for names of 256 characters and not of 257', () => {
    const by = authorizer();
    const permit = permitOf(by, alice);
    const same = (length: number): boolean => {
      const model = 'acme-'.padEnd(length, 'x');
      return by.model(permit, model, '') === by.model(permit, model, '');
    };
    expect([same(256), same(257)]).toEqual([true, false]);
    expect(by.model(permit, 'acme-'.padEnd(257, 'x'), '').ok).toBe(true);
  });
});

test('permits cannot be forged', () => {
  const by = authorizer();
  const methodPermit = permitOf(by, alice);
  const decision = by.model(methodPermit, 'digits', '');
  if (!decision.ok) throw new Error(decision.error.kind);
  const { caller: who, method, rule } = methodPermit;
  // @ts-expect-error an object that looks like a method permit is none
  const forgedMethod: MethodPermit = { caller: who, method, rule };
  // @ts-expect-error an object that looks like a permit is none
  const forged: Permit = { caller: who, method, rule, model: 'digits', version: '' };
  // @ts-expect-error a method permit is not a permit
  const promoted: Permit = methodPermit;
  for (const [genuine, ...fakes] of [
    [methodPermit, forgedMethod, decision.value],
    [decision.value, forged, promoted],
  ]) {
    const { constructor } = Object.getPrototypeOf(genuine);
    expect(constructor.isGenuine(genuine)).toBe(true);
    for (const fake of fakes) expect(constructor.isGenuine(fake)).toBe(false);
  }
  expect(() => by.model(forgedMethod, 'digits', '')).toThrow(TypeError);
});

describe('an API key that is for some models', () => {
  const narrowed = (models: object): FakeTenant => {
    const apiKeys = acme.config.apiKeys.map((key) => ({ ...key, ...models }));
    return { ...acme, config: { ...acme.config, apiKeys } };
  };
  const by = authorizer([role({ models: ['*'] })], [binding({ keys: ['*'], certificates: ['*'] })]);
  const INFER_DENIED = { kind: 'model_denied', method: INFER.fullName };

  test('narrows what the roles give, by model and by version', async () => {
    const who = await caller({ key: true, tenant: narrowed({ models: ['acme-*'], versions: ['1', 'latest'] }) });
    const verdicts = [
      ['acme-x', '1'],
      ['acme-x', ''],
      ['acme-x', '2'],
      ['digits', '1'],
      ['', '1'],
    ] as const;
    expect(verdicts.map(([model, version]) => allows(by, who, model, version))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(by.model(permitOf(by, who), 'digits', '1')).toEqual({
      ok: false,
      error: { ...INFER_DENIED, model: 'digits', version: '1', by: 'api key' },
    });
    const whole = await caller({ key: true });
    expect(verdicts.every(([model, version]) => allows(by, whole, model, version))).toBe(true);
  });

  test('gives none that the roles do not, and says nothing of methods that read none', async () => {
    const who = await caller({ key: true, tenant: narrowed({ models: ['*'] }) });
    const few = authorizer([role()], [binding({ keys: ['*'] })]);
    expect(few.model(permitOf(few, who), 'other', '')).toEqual({
      ok: false,
      error: { ...INFER_DENIED, model: 'other', version: '' },
    });
    const none = await caller({ key: true, tenant: narrowed({ models: ['nothing'] }) });
    expect(withoutModel(permitOf(few, none, LIVE)).ok).toBe(true);
  });

  test('narrows a call that has its role by another credential, too', async () => {
    const who = await caller({ subject: 'alice', key: true, tenant: narrowed({ versions: ['1'] }) });
    expect([allows(by, who, 'digits', '1'), allows(by, who, 'digits', '2')]).toEqual([true, false]);
    expect(allows(by, alice, 'digits', '2')).toBe(true);
  });
});
