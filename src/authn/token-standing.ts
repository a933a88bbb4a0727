import type { EpochMicros } from '../kernel/ids.ts';

/** What a verified token rests on. It is looked at in every call that brings the token. */
export interface TokenStanding {
  /** Whether the verdict still holds. May have what is due renewed behind the call's back. */
  stands(now: EpochMicros): boolean;
}
