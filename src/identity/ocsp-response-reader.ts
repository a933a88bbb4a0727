/**
 * Reads what a responder says of one certificate (RFC 6960 §4.2): strict DER, about exactly that certificate, signed by the CA that has
 * issued it or by a delegate that this CA has issued itself for just that.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { err, ok, type Result } from '../kernel/result.ts';
import { type CertificateFacts, readCertificateFacts } from './certificate-facts.ts';
import { MAX_CLOCK_LAG_MS, signedBy } from './chain.ts';
import { DerCursor, DerError, integerOf, timeOf } from './der-cursor.ts';
import { EXTENDED_KEY_USAGE } from './extended-key-usage.ts';
import { certificateKeyWeakness } from './key-strength.ts';
import { keyBits, OCSP_DIGESTS, type OcspSubject } from './ocsp-request.ts';
import { signatureWeakness } from './signature-strength.ts';
import { algorithmOf, extensionOf, isSignedBy, subjectOctets } from './signed-der.ts';

/** What was asked, of whom an answer is taken. */
export interface OcspQuestion {
  readonly subject: OcspSubject;
  /** The CA that has issued the certificate. */
  readonly issuer: X509Certificate;
  /** That the answer has to repeat. */
  readonly nonce?: Buffer | undefined;
}

/** What the responder says; times in milliseconds since the epoch. */
export interface OcspAnswer {
  readonly status: 'good' | 'revoked' | 'unknown';
  readonly thisUpdateMs: number;
  /** Undefined: there may be news at any time. */
  readonly nextUpdateMs: number | undefined;
}

/** An answer with its signer's chain has 2 to 4 KB. */
export const MAX_OCSP_BYTES = 32 * 1024;
/** Certificates in an answer: the signer's, and what it believes to be its chain. */
export const MAX_OCSP_CERTIFICATES = 4;
/** Certificates that one answer is about: a responder may make answers in advance, for several. */
export const MAX_OCSP_STATUSES = 64;

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const NULL = 0x05;
const OID = 0x06;
const ENUMERATED = 0x0a;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const CONTEXT = [0xa0, 0xa1, 0xa2] as const;
const PLAIN_CONTEXT = [0x80, 0x81, 0x82] as const;

const OID_BASIC = '2b0601050507300101';
const OID_NONCE = '2b0601050507300102';

/** Octets of `responseStatus`. */
const FAILURES: ReadonlyMap<string, string> = new Map([
  ['01', 'it takes the request for malformed'],
  ['02', 'it has an internal error'],
  ['03', 'it says to try later'],
  ['05', 'it wants the request signed'],
  ['06', 'it does not answer us'],
]);

/** Reads an answer, or says why it is none. */
export function readOcspResponse(bytes: Buffer, question: OcspQuestion, nowMs: number): Result<OcspAnswer, string> {
  if (bytes.length > MAX_OCSP_BYTES) return err(`its answer is longer than ${MAX_OCSP_BYTES} bytes`);
  try {
    return read(bytes, question, nowMs);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return err(`its answer is malformed: ${error.message}`);
  }
}

function read(bytes: Buffer, question: OcspQuestion, nowMs: number): Result<OcspAnswer, string> {
  const outermost = new DerCursor(bytes);
  const outer = outermost.enter(SEQUENCE);
  outermost.finish();
  const status = outer.contents(ENUMERATED).toString('hex');
  if (status !== '00') return err(FAILURES.get(status) ?? 'its answer has a status that there is not');
  const wrapper = outer.enter(CONTEXT[0]);
  outer.finish();
  const typed = wrapper.enter(SEQUENCE);
  wrapper.finish();
  if (typed.contents(OID).toString('hex') !== OID_BASIC) return err('its answer is of a type that is not known here');
  const basic = typed.enter(OCTET_STRING);
  typed.finish();
  const response = basic.enter(SEQUENCE);
  basic.finish();
  const signed = response.whole(SEQUENCE);
  const algorithm = response.whole(SEQUENCE);
  const bits = response.contents(BIT_STRING);
  if (bits[0] !== 0) throw new DerError('a signature that is no whole number of octets');
  const certificates = response.atEnd ? [] : certificatesOf(response.enter(CONTEXT[0]));
  response.finish();
  const data = new DerCursor(signed).enter(SEQUENCE);
  const isResponder = responderOf(data);
  const weak = signatureWeakness({ ...algorithmOf(algorithm), consistent: true });
  if (weak !== undefined) return err(`its answer has ${weak}`);
  const signer = signerOf(question.issuer, certificates, isResponder, nowMs);
  if (!signer.ok) return signer;
  if (!isSignedBy(signer.value, signed, algorithm, bits.subarray(1)))
    return err('its answer’s signature is not its own');
  return answerOf(data, question, nowMs);
}

