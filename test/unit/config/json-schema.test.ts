/**
 * The JSON Schemas hold what the loader takes, and the copies beside the example are the ones that the program prints.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type FileKind, jsonSchema } from '../../../src/config/json-schema.ts';
import { SMALL_MAIN, SMALL_TENANT } from '../../fakes/configuration.ts';
import { validate } from '../../fakes/json-schema-validator.ts';

const EXAMPLE = new URL('../../../deploy/example/config/', import.meta.url);
const example = (path: string): string => readFileSync(new URL(path, EXAMPLE), 'utf8');
const violations = (kind: FileKind, text: string): readonly string[] => validate(jsonSchema(kind), parse(text));

describe('the schema of the main file', () => {
  test.each([
    ['the example', example('bulkhead.yaml')],
    ['the example of an egress sidecar', example('egress.yaml')],
    ['a small one', SMALL_MAIN],
  ])('takes %s', (_, text) => {
    expect(violations('main', text)).toEqual([]);
  });

  test.each([
    ['an unknown key', `${SMALL_MAIN}colour: red\n`, 'colour: is not known'],
    ['a size without unit', `${SMALL_MAIN}limits: { maxMessage: 5 }\n`, 'limits.maxMessage: is no string'],
    ['a missing key', SMALL_MAIN.replace('audit:\n  directory: audit\n', ''), 'audit: is missing'],
    ['no workers', `${SMALL_MAIN}workers: 0\n`, 'workers: fits no branch'],
  ])('refuses %s', (_, text, violation) => {
    expect(violations('main', text)).toEqual([violation]);
  });
});

describe('the schema of a tenant’s file', () => {
  test.each([
    ['the example of acme', example('tenants/acme.yaml')],
    ['the example of globex', example('tenants/globex.yaml')],
    ['a small one', SMALL_TENANT],
  ])('takes %s', (_, text) => {
    expect(violations('tenant', text)).toEqual([]);
  });

  test.each([
    [
      'an unknown key',
      SMALL_TENANT.replace('clientCa:', 'clientCA:'),
      ['clientCa: is missing', 'clientCA: is not known'],
    ],
    ['a rate without period', SMALL_TENANT.replace('100/s', '100'), ['quota.tenant.calls: is no string']],
    [
      'a symmetric algorithm',
      SMALL_TENANT.replace('[ES256]', '[HS256]'),
      ['issuers[0].algorithms[0]: is none of its values'],
    ],
    [
      'a method that is none',
      SMALL_TENANT.replace('ModelInfer]', 'Model Infer]'),
      ['roles[0].methods[1]: fits no pattern'],
    ],
  ])('refuses %s', (_, text, expected) => {
    expect(violations('tenant', text)).toEqual(expected);
  });
});

describe('every key', () => {
  test.each(['main', 'tenant'] as const)('of the %s file has a description that says what it is', (kind) => {
    expect(undescribed(jsonSchema(kind), '')).toEqual([]);
  });
});

type Schema = ReturnType<typeof jsonSchema>;

function undescribed(schema: Schema, path: string): readonly string[] {
  const missing: string[] = [];
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    if (typeof property === 'boolean') continue;
    const here = `${path}.${key}`;
    if ((property.description ?? '').length < 5) missing.push(here);
    const items = property.items;
    if (typeof items === 'object' && !Array.isArray(items)) missing.push(...undescribed(items, `${here}[]`));
    missing.push(...undescribed(property, here));
  }
  return missing;
}

describe('beside the example', () => {
  test.each([
    ['main', 'bulkhead'],
    ['tenant', 'tenant'],
  ] as const)('lies the schema of the %s file as the program prints it', (kind, name) => {
    expect(JSON.parse(example(`schema/${name}.schema.json`))).toEqual(jsonSchema(kind));
  });

  test('every file begins with the line that tells an editor its schema', () => {
    expect(example('bulkhead.yaml').split('\n')[0]).toBe('# yaml-language-server: $schema=schema/bulkhead.schema.json');
    expect(example('egress.yaml').split('\n')[0]).toBe(example('bulkhead.yaml').split('\n')[0]);
    const names = readdirSync(new URL('tenants/', EXAMPLE)).map((name) => `tenants/${name}`);
    const line = '# yaml-language-server: $schema=../schema/tenant.schema.json';
    expect(names.map((name) => example(name).split('\n')[0])).toEqual(names.map(() => line));
  });
});
