import { expect, test } from 'vitest';
import { idleDenials } from '../../../src/config/idle-denials.ts';
import { KnownMethods } from '../../../src/config/known-methods.ts';
import type { DenyConfig } from '../../../src/config/policy-config.ts';
import { binding, INFER, LIVE, LOAD, role } from '../../fakes/explain.ts';

const known = new KnownMethods(['triton']);
const SERVICE = 'inference.GRPCInferenceService';

function rule(changes: Partial<DenyConfig> = {}): DenyConfig {
  return { name: 'no', models: ['secret'], source: 'tenants/acme.yaml:40 denyRules[0]', ...changes };
}

function warned(...denials: readonly DenyConfig[]): readonly string[] {
  return idleDenials({ roles: [role()], bindings: [binding()], denials }, known).map(
    ({ index, why }) => `${index} ${why}`,
  );
}

test('a rule that refuses something and not everything is meant', () => {
  for (const changes of [
    {},
    { methods: [INFER] },
    { methods: ['*'] },
    { methods: [`${SERVICE}/*`] },
    { versions: ['3'] },
  ]) {
    expect(warned(rule(changes)), JSON.stringify(changes)).toEqual([]);
  }
});

test('a rule that is narrowed by nothing refuses everything', () => {
  const all: DenyConfig = { name: 'no', source: 'a' };
  expect(warned(all)).toEqual(['0 refuses every call of the tenant']);
  expect(warned({ ...all, methods: ['*'], models: ['*'], versions: ['*'] })).toEqual([
    '0 refuses every call of the tenant',
  ]);
  expect(warned({ ...all, mode: 'shadow' })).toEqual([]);
  expect(warned({ ...all, condition: 'caller.acr == ""' })).toEqual([]);
  expect(warned({ ...all, addresses: ['10.0.0.0/8'] })).toEqual([]);
});

test('a rule for methods that no role has refuses what is refused without it', () => {
  expect(warned(rule({ methods: [LOAD] }))).toEqual([
    '0 refuses methods that no role has: they are refused without it',
  ]);
  expect(warned(rule({ methods: [LOAD, INFER] }))).toEqual([]);
});

test('a rule for models of methods that name none refuses nothing', () => {
  expect(warned(rule({ methods: [LIVE] }))).toEqual([
    '0 is for models, and none of its methods names one: it refuses nothing',
  ]);
  expect(warned({ name: 'no', methods: [LIVE], source: 'a' })).toEqual([]);
});

test('a rule that another one makes needless is found, wherever it stands', () => {
  const wide = rule({ name: 'wide', models: ['secret', 'other'] });
  expect(warned(wide, rule({ name: 'narrow' }))).toEqual(['1 has no effect: wide refuses all of it']);
  expect(warned(rule({ name: 'narrow' }), wide)).toEqual(['0 has no effect: wide refuses all of it']);
  expect(warned(rule({ name: 'one' }), rule({ name: 'two' }))).toEqual(['1 has no effect: one refuses all of it']);
  expect(warned({ ...wide, mode: 'shadow' }, rule({ name: 'narrow' }))).toEqual([]);
  expect(warned({ ...wide, condition: 'caller.acr == ""' }, rule({ name: 'narrow' }))).toEqual([]);
  expect(warned({ ...wide, who: { subjects: ['a'], keys: [], certificates: [] } }, rule({ name: 'narrow' }))).toEqual(
    [],
  );
});

test('a name that stands twice would make the record say two things', () => {
  expect(warned(rule(), rule({ models: ['other'] }))).toEqual(['1 has the name of another']);
});

test('a file that is made to be compared without end is not', () => {
  const models = Array.from({ length: 1000 }, (_, index) => `m${index}`);
  const denials = Array.from({ length: 1000 }, (_, index) =>
    rule({ name: `n${index}`, models: [...models, `x${index}`] }),
  );
  expect(warned(...denials)).toEqual([]);
});
