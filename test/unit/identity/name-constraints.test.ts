import { expect, test } from 'vitest';
import type { NameConstraintFacts } from '../../../src/identity/certificate-facts.ts';
import { unconstrainedName } from '../../../src/identity/name-constraints.ts';

const NONE = { dns: [], uris: [] };
const held = (constraints: Partial<NameConstraintFacts>): { readonly nameConstraints: NameConstraintFacts } => ({
  nameConstraints: { permitted: NONE, excluded: NONE, others: false, ...constraints },
});
const dns = (name: string, constraints: Partial<NameConstraintFacts>): string | undefined =>
  unconstrainedName({ dnsNames: [name], uris: [] }, held(constraints));
const uri = (name: string, constraints: Partial<NameConstraintFacts>): string | undefined =>
  unconstrainedName({ dnsNames: [], uris: [name] }, held(constraints));

test.each([
  ['acme.example', 'acme.example', true],
  ['a.acme.example', 'acme.example', true],
  ['A.ACME.example', 'acme.Example', true],
  ['evilacme.example', 'acme.example', false],
  ['acme.example.evil', 'acme.example', false],
  ['acme.example', '.acme.example', false],
  ['a.acme.example', '.acme.example', true],
  ['anything', '', true],
  ['*.acme.example', 'acme.example', true],
  ['*.example', 'acme.example', false],
])('the DNS name %s below permitted %j: %s', (name, base, permitted) => {
  expect(dns(name, { permitted: { dns: [base], uris: [] } }) === undefined).toBe(permitted);
});

test.each([
  ['acme.example', 'acme.example', false],
  ['a.acme.example', 'acme.example', false],
  ['*.example', 'acme.example', false],
  ['*.acme.example', 'acme.example', false],
  ['other.example', 'acme.example', true],
])('the DNS name %s beside excluded %s: %s', (name, base, free) => {
  expect(dns(name, { excluded: { dns: [base], uris: [] } }) === undefined).toBe(free);
  // What is excluded stays so, whatever is permitted.
  expect(dns(name, { permitted: { dns: [''], uris: [] }, excluded: { dns: [base], uris: [] } }) === undefined).toBe(
    free,
  );
});

test.each([
  ['spiffe://acme.example/x', 'acme.example', true],
  ['spiffe://ACME.example/x', 'acme.example', true],
  ['spiffe://a.acme.example/x', 'acme.example', false],
  ['spiffe://a.acme.example/x', '.acme.example', true],
  ['spiffe://globex.example/acme.example', 'acme.example', false],
  ['spiffe://globex.example@acme.example/x', 'acme.example', true],
  ['spiffe://acme.example@globex.example/x', 'acme.example', false],
  ['https://acme.example:443/x', 'acme.example', true],
  ['urn:acme.example', 'acme.example', false],
])('the URI %s below permitted %s: %s', (name, base, permitted) => {
  expect(uri(name, { permitted: { dns: [], uris: [base] } }) === undefined).toBe(permitted);
});

test('a kind of name that no constraint speaks of is free', () => {
  expect(dns('any.test', { permitted: { dns: [], uris: ['acme.example'] } })).toBe(undefined);
  expect(uri('urn:x', { permitted: { dns: ['acme.example'], uris: [] } })).toBe(undefined);
  expect(unconstrainedName({ dnsNames: ['any.test'], uris: [] }, { nameConstraints: undefined })).toBe(undefined);
});
