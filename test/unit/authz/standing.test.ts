import { describe, expect, test } from 'vitest';
import { Authenticator, type Caller } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import { Authorizer, type MethodPermit } from '../../../src/authz/authorizer.ts';
import type { BindingConfig, RoleConfig, StepUpConfig } from '../../../src/config/policy-config.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { type Claims, TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const INFER = { fullName: 'inference.GRPCInferenceService/ModelInfer', readsModel: true, sensitive: false };
const LIVE = { fullName: 'inference.GRPCInferenceService/ServerLive', readsModel: false, sensitive: false };
const NOW = TEST_NOW_SECONDS;
const acme = fakeTenant('acme');

function role(changes: Partial<RoleConfig> = {}): RoleConfig {
  return {
    name: 'predict',
    methods: [INFER.fullName, LIVE.fullName],
    models: ['digits'],
    versions: ['*'],
    source: 'acme.yaml:1',
    ...changes,
  };
}

function stepUp(changes: Partial<StepUpConfig>): StepUpConfig {
  return { acrValues: [], amr: [], maxAgeMs: undefined, ...changes };
}

const ANYBODY: BindingConfig = {
  role: 'predict',
  subjects: ['*'],
  keys: ['*'],
  certificates: ['*'],
  source: 'acme.yaml:9',
};

function authorizer(roles: readonly RoleConfig[], bindings: readonly BindingConfig[] = [ANYBODY]): Authorizer {
  return new Authorizer({ id: acme.config.id, roles, bindings });
}

/** A caller with a token of these claims, with the API key of these scopes, or with both; with neither by its certificate. */
async function caller(claims: Claims | undefined, keyScopes?: readonly string[]): Promise<Caller> {
  const apiKeys = acme.config.apiKeys.map((key) => ({ ...key, scopes: keyScopes ?? [] }));
  const authorization = claims === undefined ? undefined : `Bearer ${acme.issuer.token(claims)}`;
  const presented = parseCredentials(authorization, keyScopes === undefined ? undefined : acme.apiKey);
  if (!presented.ok) throw new Error(presented.error.kind);
  const by = new Authenticator({ ...acme.config, apiKeys }, new Directory([acme.config]));
  const verdict = await by.authenticate(acme.peer(), presented.value, micros(NOW));
  if (!verdict.ok) throw new Error(verdict.error.kind);
  return verdict.value;
}

function outcome(by: Authorizer, who: Caller, model = 'digits', seconds = NOW): string | Denial {
  const method = by.method(who, INFER, micros(seconds));
  if (!method.ok) return method.error;
  const verdict = by.model(method.value, model, '');
  return verdict.ok ? 'permitted' : verdict.error;
}

function permitOf(by: Authorizer, who: Caller, seconds: number): MethodPermit {
  const method = by.method(who, INFER, micros(seconds));
  if (!method.ok) throw new Error(method.error.kind);
  return method.value;
}

