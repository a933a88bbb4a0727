import { expect, test } from 'vitest';
import type { Generation } from '../../../src/config/generation.ts';
import { explainQuery } from '../../../src/runtime/admin-explain.ts';
import { binding, role } from '../../fakes/explain.ts';
import { fakeTenant } from '../../fakes/trust.ts';

const roles = [role({ scopes: ['infer'] })];
const acme = fakeTenant('acme', { roles, bindings: [binding({ keys: ['acme-key'] })] });
// The rest of a generation is not looked at.
const generation = { number: 7, tenants: [acme.config] } as unknown as Generation;
const ask = (query: string) => explainQuery(new URLSearchParams(query), generation);

test('it explains by the configuration in force, and says which that is and what was assumed', async () => {
  const asked = 'tenant=acme&method=ModelInfer&model=digits&subject=alice&certificate=spiffe://acme.example/a';
  expect(await ask(`${asked}&scope=infer+more`)).toMatchObject({
    ok: true,
    value: {
      generation: 7,
      verdict: 'allowed',
      assumed: [
        'a valid client certificate of spiffe://acme.example/a',
        'a valid token of https://acme.idp.test for alice, with the scopes infer more',
      ],
    },
  });
  expect(await ask(asked)).toMatchObject({ value: { verdict: 'denied', refusal: { kind: 'insufficient_scope' } } });
  expect(await ask('tenant=acme&method=ModelInfer&model=digits&version=1&key=acme-key')).toMatchObject({
    value: { caller: 'key:acme-key', refusal: { kind: 'insufficient_scope' } },
  });
});

test('a question that is incomplete, ambiguous or unknown is answered with what is wrong, and repeats no value', async () => {
  expect(await ask('tenant=acme')).toEqual({ ok: false, error: 'tenant and method are needed' });
  expect(await ask('tenant=acme&tenant=globex&method=M')).toEqual({ ok: false, error: 'tenant comes twice' });
  expect(await ask('tenant=acme&method=M&scope=a')).toEqual({ ok: false, error: 'scope goes with subject' });
  expect(await ask('tenant=acme&method=M&address=x')).toEqual({ ok: false, error: 'address is no IP address' });
  expect(await ask('tenant=acne&method=M')).toMatchObject({ ok: false });
  const secret = await ask('tenant=acme&method=M&bk_batch_secret=&token=eyJh');
  expect(secret).toMatchObject({ ok: false });
  expect(JSON.stringify(secret)).not.toMatch(/bk_batch|eyJh/);
});
