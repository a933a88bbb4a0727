import { expect, it } from 'vitest';
import { Bucket, MAX_OTHER_MODELS, MAX_ROWS_OF_ALL, MIN_ROWS_OF_TENANT } from '../../../src/usage/bucket.ts';
import { numberOf } from '../../../src/usage/units.ts';

const MANY = 1_000;

function call(bucket: Bucket, tenant: string, caller: string, model: string, maxRows: number): void {
  const numbers = bucket.numbers(tenant, caller, model, maxRows);
  numbers[0] = (numbers[0] ?? 0) + 1;
}

function rows(bucket: Bucket, tenant: string): readonly string[] {
  return [...bucket.rows(tenant)].map(
    ({ caller, model, numbers }) => `${caller} ${model} ${numberOf(numbers, 'calls')}`,
  );
}

it('has as many rows of a tenant as it may, and the row after those is for others', () => {
  const bucket = new Bucket('2026-11-23T10');
  for (let i = 0; i < 3; i++) call(bucket, 'acme', `c${i}`, 'm', 3);
  expect(rows(bucket, 'acme')).toEqual(['c0 m 1', 'c1 m 1', 'c2 m 1']);
  for (let i = 0; i < 10; i++) call(bucket, 'acme', `c${i}`, 'm', 3);
  expect(rows(bucket, 'acme')).toEqual(['c0 m 2', 'c1 m 2', 'c2 m 2', 'null m 7']);
  // Another tenant has its own.
  call(bucket, 'umbra', 'c9', 'm', 3);
  expect(rows(bucket, 'umbra')).toEqual(['c9 m 1']);
});

it('takes in no name any more once others stand together, so that a row with a name has all of it', () => {
  const bucket = new Bucket('2026-11-23T10');
  for (const caller of ['a', 'b', 'c']) call(bucket, 'acme', caller, 'm', 2);
  call(bucket, 'acme', 'c', 'm', 100);
  expect(rows(bucket, 'acme')).toEqual(['a m 1', 'b m 1', 'null m 2']);
});

it('tells models of others apart up to the limit, and counts the rest together', () => {
  const bucket = new Bucket('2026-11-23T10');
  call(bucket, 'acme', 'a', 'm', 1);
  for (let i = 0; i < MAX_OTHER_MODELS; i++) call(bucket, 'acme', 'b', `m${i}`, 1);
  expect(rows(bucket, 'acme')).toHaveLength(1 + MAX_OTHER_MODELS);
  for (let i = 0; i < 7; i++) call(bucket, 'acme', 'b', `n${i}`, 1);
  expect(rows(bucket, 'acme')).toHaveLength(1 + MAX_OTHER_MODELS + 1);
  expect(rows(bucket, 'acme').at(-1)).toBe('null null 7');
});

it('gives each of many tenants fewer rows, and never less than its least', () => {
  const tenants = MAX_ROWS_OF_ALL / MIN_ROWS_OF_TENANT + 1;
  const bucket = new Bucket('2026-11-23T10');
  for (let i = 0; i < tenants; i++) call(bucket, `t${i}`, 'a', 'm', MANY);
  for (let i = 0; i < MIN_ROWS_OF_TENANT; i++) call(bucket, 't0', `c${i}`, 'm', MANY);
  expect(rows(bucket, 't0')).toHaveLength(MIN_ROWS_OF_TENANT + 1);
  expect(rows(bucket, 't0').at(-1)).toBe('null m 1');
});

it('keeps pairs apart whatever is in their names', () => {
  const bucket = new Bucket('2026-11-23T10');
  const pairs = [
    ['a', 'b/c'],
    ['a/b', 'c'],
    ['', '*'],
    ['*', ''],
    ['1:a', ''],
    ['', '1:a'],
  ] as const;
  for (const [caller, model] of pairs) call(bucket, 'acme', caller, model, MANY);
  expect(rows(bucket, 'acme')).toEqual(pairs.map(([caller, model]) => `${caller} ${model} 1`));
});
