import { describe, expect, test } from 'vitest';
import { NO_CLAIMS } from '../../../src/authn/kept-claims.ts';
import type { Principal } from '../../../src/authz/principals.ts';
import { RoleTable } from '../../../src/authz/role-table.ts';
import type { ClaimScalar } from '../../../src/config/policy-config.ts';
import { binding, role } from '../../fakes/explain.ts';

const NOBODY: Principal = {
  subject: undefined,
  keyId: undefined,
  certificateId: 'dns:nobody.test',
  claims: NO_CLAIMS,
};

function holds(changes: Parameters<typeof binding>[0], principal: Partial<Principal>): boolean {
  const table = new RoleTable({ roles: [role()], bindings: [binding({ subjects: [], ...changes })] });
  return table.grantsOf({ ...NOBODY, ...principal }).length > 0;
}

describe('a binding by certificate', () => {
  const below = (pattern: string, certificateId: string): boolean =>
    holds({ certificates: [pattern] }, { certificateId });

  test('takes all ids below a path, by whole segments', () => {
    for (const id of ['spiffe://acme.example/batch/a', 'spiffe://acme.example/batch/a/b']) {
      expect(below('spiffe://acme.example/batch/*', id), id).toBe(true);
    }
    for (const id of [
      'spiffe://acme.example/batch',
      'spiffe://acme.example/batches/a',
      'spiffe://acme.example/a/batch/b',
      'spiffe://globex.example/batch/a',
      'dns:acme.example',
    ]) {
      expect(below('spiffe://acme.example/batch/*', id), id).toBe(false);
    }
  });

  test('takes all ids of a trust domain, and of no other', () => {
    expect(below('spiffe://acme.example/*', 'spiffe://acme.example/a')).toBe(true);
    expect(below('spiffe://acme.example/*', 'spiffe://acme.example.evil/a')).toBe(false);
    expect(below('spiffe://acme.example/*', 'spiffe://evil/acme.example/a')).toBe(false);
  });

  test('takes an id that is written out for itself alone', () => {
    expect(below('spiffe://acme.example/batch', 'spiffe://acme.example/batch')).toBe(true);
    expect(below('spiffe://acme.example/batch', 'spiffe://acme.example/batch/a')).toBe(false);
  });
});

describe('a binding by claims', () => {
  const token = (claims: Record<string, readonly ClaimScalar[]>): Partial<Principal> => ({
    subject: 'alice',
    claims: { ...NO_CLAIMS, matched: new Map(Object.entries(claims)) },
  });
  const claims = [
    { path: '/groups', values: ['ml', 'ops'] },
    { path: '/department', values: ['research'] },
  ];

  test('takes a token that says all of it', () => {
    expect(holds({ claims }, token({ '/groups': ['ops'], '/department': ['research'] }))).toBe(true);
    expect(holds({ claims }, token({ '/groups': ['ops'] }))).toBe(false);
    expect(holds({ claims }, token({ '/groups': ['other'], '/department': ['research'] }))).toBe(false);
    expect(holds({ claims }, token({}))).toBe(false);
  });

  test('takes nobody when it asks for nothing', () => {
    expect(holds({ claims: [] }, token({ '/groups': ['ops'] }))).toBe(false);
  });

  test('counts as the token’s, whose scopes decide', () => {
    const table = new RoleTable({ roles: [role()], bindings: [binding({ subjects: [], claims })] });
    const [held] = table.grantsOf({ ...NOBODY, ...token({ '/groups': ['ml'], '/department': ['research'] }) });
    expect(held).toMatchObject({ byToken: true, byKey: false, byCertificate: false });
  });

  test('is one way among others of the same binding', () => {
    expect(holds({ claims, keys: ['batch'] }, { keyId: 'batch' })).toBe(true);
  });
});