function certificatesOf(wrapper: DerCursor): readonly Buffer[] {
  const list = wrapper.enter(SEQUENCE);
  wrapper.finish();
  const certificates: Buffer[] = [];
  while (!list.atEnd) {
    if (certificates.length === MAX_OCSP_CERTIFICATES)
      throw new DerError(`more than ${MAX_OCSP_CERTIFICATES} certificates`);
    certificates.push(list.whole(SEQUENCE));
  }
  return certificates;
}

/** Which certificate the answer says to be signed by: by its name, or by the SHA-1 of its key. */
function responderOf(data: DerCursor): (certificate: X509Certificate) => boolean {
  // The only version is the default, which DER leaves out.
  if (data.peek() === CONTEXT[1]) {
    const wrapper = data.enter(CONTEXT[1]);
    const name = wrapper.whole(SEQUENCE);
    wrapper.finish();
    return (certificate) => subjectOctets(certificate).equals(name);
  }
  const wrapper = data.enter(CONTEXT[2]);
  const key = wrapper.contents(OCTET_STRING);
  wrapper.finish();
  return (certificate) => createHash('sha1').update(keyBits(certificate)).digest().equals(key);
}

/** RFC 6960 §4.2.2.2: the issuer, or who it has issued a certificate for this to, and nobody below that. */
function signerOf(
  issuer: X509Certificate,
  certificates: readonly Buffer[],
  isResponder: (certificate: X509Certificate) => boolean,
  nowMs: number,
): Result<X509Certificate, string> {
  if (isResponder(issuer)) return ok(issuer);
  let why = 'its answer is signed by somebody else than the CA, without a certificate';
  for (const raw of certificates) {
    const delegate = certificateOf(raw);
    if (delegate === undefined || !isResponder(delegate.certificate)) continue;
    const problem = delegateProblem(delegate, issuer, nowMs);
    if (problem === undefined) return ok(delegate.certificate);
    why = `its answer is signed by somebody ${problem}`;
  }
  return err(why);
}

interface Delegate {
  readonly certificate: X509Certificate;
  readonly facts: CertificateFacts;
}

function certificateOf(raw: Buffer): Delegate | undefined {
  try {
    return { certificate: new X509Certificate(raw), facts: readCertificateFacts(raw) };
  } catch {
    return undefined;
  }
}

function delegateProblem({ certificate, facts }: Delegate, issuer: X509Certificate, nowMs: number): string | undefined {
  if (!signedBy(certificate, issuer)) return 'whose certificate is not the CA’s';
  if (facts.extendedKeyUsage?.includes(EXTENDED_KEY_USAGE.ocspSigning) !== true)
    return 'whose certificate is not for that (no OCSPSigning)';
  if (facts.keyUsage?.has('digitalSignature') === false) return 'whose key is not for signatures';
  if (facts.unreadCritical !== undefined) return `whose certificate has a critical extension ${facts.unreadCritical}`;
  const begin = certificate.validFromDate.getTime() - MAX_CLOCK_LAG_MS;
  if (nowMs < begin || nowMs >= certificate.validToDate.getTime()) return 'whose certificate is not valid now';
  const weak = certificateKeyWeakness(certificate) ?? signatureWeakness(facts.signature);
  return weak === undefined ? undefined : `whose certificate has ${weak}`;
}

