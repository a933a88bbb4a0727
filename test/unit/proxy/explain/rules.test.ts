/** What an explanation says of deny rules, conditions and shadow mode. */
import { describe, expect, test } from 'vitest';
import { explanationText } from '../../../../src/cli/explanation-text.ts';
import type { DenyConfig } from '../../../../src/config/policy-config.ts';
import type { TenantConfig } from '../../../../src/config/tenant-config.ts';
import { type Explanation, explain } from '../../../../src/proxy/explain/explanation.ts';
import type { Question } from '../../../../src/proxy/explain/question.ts';
import { binding, credentials, question, role } from '../../../fakes/explain.ts';
import { fakeTenant } from '../../../fakes/trust.ts';

const RULE = 'tenants/acme.yaml:40 denyRules[0] → nights';
const acme = fakeTenant('acme', { roles: [role()], bindings: [binding()] });
const denial = (changes: Partial<DenyConfig> = {}): DenyConfig => ({
  name: 'nights',
  source: 'tenants/acme.yaml:40 denyRules[0]',
  ...changes,
});

async function explained(
  changes: Partial<TenantConfig>,
  asked: Partial<Question> = {},
  claims = {},
): Promise<Explanation> {
  const token = { kind: 'assumed', subject: 'alice', claims } as const;
  const tenant = { ...acme.config, ...changes };
  const answer = await explain({ tenants: [tenant] }, question({ credentials: credentials({ token }), ...asked }));
  if (!answer.ok) throw new Error(answer.error);
  return answer.value;
}

describe('an explanation', () => {
  test('names the rule that denies, at its gate, and how to be let through', async () => {
    const early = await explained({ denials: [denial()] });
    expect(early.gates.find(({ verdict }) => verdict === 'deny')).toMatchObject({ gate: 'authorize', rule: RULE });
    expect(early.refusal).toMatchObject({
      kind: 'method_denied',
      reason: 'MODEL_ACCESS_DENIED',
      why: 'the rule `nights` (tenants/acme.yaml:40) denies it, whatever roles allow',
      allow: ['narrow the rule `nights`, put it in shadow (mode: shadow), or remove it (tenants/acme.yaml:40)'],
    });
    expect(early.refusal?.message).not.toContain('nights');
    const late = await explained({ denials: [denial({ models: ['digits'] })] });
    expect(late.gates.find(({ verdict }) => verdict === 'deny')).toMatchObject({ gate: 'inspect', rule: RULE });
  });

  test('shows each rule with the values that its condition saw', async () => {
    const answer = await explained(
      {
        denials: [denial({ condition: '"ml" in claims.groups && call.metadata["x-purpose"] == "test"' })],
        claims: [{ name: 'groups', path: '/realm/groups', type: 'strings' }],
        metadata: ['x-purpose'],
      },
      { metadata: { 'X-Purpose': 'nightly' } },
      { 'realm.groups': ['ml', 'ops'] },
    );
    expect(answer.verdict).toBe('allowed');
    expect(answer.rules).toEqual([
      {
        rule: RULE,
        effect: 'deny',
        shadow: false,
        verdict: 'does not apply',
        why: 'its condition is not met',
        conditions: [
          {
            text: '"ml" in claims.groups && call.metadata["x-purpose"] == "test"',
            met: false,
            seen: ['claims.groups = ["ml","ops"]', 'call.metadata["x-purpose"] = "nightly"'],
          },
        ],
      },
      {
        rule: 'tenants/acme.yaml:31 bindings[0] → role reader',
        effect: 'allow',
        shadow: false,
        verdict: 'applies',
        why: '',
        conditions: [],
      },
    ]);
    const text = explanationText(answer);
    expect(text).toContain(`  deny   ${RULE}: does not apply, its condition is not met\n      not met: "ml" in`);
    expect(text).toContain('\n        claims.groups = ["ml","ops"]\n');
  });

  test('says of a condition that cannot be evaluated what it lacks', async () => {
    const claims: TenantConfig['claims'] = [{ name: 'team', path: '/team', type: 'string' }];
    const denied = await explained({ denials: [denial({ condition: 'claims.team == "x"' })], claims });
    expect(denied.refusal?.why).toBe(
      'the condition of the rule `nights` (tenants/acme.yaml:40) cannot be evaluated, so it denies: No such key: team',
    );
    expect(denied.rules[0]).toMatchObject({ verdict: 'failed', why: 'No such key: team' });
    const given = await explained({ roles: [role({ condition: 'claims.team == "x"' })], claims });
    expect(given.refusal?.why).toMatch(/a condition cannot be evaluated: .* role reader: No such key: team$/);
    expect(given.refusal?.allow.join()).toMatch(/meet its condition \(tenants\/acme.yaml:21\)/);
  });

  test('says what rules in shadow would have decided', async () => {
    const passing = await explained({ denials: [denial({ mode: 'shadow' })] });
    expect(passing).toMatchObject({ verdict: 'allowed', shadow: { verdict: 'deny', rule: RULE } });
    expect(explanationText(passing)).toContain(`in shadow: ${RULE} would deny it\n`);
    const refused = await explained({ roles: [role({ mode: 'shadow' })] });
    expect(refused).toMatchObject({ verdict: 'denied', shadow: { verdict: 'allow' } });
    expect(refused.refusal?.allow.join()).toMatch(/take it out of shadow \(tenants\/acme.yaml:21\)/);
  });

  test('of a tenant that has no such rules shows none', async () => {
    expect(await explained({})).toMatchObject({ verdict: 'allowed', rules: [], shadow: undefined });
  });

  test('sees the server name that is asked with', async () => {
    const denials = [denial({ condition: 'call.server_name == "eu.acme.test"' })];
    expect((await explained({ denials })).verdict).toBe('allowed');
    expect((await explained({ denials }, { serverName: 'EU.acme.test' })).verdict).toBe('denied');
  });
});
