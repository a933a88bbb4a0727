import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  type CertificateTemplate,
  encodeCertificate,
  type NameConstraints,
} from '../../../src/identity/certificate-encoder.ts';
import { readCertificateFacts } from '../../../src/identity/certificate-facts.ts';
import { MAX_CHAIN, MAX_CLOCK_LAG_MS } from '../../../src/identity/chain.ts';
import { EXTENDED_KEY_USAGE } from '../../../src/identity/extended-key-usage.ts';
import {
  createCa,
  type IssuedCertificate,
  issueClient,
  issueServer,
  randomSerial,
  signCa,
} from '../../../src/identity/issue.ts';
import { acceptPeer, MAX_SERIAL_OCTETS, type Peer, type PeerTrust } from '../../../src/identity/peer.ts';
import { signatureWeakness } from '../../../src/identity/signature-strength.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import type { Result } from '../../../src/kernel/result.ts';
import type { TenantClaim } from '../../../src/tenancy/tenant.ts';
import { signedByOpenssl } from '../../fakes/crafted-certificates.ts';
import { tenantPki } from '../../fakes/pki.ts';
import { micros, tenantId } from '../../fakes/trust.ts';

const pki = tenantPki('acme');
const claim: TenantClaim = { id: tenantId('acme'), slot: 3, by: 'sni' };
const address = { address: '192.0.2.7', port: 50_123 };
const trust: PeerTrust = { trustDomain: pki.trustDomain, clientCas: [new X509Certificate(pki.ca.certPem)] };
const anyDomain: PeerTrust = { ...trust, trustDomain: undefined };
const nowSeconds = Date.now() / 1000;

function accept(pem: string, by: PeerTrust = trust, seconds = nowSeconds): Result<Peer, Denial> {
  return acceptPeer(claim, new X509Certificate(pem), address, by, micros(seconds));
}

function refusal(result: Result<Peer, Denial>): string {
  if (result.ok) return 'accepted';
  return result.error.kind === 'certificate_unacceptable' ? result.error.why : result.error.kind;
}

/** A client certificate as issued, but for `changes`. */
function craft(changes: Partial<CertificateTemplate>, ca: IssuedCertificate = pki.ca): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const template: CertificateTemplate = {
    serial: randomSerial(),
    commonName: 'crafted',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    publicKey,
    basicConstraints: { ca: false, pathLength: undefined },
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [EXTENDED_KEY_USAGE.clientAuth],
    subjectAltNames: [{ kind: 'uri', uri: pki.spiffeId }],
    version: 3,
    ...changes,
  };
  return encodeCertificate(template, {
    certificate: new X509Certificate(ca.certPem),
    privateKey: createPrivateKey(ca.keyPem),
  });
}

test('the client of a tenant is accepted, with the facts of its certificate', () => {
  const result = accept(pki.client.certPem);
  if (!result.ok) throw new Error(refusal(result));
  const certificate = new X509Certificate(pki.client.certPem);
  expect(result.value).toMatchObject({ claim, certificateId: pki.spiffeId, address: '192.0.2.7', port: 50_123 });
  expect(result.value.certificate).toEqual({
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: 'CN=acme client',
    serial: certificate.serialNumber.replace(/^0+/, ''),
    issuer: 'CN=acme test CA',
    spiffeId: pki.spiffeId,
    dnsNames: [],
    notAfterSeconds: certificate.validToDate.getTime() / 1000,
  });
});

test('without a SPIFFE id the first DNS name is the identity, in lower case', () => {
  const client = issueClient(pki.ca, { dnsNames: ['Batch.Acme.Example', 'other.example'], days: 1 });
  const result = accept(client.certPem, anyDomain);
  expect(result.ok && result.value.certificateId).toBe('dns:batch.acme.example');
  expect(result.ok && result.value.certificate.dnsNames).toEqual(['batch.acme.example', 'other.example']);
  expect(refusal(accept(client.certPem))).toBe('no SPIFFE id of trust domain acme.example');
});

