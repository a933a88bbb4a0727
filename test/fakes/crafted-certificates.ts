/**
 * Client certificates as no CA should issue them: right but for what a test changes.
 */
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CertificateTemplate, encodeCertificate } from '../../src/identity/certificate-encoder.ts';
import { EXTENDED_KEY_USAGE } from '../../src/identity/extended-key-usage.ts';
import { type IssuedCertificate, randomSerial } from '../../src/identity/issue.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** A client certificate with this SPIFFE id, signed by `ca`, but for `changes`. */
export function craftClient(
  ca: IssuedCertificate,
  spiffeId: string,
  changes: Partial<CertificateTemplate> = {},
  pair: KeyPair = generateKeyPairSync('ec', { namedCurve: 'P-256' }),
): IssuedCertificate {
  const template: CertificateTemplate = {
    serial: randomSerial(),
    commonName: 'crafted',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    publicKey: pair.publicKey,
    basicConstraints: { ca: false, pathLength: undefined },
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [EXTENDED_KEY_USAGE.clientAuth],
    subjectAltNames: [{ kind: 'uri', uri: spiffeId }],
    version: 3,
    ...changes,
  };
  const certPem = encodeCertificate(template, {
    certificate: new X509Certificate(ca.certPem),
    privateKey: createPrivateKey(ca.keyPem),
  });
  return { certPem, keyPem: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

export interface OpensslSigner {
  /** Of the CA. Default `ec`. */
  readonly key?: 'ec' | 'rsa:2048';
  /** Of the CA's EC key. Default P-256. */
  readonly curve?: string;
  /** Of the leaf's signature. Default sha256. */
  readonly digest?: string;
  readonly options?: readonly string[];
  /** Of the leaf and of the CA, as OpenSSL's configuration writes them. */
  readonly extensions?: readonly string[];
  readonly caExtensions?: readonly string[];
}

/** A client and its CA, made by OpenSSL with what our own encoder does not write. */
export function signedByOpenssl(
  spiffeId: string,
  { key = 'ec', curve = 'P-256', digest = 'sha256', options = [], extensions = [], caExtensions = [] }: OpensslSigner,
): IssuedCertificate & { readonly caPem: string } {
  const folder = temporaryDirectory();
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: readonly string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
  const ec = (name: string): readonly string[] => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${name}`];
  const into = (name: string): readonly string[] => [
    '-nodes',
    '-keyout',
    file(`${name}.key`),
    '-out',
    file(`${name}.pem`),
  ];
  openssl(
    'req',
    '-x509',
    ...(key === 'ec' ? ec(curve) : ['-newkey', key]),
    ...into('ca'),
    '-subj',
    '/CN=ca',
    '-days',
    '1',
    ...caExtensions.flatMap((extension) => ['-addext', extension]),
  );
  openssl('req', '-new', ...ec('P-256'), ...into('request'), '-subj', '/CN=leaf');
  writeFileSync(
    file('extensions'),
    `extendedKeyUsage=clientAuth\nsubjectAltName=URI:${spiffeId}\n${extensions.join('\n')}\n`,
  );
  const signer = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-set_serial', '7', '-days', '1', `-${digest}`];
  const wanted = ['-extfile', file('extensions'), '-out', file('leaf.pem')];
  openssl('x509', '-req', '-in', file('request.pem'), ...signer, ...options, ...wanted);
  const text = (name: string): string => readFileSync(file(name), 'utf8');
  return { certPem: text('leaf.pem'), keyPem: text('request.key'), caPem: text('ca.pem') };
}
