/**
 * Asks a responder about one certificate, and holds what it says against the CA that has issued it.
 */
import { randomBytes, X509Certificate } from 'node:crypto';
import type { OcspConfig } from '../config/credentials-config.ts';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import { encodeOcspRequest, ocspSubject } from '../identity/ocsp-request.ts';
import { responderOf } from '../identity/ocsp-responder.ts';
import { MAX_OCSP_BYTES, type OcspAnswer, readOcspResponse } from '../identity/ocsp-response-reader.ts';
import type { TenantId } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';

/** Which certificate is asked about. Plain data: it goes from thread to thread. */
export interface StatusQuestion {
  readonly tenant: TenantId;
  /** The SHA-256 of the certificate, lower-case hex. */
  readonly id: string;
  /** DER. */
  readonly certificate: Uint8Array;
  /** That of the CA which has issued it, DER. */
  readonly issuer: Uint8Array;
}

/** What is known of it. Times in milliseconds since the epoch. */
export type CertificateStatus =
  | {
      readonly status: 'good' | 'revoked';
      readonly thisUpdateMs: number;
      readonly heardAtMs: number;
      /** It says nothing about the time from then on. */
      readonly untilMs: number;
    }
  /** Nobody has said. */
  | { readonly status: 'none'; readonly why: string };

export interface OcspTools {
  readonly fetch: DocumentFetch;
  readonly nowMs: () => number;
}

const NONCE_BYTES = 32;

/** Asks; never rejects. The error names where it was asked. */
export async function askResponder(
  question: StatusQuestion,
  config: OcspConfig,
  { fetch, nowMs }: OcspTools,
): Promise<Result<OcspAnswer, string>> {
  const certificate = new X509Certificate(question.certificate);
  const issuer = new X509Certificate(question.issuer);
  const { responder } = config;
  const url = responder?.url ?? responderOf(certificate);
  if (url === undefined) return err('the certificate names no OCSP responder');
  const subject = ocspSubject(certificate, issuer, config.hash);
  const nonce = config.nonce ? randomBytes(NONCE_BYTES) : undefined;
  const fetched = await fetch({
    url,
    post: { contentType: 'application/ocsp-request', octets: encodeOcspRequest(subject, nonce) },
    // Whoever a certificate names is asked by http as well: nearly all of them are, and what they say is signed.
    isSigned: responder?.allowHttp ?? true,
    caPem: responder?.caPem,
    timeoutMs: config.timeoutMs,
    maxBytes: MAX_OCSP_BYTES,
    contentTypes: ['application/ocsp-response'],
  });
  if (!fetched.ok) return err(`${url}: ${fetched.error}`);
  const answer = readOcspResponse(fetched.value, { subject, issuer, nonce }, nowMs());
  if (!answer.ok) return err(`${url}: ${answer.error}`);
  const { nextUpdateMs, thisUpdateMs } = answer.value;
  // One without an end is as old as it is.
  if (nextUpdateMs === undefined && thisUpdateMs <= nowMs() - config.maxAgeMs)
    return err(`${url}: its answer is older than maxAge`);
  return ok(answer.value);
}

/** What an answer is worth that has just been heard. */
export function statusOf(answer: OcspAnswer, { maxAgeMs }: OcspConfig, nowMs: number): CertificateStatus {
  const { status, thisUpdateMs, nextUpdateMs } = answer;
  if (status === 'unknown') return { status: 'none', why: 'the OCSP responder does not know the certificate' };
  const untilMs = Math.min(nextUpdateMs ?? thisUpdateMs + maxAgeMs, nowMs + maxAgeMs);
  return { status, thisUpdateMs, heardAtMs: nowMs, untilMs };
}
