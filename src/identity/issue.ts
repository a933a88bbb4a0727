/**
 * Issues the certificates of a tenant: its CA, its server names and its clients. For the demo, tests and operators
 * without a CA of their own; where SPIRE or cert-manager runs, that one issues.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { type AltName, type CertificateTemplate, encodeCertificate, type Signer } from './certificate-encoder.ts';
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
const BACKDATE_MS = 5 * 60_000;

/** Issues a CA: self-signed, or signed by `parent`. */
export function createCa(request: CaRequest, parent?: IssuedCertificate): IssuedCertificate {
  const { privateKey, publicKey } = newKeyPair(request);
  const template: CertificateTemplate = {
    ...common(request, publicKey),
    commonName: request.commonName,
    basicConstraints: { ca: true, pathLength: request.pathLength ?? 0 },
    keyUsage: ['keyCertSign', 'crlSign'],
    extendedKeyUsage: [],
    subjectAltNames: [],
  };
  return issued(template, parent === undefined ? { certificate: undefined, privateKey } : signerOf(parent), privateKey);
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
  const { privateKey, publicKey } = newKeyPair(lifetime);
  const template: CertificateTemplate = {
    ...common(lifetime, publicKey),
    ...rest,
    basicConstraints: { ca: false, pathLength: undefined },
    keyUsage: ['digitalSignature'],
    subjectAltNames,
  };
  return issued(template, signerOf(ca), privateKey);
}

function common(
  lifetime: Lifetime,
  publicKey: KeyObject,
): Pick<CertificateTemplate, 'serial' | 'notBefore' | 'notAfter' | 'publicKey' | 'version'> {
  const now = Date.now();
  return {
    serial: randomSerial(),
    notBefore: new Date(Math.min(now, lifetime.notAfter?.getTime() ?? now) - BACKDATE_MS),
    notAfter: lifetime.notAfter ?? new Date(now + lifetime.days * 86_400_000),
    publicKey,
    version: 3,
  };
}

/** 127 random bits, positive, in its shortest form (RFC 5280 §4.1.2.2, CA/Browser Forum BR §7.1). */
export function randomSerial(): Buffer {
  const serial = randomBytes(16);
  serial.writeUInt8((serial.readUInt8(0) & 0x7f) | 0x40, 0);
  return serial;
}

function newKeyPair(lifetime: Lifetime): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return lifetime.keyAlgorithm === 'Ed25519'
    ? generateKeyPairSync('ed25519')
    : generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function signerOf(ca: IssuedCertificate): Signer {
  return { certificate: new X509Certificate(ca.certPem), privateKey: createPrivateKey(ca.keyPem) };
}

function issued(template: CertificateTemplate, signer: Signer, privateKey: KeyObject): IssuedCertificate {
  const certPem = encodeCertificate(template, signer);
  return { certPem, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
}
