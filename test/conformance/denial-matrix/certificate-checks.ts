/**
 * What is wrong with the client's certificate: refused at the door, before there is a call. What the client sends in the same
 * flight is never looked at. A certificate that ends while its client is connected is refused with each call.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createCa, type IssuedCertificate, issueClient } from '../../../src/identity/issue.ts';
import { craftClient } from '../../fakes/crafted-certificates.ts';
import type { Actors } from './actors.ts';
import { always, BOTH, type Check, type NotShown, OPEN } from './check.ts';

export function certificateChecks({ acme, globex }: Actors): readonly Check[] {
  const { ca, spiffeId } = acme.pki;
  const withOther = ({ certPem, keyPem }: IssuedCertificate) => always({ access: { certPem, keyPem } });
  const good = withOther(craftClient(ca, spiffeId));
  const common = { kind: 'certificate', satisfied: good, strict: OPEN } as const;
  const lastHour = new Date(Date.now() - 3_600_000);
  const unknownName = 'unknown.models.test';
  const noConfiguration: NotShown = { notShown: 'no configuration is without this check' };
  return [
    {
      ...common,
      aspect: 'no',
      name: 'no certificate',
      refusal: { door: 'TLS_CLIENT_CERT_REQUIRED' },
      attack: always({ access: { certPem: undefined, keyPem: undefined } }),
      lax: noConfiguration,
    },
    {
      ...common,
      aspect: 'wrong',
      name: 'a certificate of another trust domain, by the tenant’s own CA',
      refusal: { door: 'TLS_CLIENT_CERT_UNACCEPTABLE' },
      attack: withOther(craftClient(ca, 'spiffe://initech.example/client')),
      lax: { acme: { trustDomain: undefined } },
    },
    {
      ...common,
      aspect: 'wrong',
      name: 'a certificate that is not for clients',
      refusal: { door: 'TLS_CLIENT_CERT_UNACCEPTABLE' },
      attack: withOther(craftClient(ca, spiffeId, { extendedKeyUsage: [] })),
      lax: noConfiguration,
    },
    {
      ...common,
      aspect: 'wrong',
      name: 'a CA as a client',
      refusal: { door: 'TLS_CLIENT_CERT_UNACCEPTABLE' },
      attack: withOther(craftClient(ca, spiffeId, { basicConstraints: { ca: true, pathLength: undefined } })),
      lax: noConfiguration,
    },
    {
      ...common,
      aspect: 'expired',
      name: 'a certificate that has expired',
      refusal: { door: 'TLS_CLIENT_CERT_UNTRUSTED' },
      attack: withOther(craftClient(ca, spiffeId, { notAfter: lastHour, notBefore: new Date(0) })),
      lax: noConfiguration,
    },
    ...ending({ acme }),
    {
      ...common,
      aspect: 'weak',
      name: 'a certificate with a weak key',
      refusal: { door: 'TLS_CLIENT_CERT_UNACCEPTABLE' },
      attack: withOther(
        craftClient(ca, spiffeId, {}, generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 })),
      ),
      lax: noConfiguration,
    },
    {
      ...common,
      aspect: 'foreign',
      name: 'another tenant’s certificate',
      refusal: { door: 'TLS_CLIENT_CERT_UNTRUSTED' },
      strict: BOTH,
      attack: withOther(globex.pki.client),
      lax: { acme: { clientCaPem: ca.certPem + globex.pki.ca.certPem, trustDomain: undefined }, globex: {} },
    },
    {
      ...common,
      aspect: 'foreign',
      name: 'the certificate at another tenant’s name',
      refusal: { door: 'TLS_CLIENT_CERT_UNTRUSTED' },
      strict: BOTH,
      attack: always({ access: { serverName: globex.pki.serverName, caPem: globex.pki.ca.certPem } }),
      lax: { acme: {}, globex: { clientCaPem: ca.certPem, trustDomain: undefined } },
    },
    {
      ...common,
      aspect: 'foreign',
      name: 'a name that is nobody’s',
      refusal: { door: 'TLS_UNKNOWN_SERVER_NAME' },
      attack: always({ access: { serverName: unknownName, verifyName: false } }),
      lax: { acme: { serverNames: [unknownName] } },
    },
    {
      ...common,
      aspect: 'foreign',
      name: 'no server name',
      refusal: { door: 'TLS_SERVER_NAME_MISSING' },
      attack: always({ access: { serverName: undefined } }),
      lax: noConfiguration,
    },
  ];
}

/** One that is good when its client connects, and ends a day later: by itself, or with its CA. */
function ending({ acme }: Pick<Actors, 'acme'>): readonly Check[] {
  const { spiffeId, ca } = acme.pki;
  const brief = createCa({ commonName: 'a CA of a day', days: 1 });
  const lasting = createCa({ commonName: 'a CA of a week', days: 7 });
  const clientCaPem = ca.certPem + brief.certPem + lasting.certPem;
  const row = (name: string, ends: IssuedCertificate): Check => ({
    kind: 'certificate',
    aspect: 'expired',
    name,
    refusal: { status: 16, reason: 'CERTIFICATE_UNACCEPTABLE' },
    strict: { acme: { clientCaPem } },
    before: async (ground) => {
      await ground.connected(ends);
      ground.advance(25 * 3_600_000);
      // It stays so: what is right is right then as well.
      return () => Promise.resolve();
    },
    attack: always({ access: ends }),
    satisfied: always({ access: issueClient(lasting, { spiffeId, days: 7 }) }),
    lax: { notShown: 'no configuration is without this check' },
  });
  return [
    row('a certificate that ends while its client is connected', issueClient(lasting, { spiffeId, days: 1 })),
    row('a certificate whose CA ends while its client is connected', issueClient(brief, { spiffeId, days: 7 })),
  ];
}
