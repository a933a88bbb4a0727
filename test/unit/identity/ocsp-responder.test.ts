import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { der } from '../../../src/identity/der.ts';
import { createCa } from '../../../src/identity/issue.ts';
import { responderOf } from '../../../src/identity/ocsp-responder.ts';
import { craftClient } from '../../fakes/crafted-certificates.ts';
import { type Access, informationAccess } from '../../fakes/ocsp-responses.ts';

const ca = createCa({ commonName: 'acme CA', days: 1 });
const named = (...accesses: readonly Access[]): string | undefined => {
  const others = accesses.length === 0 ? {} : { others: [informationAccess(accesses)] };
  return responderOf(new X509Certificate(craftClient(ca, 'spiffe://acme.test/a', others).certPem));
};
const issuers = { method: '1.3.6.1.5.5.7.48.2', url: 'http://ca.test/ca.crt' };

describe('the responder that a certificate names', () => {
  it.each<[string, readonly Access[], string | undefined]>([
    ['one', [{ url: 'http://ocsp.test/' }], 'http://ocsp.test/'],
    ['one by https', [{ url: 'https://ocsp.test/a?b' }], 'https://ocsp.test/a?b'],
    ['the first of two', [{ url: 'http://a.test/' }, { url: 'http://b.test/' }], 'http://a.test/'],
    ['one after where the CA’s certificate is', [issuers, { url: 'http://ocsp.test/' }], 'http://ocsp.test/'],
    ['one after one that cannot be asked', [{ url: 'ldap://a.test/' }, { url: 'http://b.test/' }], 'http://b.test/'],
    ['one after what is no URL', [{ url: 'http://' }, { url: 'http://b.test/' }], 'http://b.test/'],
    [
      'one of the greatest length',
      [{ url: `http://a.test/${'a'.repeat(2_034)}` }],
      `http://a.test/${'a'.repeat(2_034)}`,
    ],
    ['none that is longer', [{ url: `http://a.test/${'a'.repeat(2_035)}` }], undefined],
    ['none, but where the CA’s certificate is', [issuers], undefined],
    ['none of another kind', [{ url: 'file:///etc/passwd' }, { url: 'unix:/run/admin.sock' }], undefined],
    ['none at all', [], undefined],
  ])('is %s', (_name, accesses, expected) => {
    expect(named(...accesses)).toBe(expected);
  });

  it('is none when the extension cannot be read', () => {
    const broken = {
      ...informationAccess([]),
      value: [der.oid('1.3.6.1.5.5.7.1.1'), der.octetString(Buffer.from([1]))],
    };
    const certificate = craftClient(ca, 'spiffe://acme.test/a', { others: [broken] });
    expect(responderOf(new X509Certificate(certificate.certPem))).toBeUndefined();
  });
});