describe('a role with scopes', () => {
  const by = authorizer([role({ scopes: ['infer', 'read'] })]);
  const lacking = { kind: 'insufficient_scope', requiredScopes: ['infer', 'read'] };

  test.each<[string, Claims | undefined, readonly string[] | undefined, boolean]>([
    ['a token with all of them', { scope: 'read other infer' }, undefined, true],
    ['a token with a list of them', { scp: ['infer', 'read'] }, undefined, true],
    ['a token with one of them', { scope: 'infer' }, undefined, false],
    ['a token with one that begins like it', { scope: 'infer reader' }, undefined, false],
    ['a token in other letters', { scope: 'INFER READ' }, undefined, false],
    ['a token without', {}, undefined, false],
    ['a key with all of them', undefined, ['infer', 'read'], true],
    ['a key with one of them', undefined, ['read'], false],
    ['a key without', undefined, [], false],
    ['a certificate alone, which has none', undefined, undefined, false],
    ['a token with all and a key without', { scope: 'infer read' }, [], true],
    ['a token with one and a key with the other', { scope: 'infer' }, ['read'], false],
  ])('is asked of %s', async (_name, claims, keyScopes, permitted) => {
    expect(outcome(by, await caller(claims, keyScopes))).toEqual(permitted ? 'permitted' : lacking);
  });

  test('goes by the scopes of the credential that gave it, and is not widened by another', async () => {
    const bound = (to: Partial<BindingConfig>): Authorizer =>
      authorizer([role({ scopes: ['infer'] })], [{ ...ANYBODY, subjects: [], keys: [], certificates: [], ...to }]);
    const wideKey = await caller({ scope: 'read' }, ['infer']);
    const wideToken = await caller({ scope: 'infer' }, ['read']);
    const by = [bound({ subjects: ['alice'] }), bound({ keys: ['acme-key'] }), bound({ certificates: ['*'] })];
    const kinds = (who: Caller) => by.map((each) => outcome(each, who) === 'permitted');
    // A certificate has no scopes: it goes by the token's, or else by the key's.
    expect(kinds(wideKey)).toEqual([false, true, false]);
    expect(kinds(wideToken)).toEqual([true, false, true]);
    const keyAlone = await caller(undefined, ['infer']);
    expect(by.slice(1).map((each) => outcome(each, keyAlone))).toEqual(['permitted', 'permitted']);
  });
});

describe('a role with step-up', () => {
  test.each<[string, Partial<StepUpConfig>, Claims, boolean]>([
    ['one of its classes', { acrValues: ['silver', 'gold'] }, { acr: 'gold' }, true],
    ['another class', { acrValues: ['silver', 'gold'] }, { acr: 'bronze' }, false],
    ['no class', { acrValues: ['silver'] }, {}, false],
    ['both classes in one text', { acrValues: ['silver'] }, { acr: 'silver gold' }, false],
    ['all methods', { amr: ['mfa', 'hwk'] }, { amr: ['pwd', 'hwk', 'mfa'] }, true],
    ['one of the methods', { amr: ['mfa', 'hwk'] }, { amr: ['mfa'] }, false],
    ['methods as text', { amr: ['mfa'] }, { amr: 'mfa' }, false],
    ['a sign-in that is young enough', { maxAgeMs: 300_000 }, { auth_time: NOW - 299 }, true],
    ['a sign-in of that age', { maxAgeMs: 300_000 }, { auth_time: NOW - 300 }, false],
    ['a fresh token of an old sign-in', { maxAgeMs: 300_000 }, { iat: NOW, auth_time: NOW - 3600 }, false],
    ['no time of sign-in', { maxAgeMs: 300_000 }, { iat: NOW }, false],
    ['a sign-in that is still to come', { maxAgeMs: 300_000 }, { auth_time: NOW + 31 }, false],
    [
      'everything',
      { acrValues: ['gold'], amr: ['mfa'], maxAgeMs: 60_000 },
      { acr: 'gold', amr: ['mfa'], auth_time: NOW },
      true,
    ],
    ['everything but one', { acrValues: ['gold'], amr: ['mfa'] }, { acr: 'gold', amr: ['pwd'] }, false],
  ])('is asked of a token with %s', async (_name, demand, claims, permitted) => {
    const wanted = stepUp(demand);
    const { acrValues, amr, maxAgeMs } = wanted;
    const maxAgeSeconds = maxAgeMs === undefined ? undefined : maxAgeMs / 1000;
    expect(outcome(authorizer([role({ stepUp: wanted })]), await caller(claims))).toEqual(
      permitted ? 'permitted' : { kind: 'step_up_required', acrValues, amrValues: amr, maxAgeSeconds },
    );
  });

  test('is nothing that a key or a certificate can show', async () => {
    const by = authorizer([role({ stepUp: stepUp({ acrValues: ['gold'] }) })]);
    for (const who of [await caller(undefined), await caller(undefined, ['infer'])]) {
      expect(outcome(by, who)).toMatchObject({ kind: 'step_up_required' });
    }
    expect(outcome(by, await caller({ acr: 'gold' }, ['infer']))).toBe('permitted');
  });

  test('asks for it before it asks for scopes', async () => {
    const by = authorizer([role({ scopes: ['infer'], stepUp: stepUp({ acrValues: ['gold'] }) })]);
    expect(outcome(by, await caller({}))).toMatchObject({ kind: 'step_up_required' });
    expect(outcome(by, await caller({ acr: 'gold' }))).toMatchObject({ kind: 'insufficient_scope' });
    expect(outcome(by, await caller({ scope: 'infer' }))).toMatchObject({ kind: 'step_up_required' });
    expect(outcome(by, await caller({ acr: 'gold', scope: 'infer' }))).toBe('permitted');
  });

  test('is asked again when the sign-in becomes too old, whatever was decided before', async () => {
    const by = authorizer([role({ stepUp: stepUp({ maxAgeMs: 300_000 }) })]);
    const who = await caller({ auth_time: NOW - 100 });
    const permit = permitOf(by, who, NOW);
    expect(permitOf(by, who, NOW + 199.999)).toBe(permit);
    expect(outcome(by, who, 'digits', NOW + 199.999)).toBe('permitted');
    expect(outcome(by, who, 'digits', NOW + 200)).toMatchObject({ kind: 'step_up_required', maxAgeSeconds: 300 });
    expect(by.method(who, LIVE, micros(NOW + 200))).toMatchObject({ ok: false, error: { kind: 'step_up_required' } });
  });
});

