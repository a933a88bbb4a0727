import { expect, test } from 'vitest';
import type { Generation } from '../../../src/config/generation.ts';
import { changeOf } from '../../../src/config/generation-change.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { generationOf } from '../../fakes/in-process-sidecar.ts';
import { fakeTenant } from '../../fakes/trust.ts';

const acme = fakeTenant('acme').config;
const globex = { ...fakeTenant('globex').config, slot: 1 };
const umbrella = { ...fakeTenant('umbrella').config, slot: 2 };
const before = { ...generationOf([]), number: 7, tenants: [acme, globex] };
const after = (...tenants: readonly TenantConfig[]): Generation => ({ ...before, number: 8, tenants });

test('what leads from nothing is everything', () => {
  const change = changeOf(undefined, before);
  expect([change.from, change.tenants, change.removed]).toEqual([0, [acme, globex], []]);
});

test('tenants that are the same object, or of the same digest in the same slot, do not travel', () => {
  const change = changeOf(before, after(acme, { ...globex }));
  expect([change.from, change.tenants, change.removed]).toEqual([7, [], []]);
});

test('new ones and those that differ do, and of those that are gone the name', () => {
  const changed = { ...acme, digest: 'changed', byteAccountBytes: 1 };
  const change = changeOf(before, after(changed, umbrella));
  expect(change.tenants).toEqual([changed, umbrella]);
  expect(change.removed).toEqual(['globex']);
});

test('a tenant in another slot is another one', () => {
  expect(changeOf(before, after(acme, { ...globex, slot: 3 })).tenants).toEqual([{ ...globex, slot: 3 }]);
});

test('everything but the tenants travels always', () => {
  const { settings } = changeOf(before, { ...before, number: 8, workers: 3 });
  expect(settings).toMatchObject({ number: 8, workers: 3, limits: before.limits });
  expect('tenants' in settings).toBe(false);
});
