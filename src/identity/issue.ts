/**
 * Issues the certificates of a tenant: its CA, its server names and its clients. For the demo, tests and operators
 * without a CA of their own; where SPIRE or cert-manager runs, that one issues.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import {
  type AltName,
  type CertificateTemplate,
  encodeCertificate,
  type NameConstraints,
  type Signer,
} from './certificate-encoder.ts';
import { EXTENDED_KEY_USAGE } from './extended-key-usage.ts';

/** A certificate and its private key (PKCS #8), both PEM. */
export interface IssuedCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

export type KeyAlgorithm = 'P-256' | 'Ed25519';

interface Lifetime {
  /** Days of 86 400 seconds from now. */
  readonly days: number;
  /** Instead of `days`, the exact end. */
  readonly notAfter?: Date;
  /** Default P-256: every TLS 1.2 and 1.3 client has it. */
  readonly keyAlgorithm?: KeyAlgorithm;
}

export interface CaRequest extends Lifetime {
  readonly commonName: string;
  /** How many CAs may stand below this one; default 0: it signs leaves only. */
  readonly pathLength?: number;
  readonly nameConstraints?: NameConstraints;
}

export type LeafUse = 'server' | 'client';

/** A leaf for a key that exists already, such as one that only its owner has. */
export interface LeafRequest {
  readonly use: LeafUse;
  readonly publicKey: KeyObject;
  readonly subjectAltNames: readonly AltName[];
  readonly serial: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface ServerRequest extends Lifetime {
  readonly dnsNames: readonly string[];
  readonly ipAddresses?: readonly string[];
}

export interface ClientRequest extends Lifetime {
  readonly commonName?: string;
  readonly spiffeId?: string;
  readonly dnsNames?: readonly string[];
  /** OIDs instead of clientAuth; for tests of what must be refused. */
  readonly eku?: readonly string[];
}

/** Clocks of peers may be behind ours by so much. */
export const BACKDATE_MS = 5 * 60_000;

/** Issues a CA: self-signed, or signed by `parent`. */
export function createCa(request: CaRequest, parent?: IssuedCertificate): IssuedCertificate {
  const { privateKey, publicKey } = newKeyPair(request.keyAlgorithm);
  const certPem = signCa(
    { ...request, ...common(request), publicKey },
    parent === undefined ? { certificate: undefined, privateKey } : signerOf(parent),
  );
  return { certPem, keyPem: pemOf(privateKey) };
}

/** Signs a CA certificate for a key that exists already; a signer without a certificate is that CA itself. Returns PEM. */
export function signCa(
  request: Pick<CaRequest, 'commonName' | 'pathLength' | 'nameConstraints'> &
    Pick<CertificateTemplate, 'publicKey' | 'serial' | 'notBefore' | 'notAfter'>,
  signer: Signer,
): string {
  const { commonName, publicKey, serial, notBefore, notAfter, nameConstraints } = request;
  const template: CertificateTemplate = {
    ...{ commonName, publicKey, serial, notBefore, notAfter, version: 3 },
    basicConstraints: { ca: true, pathLength: request.pathLength ?? 0 },
    keyUsage: ['keyCertSign', 'crlSign'],
    extendedKeyUsage: [],
    subjectAltNames: [],
    ...(nameConstraints === undefined ? {} : { nameConstraints }),
  };
  return encodeCertificate(template, signer);
}

/** Signs a leaf certificate. Returns PEM. Throws a RangeError when it would have no name. */
export function signLeaf(signer: Signer, request: LeafRequest): string {
  const { use, publicKey, subjectAltNames, serial, notBefore, notAfter } = request;
  if (subjectAltNames.length === 0) throw new RangeError('a certificate needs a name');
  const template: CertificateTemplate = {
    ...{ publicKey, subjectAltNames, serial, notBefore, notAfter, version: 3, commonName: undefined },
    basicConstraints: { ca: false, pathLength: undefined },
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [use === 'server' ? EXTENDED_KEY_USAGE.serverAuth : EXTENDED_KEY_USAGE.clientAuth],
  };
  return encodeCertificate(template, signer);
}

/** Issues a server certificate for these names. Throws a RangeError when there is no name. */
export function issueServer(ca: IssuedCertificate, request: ServerRequest): IssuedCertificate {
  const names: AltName[] = request.dnsNames.map((name) => ({ kind: 'dns', name }));
  for (const address of request.ipAddresses ?? []) names.push({ kind: 'ip', address });
  return issueLeaf(ca, request, names, { commonName: undefined, extendedKeyUsage: [EXTENDED_KEY_USAGE.serverAuth] });
}

/** Issues a client certificate. Throws a RangeError when there is neither a common name nor a SPIFFE id nor a DNS name. */
export function issueClient(ca: IssuedCertificate, request: ClientRequest): IssuedCertificate {
  const names: AltName[] = request.spiffeId === undefined ? [] : [{ kind: 'uri', uri: request.spiffeId }];
  for (const name of request.dnsNames ?? []) names.push({ kind: 'dns', name });
  return issueLeaf(ca, request, names, {
    commonName: request.commonName,
    extendedKeyUsage: request.eku ?? [EXTENDED_KEY_USAGE.clientAuth],
  });
}

function issueLeaf(
  ca: IssuedCertificate,
  lifetime: Lifetime,
  subjectAltNames: readonly AltName[],
  rest: Pick<CertificateTemplate, 'commonName' | 'extendedKeyUsage'>,
): IssuedCertificate {
  if (subjectAltNames.length === 0 && rest.commonName === undefined) throw new RangeError('a certificate needs a name');
  const { privateKey, publicKey } = newKeyPair(lifetime.keyAlgorithm);
  const template: CertificateTemplate = {
    ...common(lifetime),
    ...rest,
    publicKey,
    version: 3,
    basicConstraints: { ca: false, pathLength: undefined },
    keyUsage: ['digitalSignature'],
    subjectAltNames,
  };
  return { certPem: encodeCertificate(template, signerOf(ca)), keyPem: pemOf(privateKey) };
}

function common(lifetime: Lifetime): Pick<CertificateTemplate, 'serial' | 'notBefore' | 'notAfter'> {
  const now = Date.now();
  return {
    serial: randomSerial(),
    notBefore: new Date(Math.min(now, lifetime.notAfter?.getTime() ?? now) - BACKDATE_MS),
    notAfter: lifetime.notAfter ?? new Date(now + lifetime.days * 86_400_000),
  };
}

/**
 * 128 random bits as a positive INTEGER in its shortest form, at most 17 octets of the 20 allowed (RFC 5280 §4.1.2.2).
 * A pure function of its bytes, so that each form can be tested.
 */
export function randomSerial(random: Buffer = randomBytes(16)): Buffer {
  const first = random.findIndex((octet) => octet !== 0);
  // Zero is not positive; it comes up once in 2^128.
  if (first < 0) return randomSerial();
  const octets = random.subarray(first);
  return octets.readUInt8(0) >= 0x80 ? Buffer.concat([Buffer.from([0]), octets]) : octets;
}

/** Makes a key pair; default P-256. */
export function newKeyPair(algorithm: KeyAlgorithm = 'P-256'): {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
} {
  return algorithm === 'Ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function signerOf(ca: IssuedCertificate): Signer {
  return { certificate: new X509Certificate(ca.certPem), privateKey: createPrivateKey(ca.keyPem) };
}

function pemOf(privateKey: KeyObject): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' });
}
