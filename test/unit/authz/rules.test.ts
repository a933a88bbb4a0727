/**
 * Denials, conditions and shadow mode, by whole decisions: of a caller that authentication made, on a method and a model.
 */
import { describe, expect, test } from 'vitest';
import { Authenticator, type Caller } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import { type AuthorizableMethod, Authorizer, type CallFacts, withoutModel } from '../../../src/authz/authorizer.ts';
import type { DenyConfig } from '../../../src/config/policy-config.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import type { Peer } from '../../../src/identity/peer.ts';
import { binding, role } from '../../fakes/explain.ts';
import { type Claims, TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const SERVICE = 'inference.GRPCInferenceService';
const INFER = { fullName: `${SERVICE}/ModelInfer`, readsModel: true, sensitive: false };
const LOAD = { fullName: `${SERVICE}/RepositoryModelLoad`, readsModel: true, sensitive: true };
const LIVE = { fullName: `${SERVICE}/ServerLive`, readsModel: false, sensitive: false };
const NOW = micros(TEST_NOW_SECONDS);
const acme = fakeTenant('acme');
const peer = acme.peer();

const CLAIMS: NonNullable<TenantConfig['claims']> = [
  { name: 'groups', path: '/groups', type: 'strings' },
  { name: 'department', path: '/department', type: 'string' },
];

type Rules = Partial<Pick<TenantConfig, 'roles' | 'bindings' | 'denials' | 'claims' | 'metadata'>>;

const EVERYTHING = role({ methods: [INFER.fullName, LIVE.fullName, LOAD.fullName], models: ['*'] });
const OPEN: Required<Rules> = {
  roles: [EVERYTHING],
  bindings: [binding({ subjects: ['*'], keys: ['*'], certificates: ['*'] })],
  denials: [],
  claims: CLAIMS,
  metadata: ['x-purpose'],
};

const denial = (changes: Partial<DenyConfig> = {}): DenyConfig => ({
  name: 'no',
  source: 'tenants/acme.yaml:40 denyRules[0]',
  ...changes,
});

/** A caller with a token of these claims, or else with the API key. */
async function caller(rules: Rules, claims: Claims | undefined): Promise<Caller> {
  const tenant = { ...acme.config, ...OPEN, ...rules };
  const authorization = claims === undefined ? undefined : `Bearer ${acme.issuer.token(claims)}`;
  const presented = parseCredentials(authorization, claims === undefined ? acme.apiKey : undefined);
  if (!presented.ok) throw new Error(presented.error.kind);
  const verdict = await new Authenticator(tenant, new Directory([tenant])).authenticate(peer, presented.value, NOW);
  if (!verdict.ok) throw new Error(verdict.error.kind);
  return verdict.value;
}

interface Asked {
  readonly claims?: Claims | 'key';
  readonly method?: AuthorizableMethod;
  readonly model?: string;
  readonly version?: string;
  readonly headers?: readonly string[];
  readonly at?: number;
  readonly from?: Peer;
}

/** `allow` or the denial's kind; behind it the rule that decided, why a condition failed, and what rules in shadow say. */
async function decide(rules: Rules, asked: Asked = {}): Promise<string> {
  const { claims = {}, method = INFER, model = 'digits', version = '', headers = [], at = NOW, from = peer } = asked;
  const by = new Authorizer({ id: acme.config.id, ...OPEN, ...rules });
  const who = await caller(rules, claims === 'key' ? undefined : claims);
  const facts: CallFacts = { peer: from, headers, at: micros(at / 1_000_000) };
  const first = by.method(who, method, NOW, by.asksCalls ? facts : undefined);
  const last = first.ok
    ? method.readsModel
      ? by.model(first.value, model, version)
      : withoutModel(first.value)
    : first;
  const shadow = last.ok ? last.value.shadow : last.shadow;
  const said = shadow === undefined ? '' : ` [would ${shadow.verdict}: ${shadow.rule}]`;
  if (last.ok) return `allow${said}`;
  const { rule = '', failure = '' } = 'rule' in last.error || 'failure' in last.error ? last.error : {};
  return `${last.error.kind}${rule === '' ? '' : ` by ${rule}`}${failure === '' ? '' : ` (${failure})`}${said}`;
}

const BY = ' by tenants/acme.yaml:40 denyRules[0] → no';

describe('a rule that denies', () => {
  const denied = (changes: Partial<DenyConfig>, asked?: Asked): Promise<string> =>
    decide({ denials: [denial(changes)] }, asked);

  test('wins over every role, and names itself', async () => {
    expect(await decide({})).toBe('allow');
    expect(await denied({})).toBe(`method_denied${BY}`);
    expect(await denied({ models: ['digits'] })).toBe(`model_denied${BY}`);
  });

  test('is about the methods that it names, sensitive ones too', async () => {
    expect(await denied({ methods: [INFER.fullName] })).toBe(`method_denied${BY}`);
    expect(await denied({ methods: [LIVE.fullName] })).toBe('allow');
    for (const methods of [[`${SERVICE}/*`], ['*']]) {
      for (const method of [INFER, LOAD, LIVE]) {
        expect(await denied({ methods }, { method }), `${methods.join()} ${method.fullName}`).toBe(
          `method_denied${BY}`,
        );
      }
    }
  });

  test('is about the models that it names, and about a request that leaves the model open', async () => {
    const rule = { models: ['secret-*'] };
    expect(await denied(rule, { model: 'secret-1' })).toBe(`model_denied${BY}`);
    expect(await denied(rule, { model: 'digits' })).toBe('allow');
    expect(await denied(rule, { model: '' })).toBe(`model_denied${BY}`);
    expect(await denied(rule, { method: LIVE })).toBe('allow');
    expect(await denied({ models: ['*'] }, { method: LIVE })).toBe(`method_denied${BY}`);
  });

  test('is about the versions that it names, and about a request that leaves the version open', async () => {
    const rule = { versions: ['3'] };
    expect(await denied(rule, { version: '3' })).toBe(`model_denied${BY}`);
    expect(await denied(rule, { version: '4' })).toBe('allow');
    expect(await denied(rule, { version: '' })).toBe(`model_denied${BY}`);
  });

  test('is about whom it names', async () => {
    const nobody = { subjects: [], keys: [], certificates: [] };
    expect(await denied({ who: { ...nobody, subjects: ['alice'] } })).toBe(`method_denied${BY}`);
    expect(await denied({ who: { ...nobody, subjects: ['bob'] } })).toBe('allow');
    expect(await denied({ who: { ...nobody, keys: ['*'] } })).toBe('allow');
    expect(await denied({ who: { ...nobody, keys: ['*'] } }, { claims: 'key' })).toBe(`method_denied${BY}`);
    const contractors = { ...nobody, claims: [{ path: '/groups', values: ['contractors'] }] };
    expect(await denied({ who: contractors })).toBe('allow');
    expect(await denied({ who: contractors }, { claims: { groups: ['ml', 'contractors'] } })).toBe(
      `method_denied${BY}`,
    );
    expect(await denied({ who: contractors }, { claims: 'key' })).toBe('allow');
  });

  test('is about calls from addresses that it names, in whichever way they are written', async () => {
    const at = (address: string): Peer => Object.assign(Object.create(peer), { address });
    const rule = { addresses: ['10.0.0.0/8', '2001:db8::/32'] };
    for (const [address, verdict] of [
      ['10.1.2.3', `method_denied${BY}`],
      ['::ffff:10.1.2.3', `method_denied${BY}`],
      ['2001:db8::1', `method_denied${BY}`],
      ['11.0.0.1', 'allow'],
      ['::1', 'allow'],
      ['', `method_denied${BY}`],
    ] as const) {
      expect(await denied(rule, { from: at(address) }), address).toBe(verdict);
    }
  });

  test('whose condition is not met denies nothing; one that cannot be evaluated denies', async () => {
    const condition = 'claims.department == "sales"';
    expect(await denied({ condition }, { claims: { department: 'research' } })).toBe('allow');
    expect(await denied({ condition }, { claims: { department: 'sales' } })).toBe(`method_denied${BY}`);
    expect(await denied({ condition })).toBe(`method_denied${BY} (No such key: department)`);
  });

  test('denies before the model is asked for, where the method suffices', async () => {
    const by = new Authorizer({ id: acme.config.id, ...OPEN, denials: [denial({ condition: 'call.model == "x"' })] });
    expect(by.method(await caller({}, {}), INFER, NOW).ok).toBe(true);
    const early = new Authorizer({ id: acme.config.id, ...OPEN, denials: [denial({ condition: 'caller.acr == ""' })] });
    expect(early.method(await caller({}, {}), INFER, NOW).ok).toBe(false);
  });
});

describe('a condition', () => {
  const NIGHT = micros(Date.UTC(2026, 0, 1, 3) / 1000);
  const met = (condition: string, asked?: Asked): Promise<string> =>
    decide({ roles: [{ ...EVERYTHING, condition }] }, asked);

  test('of a role must be met, and so must the binding’s', async () => {
    expect(await met('"ml" in claims.groups', { claims: { groups: ['ml'] } })).toBe('allow');
    expect(await met('"ml" in claims.groups', { claims: { groups: ['x'] } })).toBe('method_denied');
    const both = (groups: readonly string[]): Promise<string> =>
      decide(
        {
          roles: [{ ...EVERYTHING, condition: '"a" in claims.groups' }],
          bindings: [binding({ condition: '"b" in claims.groups' })],
        },
        { claims: { groups } },
      );
    expect(await both(['a', 'b'])).toBe('allow');
    expect(await both(['a'])).toBe('method_denied');
    expect(await both(['b'])).toBe('method_denied');
  });

  test('that cannot be evaluated gives nothing, and says why when nothing else does', async () => {
    const failing = { ...EVERYTHING, condition: 'claims.department == "x"' };
    expect(await decide({ roles: [failing] })).toBe(
      'method_denied (tenants/acme.yaml:31 bindings[0] → role reader: No such key: department)',
    );
    const plain = { ...EVERYTHING, name: 'plain' };
    const bindings = [binding(), binding({ role: 'plain' })];
    expect(await decide({ roles: [failing, plain], bindings })).toBe('allow');
  });

  test('on the model is asked for each, and of one that is left open nothing can be said', async () => {
    const condition = 'call.model != "secret"';
    expect(await met(condition, { model: 'digits' })).toBe('allow');
    expect(await met(condition, { model: 'secret' })).toBe('model_denied');
    expect(await met(condition, { model: '' })).toMatch(/^model_denied \(.*No such key: model\)$/);
    expect(await met('call.version == "3"', { version: '3' })).toBe('allow');
    expect(await met('call.version != "3"', { version: '' })).toMatch(/^model_denied \(/);
  });

  test('on the time is asked of each call', async () => {
    const condition = 'call.time.getHours() >= 8';
    expect(await met(condition, { at: NIGHT })).toBe('method_denied');
    expect(await met(condition, { at: NIGHT + 6 * 3_600_000_000 })).toBe('allow');
    const by = new Authorizer({ id: acme.config.id, ...OPEN, roles: [{ ...EVERYTHING, condition }] });
    const who = await caller({}, {});
    const at = (hours: number): boolean =>
      by.method(who, LIVE, NOW, { peer, headers: [], at: micros(NIGHT / 1_000_000 + hours * 3600) }).ok;
    expect([at(0), at(6), at(0), at(5), at(4)]).toEqual([false, true, false, true, false]);
    // Nothing is known of the call: it is refused.
    expect(by.method(who, LIVE, NOW).ok).toBe(false);
  });

  test('on a header sees what the model server gets, and nothing of one that comes twice', async () => {
    const condition = 'call.metadata["x-purpose"] != "test"';
    expect(await met(condition, { headers: ['x-purpose', 'nightly'] })).toBe('allow');
    expect(await met(condition, { headers: ['x-purpose', 'test'] })).toBe('method_denied');
    expect(await met(condition)).toMatch(/No such key: x-purpose/);
    const twice = ['x-purpose', 'nightly', 'x-other', 'a', 'x-purpose', 'test'];
    expect(await met(condition, { headers: twice })).toMatch(/the header x-purpose comes twice/);
    const denials = [denial({ condition: '"x-purpose" in call.metadata && call.metadata["x-purpose"] == "test"' })];
    expect(await decide({ denials }, { headers: twice })).toBe(`method_denied${BY} (the header x-purpose comes twice)`);
    expect(await decide({ denials })).toBe('allow');
  });

  test('does not see the header of the call before', async () => {
    const condition = '"x-purpose" in call.metadata';
    const by = new Authorizer({ id: acme.config.id, ...OPEN, roles: [{ ...EVERYTHING, condition }] });
    const who = await caller({}, {});
    const has = (headers: readonly string[]): boolean => by.method(who, LIVE, NOW, { peer, headers, at: NOW }).ok;
    expect([has(['x-purpose', '']), has([]), has(['x-purpose', 'a'])]).toEqual([true, false, true]);
  });

  test('is decided once as long as it depends on nothing of the call', async () => {
    const roles = [{ ...EVERYTHING, condition: '"ml" in claims.groups && call.method.endsWith("Infer")' }];
    const by = new Authorizer({ id: acme.config.id, ...OPEN, roles });
    const who = await caller({}, { groups: ['ml'] });
    const facts = { peer, headers: [], at: NOW };
    const first = by.method(who, INFER, NOW, facts);
    expect(by.method(who, INFER, NOW, facts)).toBe(first);
    if (!first.ok) throw new Error(first.error.kind);
    expect(by.model(first.value, 'digits', '')).toBe(by.model(first.value, 'digits', ''));
  });

  test('sees who calls, by which credential', async () => {
    expect(await met('caller.id == "token:alice" && caller.kind == "token" && caller.key_id == ""')).toBe('allow');
    expect(await met('caller.key_id == "acme-key" && caller.subject == ""', { claims: 'key' })).toBe('allow');
    expect(await met(`caller.tenant == "acme" && caller.certificate_id == "${peer.certificateId}"`)).toBe('allow');
    expect(await met('caller.issuer == "https://acme.idp.test"')).toBe('allow');
    const signedIn = { scope: 'a b', acr: 'gold', amr: ['mfa'], auth_time: TEST_NOW_SECONDS - 60 };
    const all = '"a" in caller.scopes && caller.acr == "gold" && "mfa" in caller.amr';
    expect(await met(all, { claims: signedIn })).toBe('allow');
    expect(await met('call.time - caller.auth_time < duration("61s")', { claims: signedIn })).toBe('allow');
    expect(await met('call.time - caller.auth_time < duration("59s")', { claims: signedIn })).toBe('method_denied');
  });
});

describe('in shadow', () => {
  const ROLE = 'tenants/acme.yaml:31 bindings[0] → role reader';
  const shadowRole = { ...EVERYTHING, mode: 'shadow' as const };

  test('a rule denies nothing, and it is said that it would have', async () => {
    const rule = denial({ mode: 'shadow', methods: [INFER.fullName] });
    expect(await decide({ denials: [rule] })).toBe('allow [would deny: tenants/acme.yaml:40 denyRules[0] → no]');
    expect(await decide({ denials: [rule] }, { method: LIVE })).toBe('allow');
    const model = denial({ mode: 'shadow', models: ['digits'] });
    expect(await decide({ denials: [model] })).toBe('allow [would deny: tenants/acme.yaml:40 denyRules[0] → no]');
    expect(await decide({ denials: [model] }, { model: 'other' })).toBe('allow');
    const failing = denial({ mode: 'shadow', condition: 'claims.department == "x"' });
    expect(await decide({ denials: [failing] })).toBe('allow [would deny: tenants/acme.yaml:40 denyRules[0] → no]');
  });

  test('a role gives nothing, and it is said that it would have', async () => {
    expect(await decide({ roles: [shadowRole] })).toBe(`method_denied [would allow: ${ROLE}]`);
    expect(await decide({ roles: [EVERYTHING], bindings: [binding({ mode: 'shadow' })] })).toBe(
      `method_denied [would allow: ${ROLE}]`,
    );
    const narrow = { ...EVERYTHING, name: 'narrow', models: ['other'] };
    const bindings = [binding(), binding({ role: 'narrow' })];
    expect(await decide({ roles: [shadowRole, narrow], bindings })).toBe(`model_denied [would allow: ${ROLE}]`);
    expect(await decide({ roles: [shadowRole, narrow], bindings }, { model: 'other' })).toBe('allow');
    const lacking = { ...shadowRole, scopes: ['x'] };
    expect(await decide({ roles: [lacking] })).toBe('method_denied');
    const unmet = { ...shadowRole, condition: '"ml" in claims.groups' };
    expect(await decide({ roles: [unmet] })).toBe('method_denied');
    expect(await decide({ roles: [unmet] }, { claims: { groups: ['ml'] } })).toBe(
      `method_denied [would allow: ${ROLE}]`,
    );
  });

  test('what is denied in force is denied, whatever rules in shadow say', async () => {
    const denials = [denial()];
    expect(await decide({ roles: [shadowRole], denials })).toBe(`method_denied${BY}`);
    expect(await decide({ denials: [denial({ mode: 'shadow' }), denial({ name: 'no' })] })).toBe(`method_denied${BY}`);
  });

  test('rules are decided all together: a role does not allow what a rule denies', async () => {
    expect(await decide({ roles: [shadowRole], denials: [denial({ mode: 'shadow' })] })).toBe('method_denied');
  });
});