describe('a leaf is refused', () => {
  test.each<[string, Partial<CertificateTemplate>]>([
    ['serial number is not positive', { serial: Buffer.from([0]) }],
    ['serial number is not positive', { serial: Buffer.from([0xff]) }],
    [
      'a key that may sign certificates or revocation lists cannot be a client',
      { keyUsage: ['digitalSignature', 'keyCertSign'] },
    ],
    [
      'a key that may sign certificates or revocation lists cannot be a client',
      { keyUsage: ['digitalSignature', 'crlSign'] },
    ],
    ['no digitalSignature key usage', { keyUsage: ['keyEncipherment'] }],
    ['a CA certificate cannot be a client', { basicConstraints: { ca: true, pathLength: undefined } }],
    ['no clientAuth extended key usage', { extendedKeyUsage: [] }],
    ['no clientAuth extended key usage', { extendedKeyUsage: [EXTENDED_KEY_USAGE.serverAuth] }],
    ['no clientAuth extended key usage', { extendedKeyUsage: ['2.5.29.37.0'] }],
    ['neither a SPIFFE id nor a DNS name', { subjectAltNames: [] }],
    ['neither a SPIFFE id nor a DNS name', { subjectAltNames: [{ kind: 'uri', uri: 'https://acme.example/x' }] }],
    ['a wildcard is not an identity', { subjectAltNames: [{ kind: 'dns', name: '*.acme.example' }] }],
    [
      'a DNS name is malformed',
      { subjectAltNames: [{ kind: 'dns', name: 'a.example, URI:spiffe://acme.example/root' }] },
    ],
    ['a DNS name is malformed', { subjectAltNames: [{ kind: 'dns', name: 'a.example\0.evil' }] }],
    ['a SPIFFE id without a path is no client', { subjectAltNames: [{ kind: 'uri', uri: 'spiffe://acme.example' }] }],
    ['malformed SPIFFE id', { subjectAltNames: [{ kind: 'uri', uri: 'spiffe://acme.example/a//b' }] }],
    ['malformed SPIFFE id', { subjectAltNames: [{ kind: 'uri', uri: 'SPIFFE:acme.example/a' }] }],
    [
      'a SPIFFE certificate has one URI',
      {
        subjectAltNames: [
          { kind: 'uri', uri: 'spiffe://acme.example/a' },
          { kind: 'uri', uri: 'https://acme.example' },
        ],
      },
    ],
  ])('because of: %s', (why, changes) => {
    expect(refusal(accept(craft(changes), anyDomain))).toBe(why);
    // Counter-proof: the same certificate without the flaw gets in.
    expect(refusal(accept(craft({}), anyDomain))).toBe('accepted');
  });

  test('because it is of version 1', () => {
    expect(refusal(accept(craft({ version: 1 }), anyDomain))).toBe('certificate version 1, not 3');
  });

  test('because it is the CA itself', () => {
    expect(refusal(accept(pki.ca.certPem, anyDomain))).toBe('a CA certificate cannot be a client');
  });

  test('because it is a server certificate of the same CA', () => {
    expect(refusal(accept(pki.server.certPem, anyDomain))).toBe('no clientAuth extended key usage');
  });
});

test('a comma in a DNS name does not become a second name', () => {
  const pem = craft({ subjectAltNames: [{ kind: 'dns', name: 'a, URI:spiffe://acme.example/root' }] });
  expect(readCertificateFacts(new X509Certificate(pem).raw)).toMatchObject({
    dnsNames: ['a, URI:spiffe://acme.example/root'],
    uris: [],
  });
});

test('a SPIFFE id of another trust domain is refused, also under the tenant’s own CA', () => {
  const pem = craft({ subjectAltNames: [{ kind: 'uri', uri: 'spiffe://globex.example/client' }] });
  expect(refusal(accept(pem))).toBe('trust domain globex.example, not acme.example');
  expect(refusal(accept(pem, anyDomain))).toBe('accepted');
});

test('a certificate counts until its notAfter, and from its notBefore on, less what our clock may be behind', () => {
  const at = (seconds: number): string => refusal(accept(pem, trust, seconds));
  const begin = Math.floor(nowSeconds) - 60;
  const end = begin + 120;
  const pem = craft({ notBefore: new Date(begin * 1000), notAfter: new Date(end * 1000) });
  const lag = MAX_CLOCK_LAG_MS / 1000;
  expect(at(begin - lag)).toBe('accepted');
  expect(at(begin - lag - 0.001)).toBe('expired or not yet valid');
  expect(at(end - 0.001)).toBe('accepted');
  expect(at(end)).toBe('expired or not yet valid');
});

