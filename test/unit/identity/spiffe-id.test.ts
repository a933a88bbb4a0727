import { expect, test } from 'vitest';
import { parseSpiffeId } from '../../../src/identity/spiffe-id.ts';

test.each([
  ['spiffe://acme.example/client', 'acme.example', '/client'],
  ['spiffe://a/b', 'a', '/b'],
  ['spiffe://acme_1.example-2/ns/prod/sa/Batch.Job-1_x', 'acme_1.example-2', '/ns/prod/sa/Batch.Job-1_x'],
  ['spiffe://acme.example', 'acme.example', ''],
  ['spiffe://acme.example/.../..a', 'acme.example', '/.../..a'],
])('%s is a SPIFFE id', (uri, trustDomain, path) => {
  expect(parseSpiffeId(uri)).toEqual({ uri, trustDomain, path });
});

test('scheme and trust domain have no case, the path has', () => {
  expect(parseSpiffeId('SPIFFE://Acme.EXAMPLE/Client')?.uri).toBe('spiffe://acme.example/Client');
});

test.each([
  'spiffe://acme.example/',
  'spiffe://acme.example/a/',
  'spiffe://acme.example//a',
  'spiffe://acme.example/a//b',
  'spiffe://acme.example/.',
  'spiffe://acme.example/../a',
  'spiffe://acme.example/a/..',
  'spiffe://acme.example:8443/a',
  'spiffe://user@acme.example/a',
  'spiffe://acme.example/a?b',
  'spiffe://acme.example/a#b',
  'spiffe://acme.example/%61',
  'spiffe://acme%2eexample/a',
  'spiffe://acme.example/a b',
  'spiffe://acme.example/ä',
  'spiffe://acme.example/a\n',
  'spiffe:///a',
  'spiffe:/acme.example/a',
  'spiffe://',
  'https://acme.example/a',
  ' spiffe://acme.example/a',
  '',
])('%j is none', (text) => {
  expect(parseSpiffeId(text)).toBeUndefined();
});

test('an id of 2048 bytes is one, of 2049 none; a trust domain of 255 is one, of 256 none', () => {
  const start = 'spiffe://a/';
  expect(parseSpiffeId(start + 'x'.repeat(2048 - start.length))).toBeDefined();
  expect(parseSpiffeId(start + 'x'.repeat(2049 - start.length))).toBeUndefined();
  expect(parseSpiffeId(`spiffe://${'a'.repeat(255)}/x`)).toBeDefined();
  expect(parseSpiffeId(`spiffe://${'a'.repeat(256)}/x`)).toBeUndefined();
});
