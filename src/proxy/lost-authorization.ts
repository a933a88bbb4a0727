/**
 * What a running call has lost, when a new call with the same credentials would be refused.
 */
import type { Denial, EndOfAuthorization, LostCredential } from '../kernel/denial.ts';
import { describe } from './describe-denial.ts';

/** From what a new call would be refused with to what the running one ends with. */
export function lostAuthorization(refusal: Denial): Denial {
  const because = `${refusal.kind} ${describe(refusal)}`.trimEnd();
  return { kind: 'authorization_expired', why: whyOf(refusal), credential: credentialOf(refusal), because };
}

/** The tenant is configured no more. */
export const LOST_TENANT: Denial = { kind: 'authorization_expired', why: 'withdrawn', credential: 'tenant' };

function whyOf(refusal: Denial): EndOfAuthorization {
  if ('revokedBy' in refusal) return 'revoked';
  if (refusal.kind === 'token_expired') return 'expired';
  if (refusal.kind !== 'api_key_invalid') return 'withdrawn';
  return refusal.why === 'revoked' || refusal.why === 'expired' ? refusal.why : 'withdrawn';
}

function credentialOf({ kind }: Denial): LostCredential {
  switch (kind) {
    case 'certificate_unacceptable':
      return 'certificate';
    case 'api_key_invalid':
      return 'api key';
    case 'token_invalid':
    case 'token_expired':
    case 'token_binding_mismatch':
      return 'token';
    default:
      return 'permission';
  }
}