test('a serial number has at most 20 octets', () => {
  const serial = (octets: number): Buffer => Buffer.concat([Buffer.from([0x7f]), Buffer.alloc(octets - 1, 1)]);
  expect(refusal(accept(craft({ serial: serial(MAX_SERIAL_OCTETS) })))).toBe('accepted');
  expect(refusal(accept(craft({ serial: serial(MAX_SERIAL_OCTETS + 1) })))).toBe('serial number of 21 octets');
});

describe('a key or signature that is weak is refused', () => {
  test.each<[string, () => KeyObject]>([
    [
      'it has an RSA key of 1024 bits, less than 2048',
      () => generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey,
    ],
    ['it has a key on curve secp256k1', () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey],
    ['it has a key on curve secp224r1', () => generateKeyPairSync('ec', { namedCurve: 'secp224r1' }).publicKey],
    ['it has a key of type ed448', () => generateKeyPairSync('ed448').publicKey],
  ])('because %s', (why, publicKey) => {
    expect(refusal(accept(craft({ publicKey: publicKey() })))).toBe(why);
    const { publicKey: strong } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    expect(refusal(accept(craft({ publicKey: strong })))).toBe('accepted');
  });

  test.each<[string, string, readonly string[]]>([
    ['sha1', 'it has a signature by 1.2.840.10045.4.1', []],
    ['sha256', 'accepted', []],
    ['md5', 'it has a signature by 1.2.840.113549.1.1.4', ['rsa']],
    ['sha1', 'it has a signature by 1.2.840.113549.1.1.5', ['rsa']],
    ['sha384', 'accepted', ['rsa']],
    [
      'sha1',
      'it has a signature by 1.2.840.113549.1.1.10 with 1.3.14.3.2.26',
      ['rsa', '-sigopt', 'rsa_padding_mode:pss'],
    ],
    ['sha256', 'accepted', ['rsa', '-sigopt', 'rsa_padding_mode:pss']],
  ])('with %s: %s (%j)', (digest, verdict, [kind, ...options]) => {
    const { certPem, caPem } = signedByOpenssl(pki.spiffeId, {
      key: kind === 'rsa' ? 'rsa:2048' : 'ec',
      digest,
      options,
    });
    const by = { trustDomain: pki.trustDomain, clientCas: [new X509Certificate(caPem)] };
    expect(refusal(accept(certPem, by))).toBe(verdict);
  });

  test('of the tenant’s CA', () => {
    const { certPem, caPem } = signedByOpenssl(pki.spiffeId, { curve: 'secp256k1' });
    const by = { trustDomain: pki.trustDomain, clientCas: [new X509Certificate(caPem)] };
    expect(refusal(accept(certPem, by))).toBe("the tenant's CA has a key on curve secp256k1");
  });
});

test('two signature algorithms in one certificate are refused', () => {
  const der = new X509Certificate(pki.client.certPem).raw;
  const oid = Buffer.from('2a8648ce3d040302', 'hex');
  const facts = readCertificateFacts(der);
  expect([facts.signature.oid, facts.signature.consistent]).toEqual(['1.2.840.10045.4.3.2', true]);
  const mutant = Buffer.from(der);
  // The outer one, which no signature covers: ecdsa-with-SHA384.
  mutant.writeUInt8(3, mutant.lastIndexOf(oid) + oid.length - 1);
  expect(signatureWeakness(readCertificateFacts(mutant).signature)).toBe('two different signature algorithms');
});

