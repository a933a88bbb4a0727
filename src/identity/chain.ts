/**
 * Our own walk from a leaf to one of a tenant's CAs, after OpenSSL's: every signature, every date, every key, and what each CA on the way
 * may sign for. OpenSSL's own walk ends at the same CAs; this one does not depend on which context the handshake ran in.
 *
 * On a listener that tenants share there is no walk of OpenSSL's (decision 12): there this one also looks at what it otherwise leaves to
 * OpenSSL, and refuses what it cannot read.
 */
import type { X509Certificate } from 'node:crypto';
import type { EpochMicros } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { type CertificateFacts, readCertificateFacts } from './certificate-facts.ts';
import { EXTENDED_KEY_USAGE } from './extended-key-usage.ts';
import { certificateKeyWeakness } from './key-strength.ts';
import { unconstrainedName } from './name-constraints.ts';
import { signatureWeakness } from './signature-strength.ts';

/** Certificates of a chain below the tenant's CA, the leaf among them. Real ones have one or two. */
export const MAX_CHAIN = 8;

/**
 * How far our clock may be behind a certificate's beginning. OpenSSL has held it against the machine's clock, which may have been set
 * since ours began to run; an end is never stretched.
 */
export const MAX_CLOCK_LAG_MS = 60_000;

/** What a chain must end at, and who else has looked at it. */
export interface ChainTrust {
  readonly cas: readonly X509Certificate[];
  /** Whether nobody else has: OpenSSL was given no CA to verify with. */
  readonly alone: boolean;
}

/**
 * Whether a leaf's chain makes it one of these CAs' own: until when, in milliseconds since the epoch, or why not. A chain ends with the first of
 * its certificates, the CA's own among them.
 */
export function judgeChain(
  leaf: X509Certificate,
  facts: CertificateFacts,
  { cas, alone }: ChainTrust,
  now: EpochMicros,
): Result<number, string> {
  if (alone && facts.unreadCritical !== undefined) return err(`a critical extension ${facts.unreadCritical}`);
  /** From the leaf up. */
  const below = [facts];
  const overstep = (authority: CertificateFacts): string | undefined =>
    authorityProblem(authority, below) ?? (alone ? unreadProblem(authority) : undefined);
  let current = leaf;
  let signature = facts.signature;
  let endsAtMs = Number.POSITIVE_INFINITY;
  for (let depth = 0; depth < MAX_CHAIN; depth += 1) {
    if (!validAt(current, now)) return err(depth === 0 ? 'expired or not yet valid' : 'a CA in its chain has expired');
    const weak = certificateKeyWeakness(current) ?? signatureWeakness(signature);
    if (weak !== undefined) return err(depth === 0 ? `it has ${weak}` : `a CA in its chain has ${weak}`);
    endsAtMs = Math.min(endsAtMs, current.validToDate.getTime());
    const signed = current;
    const anchors = cas.filter((ca) => signedBy(signed, ca));
    if (anchors.length > 0) return judgeAnchors(anchors, overstep, endsAtMs, now);
    const issuer: X509Certificate | undefined = current.issuerCertificate;
    if (issuer === undefined || !signedBy(current, issuer)) return err("not signed by the tenant's CA");
    const above = factsOf(issuer);
    if (above === undefined) return err('a CA in its chain cannot be read');
    const overstepped = overstep(above);
    if (overstepped !== undefined) return err(overstepped);
    below.push(above);
    current = issuer;
    signature = above.signature;
  }
  return err('certificate chain too long');
}

/** Of a CA that was renewed with its key there are several certificates: the chain counts by the one that ends last. */
function judgeAnchors(
  anchors: readonly X509Certificate[],
  overstep: (authority: CertificateFacts) => string | undefined,
  endsAtMs: number,
  now: EpochMicros,
): Result<number, string> {
  let last: number | undefined;
  let why: string | undefined;
  for (const anchor of anchors) {
    const problem = anchorProblem(anchor, overstep, now);
    if (problem === undefined) last = Math.max(last ?? 0, anchor.validToDate.getTime());
    else why ??= problem;
  }
  return last === undefined ? err(why ?? "not signed by the tenant's CA") : ok(Math.min(last, endsAtMs));
}

function anchorProblem(
  anchor: X509Certificate,
  overstep: (authority: CertificateFacts) => string | undefined,
  now: EpochMicros,
): string | undefined {
  if (!validAt(anchor, now)) return "the tenant's CA certificate has expired";
  const weak = certificateKeyWeakness(anchor);
  if (weak !== undefined) return `the tenant's CA has ${weak}`;
  const facts = factsOf(anchor);
  return facts === undefined ? "the tenant's CA certificate cannot be read" : overstep(facts);
}

/** What a CA may not do: stand above so many others, or sign for such a name. */
function authorityProblem(ca: CertificateFacts, below: readonly CertificateFacts[]): string | undefined {
  const others = below.length - 1;
  if (ca.pathLength !== undefined && others > ca.pathLength)
    return `a CA with path length ${ca.pathLength} above ${others}`;
  for (const certificate of below) {
    const name = unconstrainedName(certificate, ca);
    if (name !== undefined) return `its CA may not sign for ${name}`;
  }
  return undefined;
}

/** What OpenSSL would have judged of a CA, or would not have let pass. */
function unreadProblem(ca: CertificateFacts): string | undefined {
  if (ca.unreadCritical !== undefined) return `a CA with a critical extension ${ca.unreadCritical}`;
  if (ca.nameConstraints?.others === true) return 'a CA with constraints on names that are not looked at here';
  if (ca.keyUsage !== undefined && !ca.keyUsage.has('keyCertSign')) return 'a CA that may not sign certificates';
  // As OpenSSL has it: a CA's extended key usages, if it has any, bound those below it.
  const usages = ca.extendedKeyUsage;
  if (usages !== undefined && !usages.includes(EXTENDED_KEY_USAGE.clientAuth)) return 'a CA that is not for clients';
  return undefined;
}

function factsOf(certificate: X509Certificate): CertificateFacts | undefined {
  try {
    return readCertificateFacts(certificate.raw);
  } catch {
    return undefined;
  }
}

/** Whether a CA's key has signed a certificate, and it is the CA that the certificate names. */
export function signedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    // An issuer's key that OpenSSL cannot use has signed nothing.
    return false;
  }
}

function validAt(certificate: X509Certificate, now: EpochMicros): boolean {
  const millis = now / 1000;
  const begin = certificate.validFromDate.getTime() - MAX_CLOCK_LAG_MS;
  return begin <= millis && millis < certificate.validToDate.getTime();
}
