/**
 * Client certificates that the tenant's own CA signed and that still may not speak for a client, over real TLS handshakes: no call
 * begins, the model server sees nothing, and the record says why. `TLS_CLIENT_CERT_UNACCEPTABLE` is our own verdict, after OpenSSL has
 * accepted the chain: without our check the certificate would get in. What OpenSSL refuses itself is `TLS_CLIENT_CERT_UNTRUSTED`;
 * for those, `unit/identity/peer.test.ts` shows that our own check would refuse them as well.
 */
import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CertificateTemplate } from '../../src/identity/certificate-encoder.ts';
import { createCa, type IssuedCertificate, issueClient } from '../../src/identity/issue.ts';
import { craftClient, type KeyPair, signedByOpenssl } from '../fakes/crafted-certificates.ts';
import { HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { HOSTILE_LEAFS } from '../fakes/hostile-leafs.ts';

let ground: HostileGround;
beforeEach(async () => {
  ground = await HostileGround.start();
});
afterEach(() => ground.stop());

/** `0` for a call that got through, else what the record says of the refused connection. */
async function verdict({ certPem, keyPem }: IssuedCertificate): Promise<string> {
  let client: Awaited<ReturnType<HostileGround['client']>>;
  try {
    // A client that holds itself to nothing: its own OpenSSL would not load a weak key.
    client = await ground.client(ground.acme, { certPem, keyPem, ciphers: 'DEFAULT@SECLEVEL=0' });
  } catch {
    const refusal = (await ground.sidecar.refusals()).at(-1);
    return refusal === undefined ? 'no record' : `${refusal.reason} ${refusal.tenantClaim}: ${refusal.detail}`;
  }
  return String((await client.call(INFER, { chunks: [inferRequest()] })).status);
}

const crafted = (changes: Partial<CertificateTemplate>, pair?: KeyPair): IssuedCertificate =>
  craftClient(ground.acme.pki.ca, ground.acme.pki.spiffeId, changes, pair);

const UNACCEPTABLE = 'TLS_CLIENT_CERT_UNACCEPTABLE acme: ';
const UNTRUSTED = 'TLS_CLIENT_CERT_UNTRUSTED acme: ';

describe('a leaf of the tenant’s own CA is refused', () => {
  it.each(HOSTILE_LEAFS)('$why $openssl', async ({ why, openssl, changes, pair }) => {
    const expected = openssl === undefined ? `${UNACCEPTABLE}${why}` : `${UNTRUSTED}${openssl}`;
    expect(await verdict(crafted(changes, pair?.()))).toBe(expected);
    expect(ground.upstream.calls).toHaveLength(0);
    // Counter-proof: the same certificate without the flaw gets in.
    expect(await verdict(crafted({}))).toBe('0');
  });

  it('no key but a weak one is refused: RSA of 2048 bits, P-384, P-521 and Ed25519 get in', async () => {
    const pairs = [
      generateKeyPairSync('rsa', { modulusLength: 2048 }),
      generateKeyPairSync('ec', { namedCurve: 'P-384' }),
      generateKeyPairSync('ec', { namedCurve: 'P-521' }),
      generateKeyPairSync('ed25519'),
    ];
    for (const pair of pairs) expect(await verdict(crafted({}, pair))).toBe('0');
  });
});

describe('a chain to the tenant’s own CA', () => {
  const chained = (client: IssuedCertificate, ...above: readonly IssuedCertificate[]): IssuedCertificate => ({
    ...client,
    certPem: [client, ...above].map(({ certPem }) => certPem).join(''),
  });
  const trusting = (ca: IssuedCertificate): void =>
    ground.sidecar.apply(ground.generation({ acme: { clientCaPem: ca.certPem } }));

  it('may have seven certificates between leaf and CA, and not eight', async () => {
    const root = createCa({ commonName: 'root', days: 1, pathLength: 9 });
    trusting(root);
    const through = (count: number): IssuedCertificate => {
      const above: IssuedCertificate[] = [];
      let ca = root;
      for (let index = 0; index < count; index++) {
        ca = createCa({ commonName: `ca ${index}`, days: 1, pathLength: 8 - index }, ca);
        above.unshift(ca);
      }
      return chained(issueClient(ca, { spiffeId: ground.acme.pki.spiffeId, days: 1 }), ...above);
    };
    expect(await verdict(through(7))).toBe('0');
    expect(await verdict(through(8))).toBe(`${UNACCEPTABLE}certificate chain too long`);
  });

  it('holds to each CA’s name constraints and path length', async () => {
    const { spiffeId } = ground.acme.pki;
    const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
    trusting(root);
    const below = (host: string, parent = root): IssuedCertificate => {
      const ca = createCa({ commonName: host, days: 1, nameConstraints: { dns: [], uriHosts: [host] } }, parent);
      return chained(issueClient(ca, { spiffeId, days: 1 }), ca);
    };
    expect(await verdict(below('acme.example'))).toBe('0');
    expect(await verdict(below('globex.example'))).toBe(`${UNTRUSTED}UNSPECIFIED`);
    const narrow = createCa({ commonName: 'narrow', days: 1, pathLength: 0 });
    trusting(narrow);
    expect(await verdict(below('acme.example', narrow))).toBe(`${UNTRUSTED}PATH_LENGTH_EXCEEDED`);
  });

  it('ends at this tenant’s CA: a CA that another tenant’s signed, with the same name, does not', async () => {
    const { spiffeId, ca } = ground.acme.pki;
    const theirs = createCa({ commonName: 'acme test CA', days: 1 }, ground.globex.pki.ca);
    const forged = chained(issueClient(theirs, { spiffeId, days: 1 }), theirs);
    expect(await verdict(forged)).toMatch(/^TLS_CLIENT_CERT_UNTRUSTED acme: /);
    expect(await verdict(issueClient(ca, { spiffeId, days: 1 }))).toBe('0');
  });

  it('has no CA with a key that we do not take', async () => {
    const { spiffeId } = ground.acme.pki;
    const weak = signedByOpenssl(spiffeId, { curve: 'secp256k1' });
    trusting({ certPem: weak.caPem, keyPem: '' });
    expect(await verdict(weak)).toBe(`${UNACCEPTABLE}the tenant's CA has a key on curve secp256k1`);
    const strong = signedByOpenssl(spiffeId, {});
    trusting({ certPem: strong.caPem, keyPem: '' });
    expect(await verdict(strong)).toBe('0');
  });

  it('has no critical extension that nobody knows', async () => {
    const { spiffeId } = ground.acme.pki;
    for (const [critical, expected] of [
      ['critical,', `${UNTRUSTED}UNSPECIFIED`],
      ['', '0'],
    ] as const) {
      const client = signedByOpenssl(spiffeId, { extensions: [`1.2.3.4.5=${critical}ASN1:NULL`] });
      trusting({ certPem: client.caPem, keyPem: '' });
      expect(await verdict(client)).toBe(expected);
    }
  });

  it.each(['sha1', 'md5'])('has no signature with %s', async (digest) => {
    const { spiffeId } = ground.acme.pki;
    const weak = signedByOpenssl(spiffeId, { key: 'rsa:2048', digest });
    trusting({ certPem: weak.caPem, keyPem: '' });
    // Node has no name for: CA signature digest algorithm too weak.
    expect(await verdict(weak)).toBe(`${UNTRUSTED}UNSPECIFIED`);
    const strong = signedByOpenssl(spiffeId, { key: 'rsa:2048', digest: 'sha384' });
    trusting({ certPem: strong.caPem, keyPem: '' });
    expect(await verdict(strong)).toBe('0');
  });
});
