/**
 * Deny rules and conditions: what a rule takes away from who has a role, and what a role gives only to calls that meet it.
 */
import type { DenyConfig } from '../../../src/config/policy-config.ts';
import { type Actors, attemptAs, bindingOf } from './actors.ts';
import { DENIED, roles } from './authorization-checks.ts';
import { type Check, KINDS, type Kind, type Tenants } from './check.ts';
import { SERVED_MODEL } from './methods.ts';

export function ruleChecks(actors: Actors): readonly Check[] {
  return KINDS.flatMap((kind) => [...denyChecks(actors, kind), conditionCheck(actors, kind)]);
}

/** Each is without effect in shadow mode, which is its second proof. */
function denyChecks(actors: Actors, kind: Kind): readonly Check[] {
  const bob = { who: bindingOf(actors, 'bob', kind) };
  const ruled = (rule: Partial<DenyConfig>): Tenants => ({
    acme: { ...roles(actors, kind, {}).acme, denials: [{ name: 'no', source: 'acme.yaml:9', ...rule }] },
  });
  const base = { kind, aspect: 'deny rule', refusal: DENIED } as const;
  const models = { ...bob, models: ['other', SERVED_MODEL] };
  const addresses = { addresses: ['127.0.0.1/32'] };
  return [
    {
      ...base,
      name: 'a deny rule about the caller',
      strict: ruled(bob),
      attack: () => attemptAs(actors, 'bob', kind),
      satisfied: () => attemptAs(actors, 'alice', kind),
      lax: ruled({ ...bob, mode: 'shadow' }),
    },
    {
      ...base,
      name: 'a deny rule about the caller and the model',
      cannot: ({ noModel }) => noModel,
      strict: ruled(models),
      attack: () => ({ ...attemptAs(actors, 'bob', kind), model: 'other' }),
      satisfied: ({ isServed }) => ({
        ...attemptAs(actors, isServed ? 'alice' : 'bob', kind),
        model: isServed ? 'other' : 'allowed',
      }),
      lax: ruled({ ...models, mode: 'shadow' }),
    },
    {
      ...base,
      name: 'a deny rule about the address',
      strict: ruled(addresses),
      attack: () => attemptAs(actors, 'alice', kind),
      satisfied: () => ({ ...attemptAs(actors, 'alice', kind), access: { localAddress: '127.0.0.2' } }),
      lax: ruled({ ...addresses, mode: 'shadow' }),
    },
  ];
}

function conditionCheck(actors: Actors, kind: Kind): Check {
  const condition = '"x-purpose" in call.metadata && call.metadata["x-purpose"] == "triage"';
  const conditioned = (of: { readonly condition?: string }): Tenants => ({
    acme: { ...roles(actors, kind, { bob: of }).acme, metadata: ['x-purpose'] },
  });
  const purpose = (text: string) => {
    const bob = attemptAs(actors, 'bob', kind);
    return () => ({ ...bob, headers: { ...bob.headers, 'x-purpose': text } });
  };
  return {
    kind,
    aspect: 'condition',
    name: 'a role whose condition the call does not meet',
    refusal: DENIED,
    strict: conditioned({ condition }),
    attack: purpose('research'),
    satisfied: purpose('triage'),
    lax: conditioned({}),
  };
}
