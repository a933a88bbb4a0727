import { expect, test } from 'vitest';
import { Directory } from '../../../src/authn/directory.ts';
import { FakeIssuer } from '../../fakes/tokens.ts';
import { fakeTenant } from '../../fakes/trust.ts';

const issuer = new FakeIssuer('https://shared.idp.test');
const acme = fakeTenant('acme', {}, issuer);
const globex = fakeTenant('globex', {}, issuer);

test('knows the tenants of an issuer, each once, and nobody of another spelling', () => {
  const doubled = { ...acme.config, issuers: [...acme.config.issuers, ...acme.config.issuers] };
  const directory = new Directory([doubled, globex.config]);
  expect(directory.tenantsOfIssuer('https://shared.idp.test')).toEqual(['acme', 'globex']);
  expect(directory.tenantsOfIssuer('https://shared.idp.test/')).toEqual([]);
});

test('knows the tenant of a key id', () => {
  const directory = new Directory([acme.config, globex.config]);
  expect([directory.tenantOfKey('globex-key'), directory.tenantOfKey('nobody')]).toEqual(['globex', undefined]);
});
