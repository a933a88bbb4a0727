/**
 * SPIFFE ids, by the letter of SPIFFE-ID.md §2: one spelling per identity, so that comparing strings compares identities.
 */

export interface SpiffeId {
  /** The whole id, its scheme and trust domain in lower case. */
  readonly uri: string;
  readonly trustDomain: string;
  /** With its leading slash; empty for the id of the trust domain itself. */
  readonly path: string;
}

/** SPIFFE-ID.md §2.3: an id is at most 2048 bytes, its trust domain at most 255. */
const MAX_ID_LENGTH = 2048;
const MAX_TRUST_DOMAIN_LENGTH = 255;

const SPIFFE_ID = /^spiffe:\/\/([a-z0-9._-]+)((?:\/[A-Za-z0-9._-]+)*)$/i;
const DOT_SEGMENT = /\/\.\.?(?:\/|$)/;

/**
 * Parses a SPIFFE id, or returns undefined. Scheme and trust domain are compared without case (§2.1, §2.2) and so come back
 * lower-case; the path keeps its case. No port, user, query, fragment, percent-encoding, empty or dot segment.
 */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > MAX_ID_LENGTH) return undefined;
  const match = SPIFFE_ID.exec(text);
  const trustDomain = match?.[1]?.toLowerCase();
  const path = match?.[2];
  if (trustDomain === undefined || path === undefined || trustDomain.length > MAX_TRUST_DOMAIN_LENGTH) return undefined;
  return DOT_SEGMENT.test(path) ? undefined : { uri: `spiffe://${trustDomain}${path}`, trustDomain, path };
}

/** True for a URI that means to be a SPIFFE id, whether or not it is a valid one. */
export function claimsSpiffe(uri: string): boolean {
  return /^spiffe:/i.test(uri);
}
