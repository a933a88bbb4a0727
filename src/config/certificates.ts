/**
 * Looks at certificates and keys before anything is served with them. It judges files, not peers: what a peer shows is
 * verified by OpenSSL in the handshake.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { certificateKeyWeakness, MIN_RSA_BITS } from '../identity/key-strength.ts';
import { err, ok, type Result } from '../kernel/result.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const MAX_CERTIFICATES = 500;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const DAY_MS = 86_400_000;
const SOON_MS = 14 * DAY_MS;

/** Something wrong with a file, to be placed where the file is named. */
export interface FileProblem {
  readonly message: string;
  readonly fix: string;
  readonly severity: 'error' | 'warning';
}

/** How long one certificate is good for. Judged at every load, since time passes without a file changing. */
export interface Validity {
  readonly subject: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** It is a revocation list: one that has ended is a matter of what is made of that, and no mistake of the configuration. */
  readonly isList?: true;
}

/** Parses every certificate of a PEM file. */
export function parseCertificates(pem: string): Result<readonly X509Certificate[], FileProblem> {
  const blocks = pem.match(CERTIFICATE) ?? [];
  const problem = (message: string): Result<never, FileProblem> =>
    err({ message, fix: 'write PEM certificates into it (-----BEGIN CERTIFICATE-----)', severity: 'error' });
  if (blocks.length === 0) return problem('holds no PEM certificate');
  if (blocks.length > MAX_CERTIFICATES) return problem(`holds more than ${MAX_CERTIFICATES} certificates`);
  const certificates: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return problem(`holds a certificate that does not parse (number ${index + 1} in the file)`);
    }
  }
  if ((pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0) !== blocks.length) {
    return problem('holds a certificate that is cut off or damaged');
  }
  return ok(certificates);
}

/** Parses the one private key of a PEM file. */
export function parsePrivateKey(pem: string): Result<KeyObject, FileProblem> {
  const problem = (message: string, fix: string): Result<never, FileProblem> =>
    err({ message, fix, severity: 'error' });
  if (/ENCRYPTED/.test(pem)) {
    return problem('holds an encrypted key', 'decrypt it: openssl pkey -in FILE -out FILE, and protect the file');
  }
  if (!/-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/.test(pem)) {
    return problem('holds no PEM private key', 'write the PEM private key into it (-----BEGIN PRIVATE KEY-----)');
  }
  try {
    return ok(createPrivateKey(pem));
  } catch {
    return problem('holds a private key that does not parse', 'write the PEM private key into it again');
  }
}

/** What is wrong between a certificate chain, its key and the names that it is to serve. */
export function judgeKeyPair(
  chain: readonly X509Certificate[],
  key: KeyObject,
): { readonly chain: readonly FileProblem[]; readonly key: readonly FileProblem[] } {
  const leaf = chain[0];
  if (leaf === undefined) return { chain: [], key: [] };
  const problems: FileProblem[] = [];
  const error = (message: string, fix: string): void => void problems.push({ message, fix, severity: 'error' });
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1];
    if (issuer !== undefined && !certificate.checkIssued(issuer)) {
      error(
        `certificate ${index + 2} (${oneLine(issuer.subject)}) did not issue certificate ${index + 1}`,
        'order the file: the server’s certificate first, then the one that issued it, and so on',
      );
    }
  }
  const bits = leaf.publicKey.asymmetricKeyDetails?.modulusLength;
  if (leaf.publicKey.asymmetricKeyType === 'rsa' && bits !== undefined && bits < MIN_RSA_BITS) {
    error(`has an RSA key of ${bits} bits`, `use at least ${MIN_RSA_BITS} bits, or an EC key`);
  }
  const matches = leaf.checkPrivateKey(key);
  const mismatch: FileProblem = {
    message: `is not the key of the certificate (${oneLine(leaf.subject)})`,
    fix: 'name the key that the certificate was made with, and put the server’s certificate first in the chain',
    severity: 'error',
  };
  return { chain: problems, key: matches ? [] : [mismatch] };
}