describe('the chain', () => {
  test('of another tenant’s client is refused, whatever it says about itself', () => {
    const globex = createCa({ commonName: 'acme test CA', days: 1 });
    const impostor = issueClient(globex, { spiffeId: pki.spiffeId, days: 1 });
    expect(refusal(accept(impostor.certPem))).toBe("not signed by the tenant's CA");
    const lax: PeerTrust = { ...trust, clientCas: [new X509Certificate(globex.certPem)] };
    expect(refusal(accept(impostor.certPem, lax))).toBe('accepted');
  });

  test('needs a CA: a leaf cannot sign a leaf', () => {
    const forged = craft({}, pki.client);
    expect(refusal(accept(forged, { ...trust, clientCas: [new X509Certificate(pki.client.certPem)] }))).toBe(
      "not signed by the tenant's CA",
    );
  });

  test('ends when the CA has expired', () => {
    const end = Math.floor(nowSeconds) + 100;
    const ca = createCa({ commonName: 'short', days: 1, notAfter: new Date(end * 1000) });
    const client = issueClient(ca, { spiffeId: pki.spiffeId, days: 1 });
    const by = { ...trust, clientCas: [new X509Certificate(ca.certPem)] };
    expect(refusal(accept(client.certPem, by, end - 1))).toBe('accepted');
    expect(refusal(accept(client.certPem, by, end))).toBe("the tenant's CA certificate has expired");
  });

  /** A client that shows the CAs between it and these. */
  const through = (leaf: IssuedCertificate, middle: IssuedCertificate, cas: readonly IssuedCertificate[]): Peer => {
    const by = { ...trust, clientCas: cas.map(({ certPem }) => new X509Certificate(certPem)) };
    const chain = presented(leaf.certPem, [new X509Certificate(middle.certPem)]);
    const peer = acceptPeer(claim, chain, address, by, micros(nowSeconds));
    if (!peer.ok) throw new Error(refusal(peer));
    return peer.value;
  };
  const at = (seconds: number): Date => new Date((Math.floor(nowSeconds) + seconds) * 1000);
  const secondsOf = ({ endsAt }: Peer): number => endsAt / 1_000_000 - Math.floor(nowSeconds);

  test.each([
    [100, 200, 300],
    [200, 100, 300],
    [300, 200, 100],
    [100, 100, 100],
  ])(
    'ends with the first of its leaf (%i s), the CA between (%i s) and the tenant’s CA (%i s)',
    (own, between, top) => {
      const root = createCa({ commonName: 'root', days: 1, pathLength: 1, notAfter: at(top) });
      const middle = createCa({ commonName: 'middle', days: 1, notAfter: at(between) }, root);
      const leaf = issueClient(middle, { spiffeId: pki.spiffeId, days: 1, notAfter: at(own) });
      const peer = through(leaf, middle, [root]);
      expect(secondsOf(peer)).toBe(Math.min(own, between, top));
      expect(peer.remembered === peer.certificate.sha256).toBe(own <= Math.min(between, top));
      const by = { ...trust, clientCas: [new X509Certificate(root.certPem)] };
      const chain = presented(leaf.certPem, [new X509Certificate(middle.certPem)]);
      const then = (seconds: number): boolean => acceptPeer(claim, chain, address, by, micros(seconds)).ok;
      const end = peer.endsAt / 1_000_000;
      expect([then(end - 1), then(end)]).toEqual([true, false]);
    },
  );

  test('of a CA that was renewed ends with the certificate of it that ends last', () => {
    const root = createCa({ commonName: 'root', days: 1, notAfter: at(100) });
    const renewed = renewal(root, at(200));
    const leaf = issueClient(root, { spiffeId: pki.spiffeId, days: 1 });
    expect(secondsOf(through(leaf, root, [root]))).toBe(100);
    expect(secondsOf(through(leaf, root, [root, renewed]))).toBe(200);
    expect(secondsOf(through(leaf, root, [renewed, root]))).toBe(200);
    const both = { ...trust, clientCas: [root, renewed].map(({ certPem }) => new X509Certificate(certPem)) };
    const seconds = Math.floor(nowSeconds);
    expect(refusal(accept(leaf.certPem, both, seconds + 100))).toBe('accepted');
    expect(refusal(accept(leaf.certPem, both, seconds + 200))).toBe("the tenant's CA certificate has expired");
  });

  test('ends as late as by the CAs that it was judged by last, for the same peer', () => {
    const root = createCa({ commonName: 'root', days: 1, notAfter: at(100) });
    const leaf = issueClient(root, { spiffeId: pki.spiffeId, days: 1 });
    const peer = through(leaf, root, [root]);
    const before = peer.remembered;
    peer.judgedAgain(through(leaf, root, [root, renewal(root, at(200))]));
    expect(secondsOf(peer)).toBe(200);
    expect(peer.remembered).not.toBe(before);
  });

  test('may begin at any CA of a bundle', () => {
    const old = createCa({ commonName: 'old', days: 1 });
    const both = { ...trust, clientCas: [new X509Certificate(old.certPem), ...trust.clientCas] };
    expect(refusal(accept(pki.client.certPem, both))).toBe('accepted');
    expect(refusal(accept(pki.client.certPem, { ...trust, clientCas: [] }))).toBe("not signed by the tenant's CA");
  });

  test('is as long as it may be, and not one certificate longer', () => {
    const chainOf = (length: number): { readonly leaf: X509Certificate; readonly by: PeerTrust } => {
      let ca = createCa({ commonName: 'anchor', days: 1, pathLength: 20 });
      const by = { ...trust, clientCas: [new X509Certificate(ca.certPem)] };
      const above: X509Certificate[] = [];
      for (let index = 1; index < length; index += 1) {
        ca = createCa({ commonName: `ca ${index}`, days: 1, pathLength: 20 - index }, ca);
        above.unshift(new X509Certificate(ca.certPem));
      }
      return { leaf: presented(issueClient(ca, { spiffeId: pki.spiffeId, days: 1 }).certPem, above), by };
    };
    const verdict = (length: number): string => {
      const { leaf, by } = chainOf(length);
      return refusal(acceptPeer(claim, leaf, address, by, micros(nowSeconds)));
    };
    expect(verdict(MAX_CHAIN)).toBe('accepted');
    expect(verdict(MAX_CHAIN + 1)).toBe('certificate chain too long');
  });

  test('has no more CAs below one than its path length allows', () => {
    const verdict = (pathLength: number): string => {
      const root = createCa({ commonName: 'root', days: 1, pathLength });
      const middle = createCa({ commonName: 'middle', days: 1, pathLength: 0 }, root);
      const { certPem } = issueClient(middle, { spiffeId: pki.spiffeId, days: 1 });
      const leaf = presented(certPem, [new X509Certificate(middle.certPem)]);
      const by = { ...trust, clientCas: [new X509Certificate(root.certPem)] };
      return refusal(acceptPeer(claim, leaf, address, by, micros(nowSeconds)));
    };
    expect(verdict(1)).toBe('accepted');
    expect(verdict(0)).toBe('a CA with path length 0 above 1');
  });

  test('is refused when the CA that the client shows beside its leaf did not sign it', () => {
    const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
    const by = { ...trust, clientCas: [new X509Certificate(root.certPem)] };
    const genuine = createCa({ commonName: 'middle', days: 1 }, root);
    const impostor = createCa({ commonName: 'middle', days: 1 });
    const verdict = (signer: IssuedCertificate): string => {
      const { certPem } = issueClient(signer, { spiffeId: pki.spiffeId, days: 1 });
      const leaf = presented(certPem, [new X509Certificate(genuine.certPem)]);
      return refusal(acceptPeer(claim, leaf, address, by, micros(nowSeconds)));
    };
    expect(verdict(genuine)).toBe('accepted');
    expect(verdict(impostor)).toBe("not signed by the tenant's CA");
  });

  test('is held to the constraints of every CA of it, not of the last alone', () => {
    const verdict = (uriHost: string): string => {
      const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
      const held = { dns: [], uriHosts: [uriHost] };
      const middle = createCa({ commonName: 'middle', days: 1, nameConstraints: held }, root);
      const { certPem } = issueClient(middle, { spiffeId: pki.spiffeId, days: 1 });
      const leaf = presented(certPem, [new X509Certificate(middle.certPem)]);
      const by = { ...trust, clientCas: [new X509Certificate(root.certPem)] };
      return refusal(acceptPeer(claim, leaf, address, by, micros(nowSeconds)));
    };
    expect(verdict('acme.example')).toBe('accepted');
    expect(verdict('globex.example')).toBe(`its CA may not sign for ${pki.spiffeId}`);
  });

  test.each<[string, 'accepted' | 'refused', Partial<NameConstraints>]>([
    [pki.spiffeId, 'accepted', { uriHosts: ['acme.example'] }],
    [pki.spiffeId, 'accepted', { dns: ['globex.example'] }],
    [pki.spiffeId, 'refused', { uriHosts: ['globex.example'] }],
    [pki.spiffeId, 'refused', { uriHosts: ['.acme.example'] }],
    [pki.spiffeId, 'refused', { uriHosts: ['example'] }],
  ])('of %s is %s by a CA that is held to %j', (spiffeId, verdict, constraints) => {
    const ca = createCa({ commonName: 'held', days: 1, nameConstraints: { dns: [], uriHosts: [], ...constraints } });
    const { certPem } = issueClient(ca, { spiffeId, days: 1 });
    const by = { ...trust, clientCas: [new X509Certificate(ca.certPem)] };
    expect(refusal(accept(certPem, by))).toBe(verdict === 'accepted' ? verdict : `its CA may not sign for ${spiffeId}`);
  });

  test('with a self-signed leaf is refused', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const template = { serial: randomSerial(), commonName: 'me', publicKey, version: 3 as const };
    const pem = encodeCertificate(
      {
        ...template,
        notBefore: new Date(Date.now() - 1000),
        notAfter: new Date(Date.now() + 100_000),
        basicConstraints: { ca: false, pathLength: undefined },
        keyUsage: ['digitalSignature'],
        extendedKeyUsage: [EXTENDED_KEY_USAGE.clientAuth],
        subjectAltNames: [{ kind: 'uri', uri: pki.spiffeId }],
      },
      { certificate: undefined, privateKey },
    );
    expect(refusal(accept(pem))).toBe("not signed by the tenant's CA");
  });
});

