import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Directory } from '../../../src/authn/directory.ts';
import { apiKeysOf, openTenant, packTenant } from '../../../src/config/stored-tenant.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { fakeTenant } from '../../fakes/trust.ts';

const whole: TenantConfig = {
  ...fakeTenant('acme').config,
  apiKeys: [
    { id: 'batch', sha256: 'ab'.repeat(32), expiresAtSeconds: undefined, revoked: false },
    {
      ...{ id: 'old', sha256: 'cd'.repeat(32), expiresAtSeconds: 1_900_000_000, revoked: true },
      previous: { sha256: 'ef'.repeat(32), expiresAtSeconds: 1_800_000_000 },
      ...{ scopes: ['a'], addresses: ['10.0.0.0/8'], deniedAddresses: [], models: ['fraud-*'], versions: ['1'] },
    },
  ],
  roles: [
    {
      ...{ name: 'r', methods: ['a.B/*'], models: ['é*'], versions: ['*'], condition: '"ü" in call.metadata' },
      ...{ mode: 'shadow', scopes: ['s'], source: 'tenants/acme.yaml:1 roles[0]' },
      stepUp: { acrValues: ['gold'], maxAgeMs: 1000, amr: [] },
    },
  ],
  bindings: [
    {
      ...{ role: 'r', subjects: ['*'], keys: [], certificates: ['dns:x'], source: 'tenants/acme.yaml:2 bindings[0]' },
      claims: [{ path: '/groups', values: ['admins', 7, true] }],
    },
  ],
  denials: [
    {
      name: 'none',
      source: 'tenants/acme.yaml:3 denyRules[0]',
      who: { subjects: [], keys: ['old'], certificates: [] },
    },
  ],
};

describe('a tenant as a generation holds it', () => {
  test('is opened as it was built', () => {
    expect(openTenant(packTenant(whole))).toStrictEqual(whole);
    const { denials: _none, ...plain } = whole;
    expect(openTenant(packTenant(plain))).toStrictEqual(plain);
    expect(apiKeysOf(packTenant(whole))).toStrictEqual(whole.apiKeys);
  });

  test('is itself when it is not packed', () => {
    expect(openTenant(whole)).toBe(whole);
    expect(apiKeysOf(whole)).toBe(whole.apiKeys);
  });

  test('shares its keys and rules with the thread that it is sent to, and has them nowhere else', () => {
    const packed = packTenant(whole);
    for (const key of ['apiKeys', 'roles', 'bindings', 'denials']) expect(packed).not.toHaveProperty(key);
    expect(packed.packed.keys).toBeInstanceOf(SharedArrayBuffer);
    expect(packed.packed.rules).toBeInstanceOf(SharedArrayBuffer);
    const sent = structuredClone(packed);
    new Uint8Array(packed.packed.keys)[0] = 0x20;
    expect(new Uint8Array(sent.packed.keys)[0]).toBe(0x20);
  });

  test('is known by its keys in the directory, and is not when it has left', () => {
    const packed = packTenant(whole);
    const directory = new Directory([packed]);
    expect(directory.keyOf('old')).toEqual({ tenant: whole.id, config: whole.apiKeys[1] });
    directory.leave(packed);
    expect(directory.keyOf('old')).toBeUndefined();
  });

  test('differs from another by what is packed', () => {
    const { slot: _slot, ...other } = { ...whole, roles: [] };
    const { slot: _same, ...same } = whole;
    expect(isDeepStrictEqual(packTenant(same), packTenant(same))).toBe(true);
    expect(isDeepStrictEqual(packTenant(same), packTenant(other))).toBe(false);
  });
});
