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
  expect([directory.keyOf('globex-key')?.tenant, directory.keyOf('nobody')]).toEqual(['globex', undefined]);
});

test('follows tenants that come and go, whoever they share an issuer with', () => {
  const directory = new Directory([acme.config, globex.config]);
  directory.leave(acme.config);
  expect(directory.tenantsOfIssuer('https://shared.idp.test')).toEqual(['globex']);
  expect(directory.keyOf('acme-key')?.tenant).toBeUndefined();
  directory.leave(globex.config);
  expect(directory.tenantsOfIssuer('https://shared.idp.test')).toEqual([]);
  directory.enter(acme.config);
  expect(directory.tenantsOfIssuer('https://shared.idp.test')).toEqual(['acme']);
  expect(directory.keyOf('acme-key')?.tenant).toBe('acme');
});

test('leaves a key to whom it went', () => {
  const taken = { ...globex.config, apiKeys: acme.config.apiKeys };
  const directory = new Directory([taken, acme.config]);
  directory.leave(acme.config);
  expect(directory.keyOf('acme-key')?.tenant).toBe('globex');
});