/** A leaf as a handshake presents it: each certificate knows the next. */
/** The same CA, name and key, until another time. */
function renewal({ certPem, keyPem }: IssuedCertificate, notAfter: Date): IssuedCertificate {
  const { publicKey, subject } = new X509Certificate(certPem);
  const commonName = subject?.replace('CN=', '') ?? '';
  const dates = { notBefore: new Date(Date.now() - 60_000), notAfter, serial: randomSerial() };
  const signer = { certificate: undefined, privateKey: createPrivateKey(keyPem) };
  return { certPem: signCa({ commonName, publicKey, ...dates }, signer), keyPem };
}

function presented(pem: string, above: readonly X509Certificate[]): X509Certificate {
  const chain = [new X509Certificate(pem), ...above];
  for (const [index, certificate] of chain.entries()) {
    Object.defineProperty(certificate, 'issuerCertificate', { value: chain[index + 1] });
  }
  const [leaf] = chain;
  if (leaf === undefined) throw new Error('no leaf');
  return leaf;
}

test('a peer cannot be forged', () => {
  const genuine = accept(pki.client.certPem);
  if (!genuine.ok) throw new Error(refusal(genuine));
  const { certificate, certificateId, port } = genuine.value;
  // @ts-expect-error an object that looks like a peer is none
  const forged: Peer = { claim, certificate, certificateId, address: '127.0.0.1', port };
  expect(forged.certificateId).toBe(genuine.value.certificateId);
  const { constructor } = Object.getPrototypeOf(genuine.value);
  expect(constructor.isGenuine(genuine.value)).toBe(true);
  expect(constructor.isGenuine(forged)).toBe(false);
});

test('a certificate with any bit changed is refused, and never throws', () => {
  const der = new X509Certificate(pki.client.certPem).raw;
  let readable = 0;
  for (let index = 0; index < der.length; index += 1) {
    for (const mask of [0x01, 0x20, 0x80]) {
      const mutant = Buffer.from(der);
      mutant.writeUInt8(mutant.readUInt8(index) ^ mask, index);
      const certificate = parsed(mutant);
      if (certificate === undefined) continue;
      readable += 1;
      const verdict = acceptPeer(claim, certificate, address, trust, micros(nowSeconds));
      if (verdict.ok) throw new Error(`accepted with octet ${String(index)} changed by ${String(mask)}`);
    }
  }
  expect(readable).toBeGreaterThan(100);
});

function parsed(der: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(der);
  } catch {
    return undefined;
  }
}

test('a server certificate that is also a client’s may be one', () => {
  const both = [EXTENDED_KEY_USAGE.serverAuth, EXTENDED_KEY_USAGE.clientAuth];
  expect(refusal(accept(craft({ extendedKeyUsage: both })))).toBe('accepted');
  expect(issueServer(pki.ca, { dnsNames: ['x.test'], days: 1 }).certPem).toContain('BEGIN CERTIFICATE');
});
