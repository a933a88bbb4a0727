import { expect, test } from 'vitest';
import { Authenticator } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import { KeyUses } from '../../../src/authn/key-uses.ts';
import { TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const NOW = TEST_NOW_SECONDS;
const acme = fakeTenant('acme');
const globex = fakeTenant('globex');

test('a key’s last use is told once, and again when it was used again', async () => {
  const keyUses = new KeyUses();
  const directory = new Directory([acme.config, globex.config]);
  const by = new Authenticator(acme.config, directory, { keyUses });
  const call = async (apiKey: string, seconds: number): Promise<void> => {
    const presented = parseCredentials(undefined, apiKey);
    if (!presented.ok) throw new Error(presented.error.kind);
    await by.authenticate(acme.peer(), presented.value, micros(seconds));
  };
  expect(keyUses.take()).toEqual([]);
  await call(acme.apiKey, NOW);
  await call(acme.apiKey, NOW + 5.5);
  expect(keyUses.take()).toEqual([{ tenant: 'acme', key: 'acme-key', atSeconds: NOW + 5 }]);
  expect(keyUses.take()).toEqual([]);
  // Who has not its secret has not used it, nor has who comes with another tenant's.
  await call('bk_acme-key_wrong', NOW + 6);
  await call(globex.apiKey, NOW + 6);
  expect(keyUses.take()).toEqual([]);
  await call(acme.apiKey, NOW + 7);
  expect(keyUses.take()).toEqual([{ tenant: 'acme', key: 'acme-key', atSeconds: NOW + 7 }]);
});