describe('what is lacking', () => {
  const strict = role({ name: 'strict', models: ['secret'], stepUp: stepUp({ acrValues: ['gold'] }) });
  const scoped = role({ name: 'scoped', models: ['wide'], scopes: ['infer'] });
  const bindings = ['predict', 'strict', 'scoped'].map((name) => ({ ...ANYBODY, role: name }));
  const by = authorizer([role(), strict, scoped], bindings);

  test('is said of the models of that role alone, and a role without demands is as it was', async () => {
    const who = await caller({});
    expect(outcome(by, who, 'digits')).toBe('permitted');
    expect(outcome(by, who, 'secret')).toMatchObject({ kind: 'step_up_required' });
    expect(outcome(by, who, 'wide')).toMatchObject({ kind: 'insufficient_scope' });
    expect(outcome(by, who, 'other')).toMatchObject({ kind: 'model_denied' });
    expect(outcome(by, await caller({ acr: 'gold' }), 'secret')).toBe('permitted');
  });

  test('is not said to whom no role would allow it anyway', async () => {
    const alone = authorizer([strict], [{ ...ANYBODY, role: 'strict', subjects: ['bob'], keys: [], certificates: [] }]);
    expect(outcome(alone, await caller({ sub: 'alice' }), 'secret')).toMatchObject({ kind: 'method_denied' });
    expect(outcome(alone, await caller({ sub: 'bob' }), 'digits')).toMatchObject({ kind: 'model_denied' });
    expect(outcome(alone, await caller({ sub: 'bob' }), 'secret')).toMatchObject({ kind: 'step_up_required' });
  });

  test('is said at once where no model is named, unless another role may be used', async () => {
    const who = await caller({});
    expect(by.method(who, LIVE, micros(NOW)).ok).toBe(true);
    const only = authorizer([strict], [{ ...ANYBODY, role: 'strict' }]);
    expect(only.method(who, LIVE, micros(NOW))).toMatchObject({ ok: false, error: { kind: 'step_up_required' } });
  });

  test('does not keep another role of the caller from allowing the same model', async () => {
    const both = authorizer(
      [strict, role({ name: 'lax', models: ['secret'] })],
      ['strict', 'lax'].map((name) => ({ ...ANYBODY, role: name })),
    );
    expect(outcome(both, await caller({}), 'secret')).toBe('permitted');
  });

  test('decides over and over as the same object', async () => {
    const who = await caller({});
    expect(by.method(who, INFER, micros(NOW))).toBe(by.method(who, INFER, micros(NOW + 1_000_000)));
  });
});
