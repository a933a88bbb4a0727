/**
 * Why a certificate was revoked, as a revocation list says it.
 */
/** CRLReason, RFC 5280 §5.3.1, as far as a CA of leafs has use for it. `unspecified` is written by leaving it out. */
export const REVOCATION_REASON = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
} as const;

export type RevocationReason = keyof typeof REVOCATION_REASON;
