import { describe, expect, it } from 'vitest';
import { type Deniable, DenyList } from '../../../src/authn/deny-list.ts';
import { Revocations } from '../../../src/authn/revocations.ts';
import type { DeniedCredential } from '../../../src/config/credentials-config.ts';
import { micros, tenantId } from '../../fakes/trust.ts';

const certificate = { serial: '1A2B', issuer: 'C=DE, O=Acme, CN=Acme CA', spiffeId: 'spiffe://acme.example/batch' };
const token = { issuer: 'https://idp.test', subject: 'alice', sessions: ['s1', 'j1'] };
const all: Deniable = { certificate, keyId: 'nightly', token };

function entry(kind: DeniedCredential['kind'], value: string, more: Partial<DeniedCredential> = {}): DeniedCredential {
  return { kind, value, source: 'acme.yaml:1', ...more };
}
const finds = (denied: DeniedCredential, of: Deniable = all, now = 100): boolean =>
  new DenyList([denied]).find(of, micros(now)) === denied;

describe('a deny list', () => {
  it.each<[string, DeniedCredential]>([
    ['a serial number', entry('serial', '1A2B')],
    ['a SPIFFE id', entry('spiffe', 'spiffe://acme.example/batch')],
    ['a key', entry('key', 'nightly')],
    ['a subject', entry('subject', 'alice')],
    ['a session', entry('session', 's1')],
    ['a token', entry('session', 'j1')],
  ])('finds %s, and nobody without it', (_name, denied) => {
    expect(finds(denied)).toBe(true);
    const none = { certificate: { serial: '2', issuer: 'CN=x', spiffeId: undefined }, keyId: undefined };
    expect(finds(denied, { ...none, token: undefined })).toBe(false);
  });

  it('takes no name of one kind for one of another', () => {
    for (const kind of ['serial', 'spiffe', 'key', 'subject', 'session'] as const) {
      expect(finds(entry(kind, 'x y'), { ...all, keyId: `${kind} x y` })).toBe(false);
    }
    expect(finds(entry('key', 'alice'))).toBe(false);
    expect(finds(entry('subject', 's1'))).toBe(false);
  });

  it.each([
    ['as Node writes it', 'C=DE, O=Acme, CN=Acme CA', true],
    ['as OpenSSL writes it', 'C = DE, O = Acme, CN = Acme CA', true],
    ['as RFC 4514 writes it', 'CN=Acme CA,O=Acme,C=DE', true],
    ['of another CA', 'C=DE, O=Acme, CN=Acme CA 2', false],
    ['in part', 'CN=Acme CA', false],
  ])('knows a CA’s name %s', (_name, issuer, found) => {
    expect(finds(entry('serial', '1A2B', { issuer }))).toBe(found);
  });

  it.each([
    ['as Node writes it', 'C=DE, O=Acme\\, Inc., CN=\\"A\\" CA'],
    ['as OpenSSL writes it', 'C = DE, O = "Acme, Inc.", CN = "\\"A\\" CA"'],
    ['as RFC 4514 writes it', 'CN=\\"A\\" CA,O=Acme\\, Inc.,C=DE'],
  ])('knows a CA’s name with a comma and quotes in it %s', (_name, issuer) => {
    const of = { ...all, certificate: { ...certificate, issuer: 'C=DE, O=Acme\\, Inc., CN=\\"A\\" CA' } };
    expect(finds(entry('serial', '1A2B', { issuer }), of)).toBe(true);
    expect(finds(entry('serial', '1A2B', { issuer: issuer.replace('Inc', 'Ltd') }), of)).toBe(false);
  });

  it('holds an entry until its end, and not after', () => {
    const denied = entry('key', 'nightly', { untilSeconds: 100 });
    expect([finds(denied, all, 99.999), finds(denied, all, 100)]).toEqual([true, false]);
  });

  it('goes on to an entry that is in force when one of the same name is not', () => {
    const list = new DenyList([
      entry('subject', 'alice', { untilSeconds: 1 }),
      entry('subject', 'alice', { issuer: 'https://other.test' }),
      entry('subject', 'alice', { source: 'acme.yaml:3' }),
    ]);
    expect(list.find(all, micros(100))?.source).toBe('acme.yaml:3');
  });
});

describe('what is revoked for all tenants', () => {
  it('counts up when the list is another one, and only then', () => {
    const revocations = new Revocations([entry('key', 'a')]);
    const epochs = [revocations.epochOf(tenantId('acme')), revocations.epochOf(tenantId('globex'))];
    const counted = (): readonly number[] => epochs.map(({ value }) => value);
    expect(revocations.deny([entry('key', 'a')])).toBe(false);
    expect(counted()).toEqual([0, 0]);
    expect(revocations.deny([entry('key', 'nightly')])).toBe(true);
    expect(counted()).toEqual([1, 1]);
    expect(revocations.denied(all, micros(1))?.value).toBe('nightly');
  });

  it('counts up for one tenant alone when its CAs have said something', () => {
    const revocations = new Revocations();
    const [acme, globex] = [revocations.epochOf(tenantId('acme')), revocations.epochOf(tenantId('globex'))];
    revocations.setLists(tenantId('acme'), []);
    revocations.changed(tenantId('acme'));
    expect([acme.value, globex.value]).toEqual([2, 0]);
    expect(revocations.epochOf(tenantId('acme'))).toBe(acme);
  });
});