function answerOf(data: DerCursor, { subject, nonce }: OcspQuestion, nowMs: number): Result<OcspAnswer, string> {
  generalizedTimeOf(data);
  const list = data.enter(SEQUENCE);
  const extensions = data.atEnd ? new Map<string, Buffer>() : extensionsOf(data.enter(CONTEXT[1]));
  data.finish();
  let answer: OcspAnswer | undefined;
  let count = 0;
  while (!list.atEnd) {
    count += 1;
    if (count > MAX_OCSP_STATUSES) throw new DerError(`more than ${MAX_OCSP_STATUSES} certificates that it is about`);
    const single = list.enter(SEQUENCE);
    const isOurs = isSubject(single.enter(SEQUENCE), subject);
    const one = statusOf(single);
    if (!isOurs) continue;
    if (answer !== undefined) return err('its answer is twice about the certificate');
    answer = one;
  }
  if (answer === undefined) return err('its answer is about another certificate');
  if (nonce !== undefined) {
    const repeated = extensions.get(OID_NONCE);
    const value = repeated && new DerCursor(repeated);
    if (value === undefined || !value.contents(OCTET_STRING).equals(nonce)) return err('its answer has not our nonce');
    value.finish();
  }
  if (answer.thisUpdateMs > nowMs + MAX_CLOCK_LAG_MS) return err('its answer is from the future');
  if (answer.nextUpdateMs !== undefined && answer.nextUpdateMs <= answer.thisUpdateMs)
    return err('its answer ends before it begins');
  if (answer.nextUpdateMs !== undefined && nowMs >= answer.nextUpdateMs) return err('its answer has ended');
  return ok(answer);
}

function isSubject(id: DerCursor, { hash, issuerName, issuerKey, serial }: OcspSubject): boolean {
  const algorithm = id.enter(SEQUENCE);
  const digest = algorithm.contents(OID).toString('hex');
  if (!algorithm.atEnd && algorithm.contents(NULL).length > 0) throw new DerError('a null that is none');
  algorithm.finish();
  const [name, key] = [id.contents(OCTET_STRING), id.contents(OCTET_STRING)];
  if (id.peek() !== INTEGER) throw new DerError('a certificate without a number');
  const number = integerOf(id);
  id.finish();
  return digest === OCSP_DIGESTS[hash][1] && name.equals(issuerName) && key.equals(issuerKey) && number.equals(serial);
}

/** What follows the certificate's name. */
function statusOf(single: DerCursor): OcspAnswer {
  const status = certificateStatus(single);
  const thisUpdateMs = generalizedTimeOf(single);
  let nextUpdateMs: number | undefined;
  if (single.peek() === CONTEXT[0]) {
    const wrapper = single.enter(CONTEXT[0]);
    nextUpdateMs = generalizedTimeOf(wrapper);
    wrapper.finish();
  }
  if (!single.atEnd) extensionsOf(single.enter(CONTEXT[1]));
  single.finish();
  return { status, thisUpdateMs, nextUpdateMs };
}

function certificateStatus(single: DerCursor): OcspAnswer['status'] {
  const tag = single.peek();
  if (tag === PLAIN_CONTEXT[0] || tag === PLAIN_CONTEXT[2]) {
    if (single.contents(tag).length > 0) throw new DerError('a null that is none');
    return tag === PLAIN_CONTEXT[0] ? 'good' : 'unknown';
  }
  const revoked = single.enter(CONTEXT[1]);
  generalizedTimeOf(revoked);
  if (!revoked.atEnd) {
    const reason = revoked.enter(CONTEXT[0]);
    reason.contents(ENUMERATED);
    reason.finish();
  }
  revoked.finish();
  return 'revoked';
}

/** None of the critical ones is known here, the nonce's aside: it may not be read without them. */
function extensionsOf(wrapper: DerCursor): ReadonlyMap<string, Buffer> {
  const list = wrapper.enter(SEQUENCE);
  wrapper.finish();
  const found = new Map<string, Buffer>();
  while (!list.atEnd) {
    const { oid, critical, value } = extensionOf(list);
    if (found.has(oid)) throw new DerError('an extension that stands twice');
    if (critical && oid !== OID_NONCE) throw new DerError(`a critical extension with the octets ${oid.slice(0, 64)}`);
    found.set(oid, value);
  }
  return found;
}

function generalizedTimeOf(cursor: DerCursor): number {
  if (cursor.peek() !== GENERALIZED_TIME) throw new DerError('a time that is no GeneralizedTime');
  return timeOf(cursor);
}