/** What keeps a certificate from being a server's, apart from its names. */
export function judgeServerUse(leaf: X509Certificate): readonly FileProblem[] {
  return judgeUse(leaf, SERVER_AUTH, 'server', 'serverAuth');
}

/** What keeps a certificate from being a client's. */
export function judgeClientUse(leaf: X509Certificate): readonly FileProblem[] {
  return judgeUse(leaf, CLIENT_AUTH, 'client', 'clientAuth');
}

function judgeUse(leaf: X509Certificate, use: string, whose: string, name: string): readonly FileProblem[] {
  const uses: readonly string[] | undefined = leaf.keyUsage;
  if (uses === undefined || uses.length === 0 || uses.includes(use)) return [];
  const fix = `issue it with the extended key usage ${name}`;
  return [{ message: `is not allowed to be a ${whose}’s certificate`, fix, severity: 'error' }];
}

/** Whether a server name is among the certificate's subject alternative names. */
export function covers(leaf: X509Certificate, serverName: string): boolean {
  return leaf.checkHost(serverName, { subject: 'never' }) !== undefined;
}

/** The names that a certificate is for, as it writes them. */
export function namesOf(leaf: X509Certificate): string {
  return leaf.subjectAltName ?? 'none';
}

/** Certificates of a CA file that are not a CA's. */
export function judgeAuthorities(authorities: readonly X509Certificate[]): readonly FileProblem[] {
  return authorities
    .filter((certificate) => !certificate.ca)
    .map((certificate) => ({
      message: `holds a certificate that is not a CA’s (${oneLine(certificate.subject)})`,
      fix: 'name the certificate of the CA that issues the certificates, not one that it issued',
      severity: 'error' as const,
    }));
}

/** CAs of a tenant's clients whose key would have every client refused. */
export function judgeClientAuthorities(authorities: readonly X509Certificate[]): readonly FileProblem[] {
  return authorities.flatMap((certificate) => {
    const weakness = certificateKeyWeakness(certificate);
    if (weakness === undefined) return [];
    const message = `holds a CA with ${weakness} (${oneLine(certificate.subject)}): whoever it signed is refused`;
    const fix = `issue from a CA with P-256, P-384, P-521, Ed25519 or RSA from ${MIN_RSA_BITS} bits`;
    return [{ message, fix, severity: 'error' as const }];
  });
}

export function validityOf(certificate: X509Certificate): Validity {
  return {
    subject: oneLine(certificate.subject),
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

/** Expired and not yet valid are errors; the end of its life within two weeks, and within its last third, a warning. */
export function judgeValidity(validity: Validity, nowMs: number): FileProblem | undefined {
  const { subject, notBeforeMs, notAfterMs } = validity;
  const day = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');
  if (validity.isList === true) {
    if (nowMs <= notAfterMs) return undefined;
    const message = `holds a revocation list of ${subject} that ended at ${day(notAfterMs)}`;
    return { message, fix: 'have its CA write a new one', severity: 'warning' };
  }
  if (nowMs > notAfterMs) {
    return { message: `expired at ${day(notAfterMs)} (${subject})`, fix: 'renew the certificate', severity: 'error' };
  }
  if (nowMs < notBeforeMs) {
    const message = `is not valid before ${day(notBeforeMs)} (${subject})`;
    return { message, fix: 'wait, correct this machine’s clock, or issue it again', severity: 'error' };
  }
  const left = notAfterMs - nowMs;
  if (left > SOON_MS || left > (notAfterMs - notBeforeMs) / 3) return undefined;
  return {
    message: `expires soon, at ${day(notAfterMs)} (${subject})`,
    fix: 'renew the certificate',
    severity: 'warning',
  };
}

function oneLine(subject: string | undefined): string {
  return subject === undefined || subject === '' ? 'no subject' : subject.replaceAll('\n', ', ');
}
