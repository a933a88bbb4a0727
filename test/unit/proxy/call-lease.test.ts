import { describe, expect, it } from 'vitest';
import { callLease } from '../../../src/proxy/call-lease.ts';
import { micros } from '../../fakes/trust.ts';

const caller = { expiresAt: micros(100), endsWith: 'token', kind: 'token' } as const;
const terms = { caller, startedAt: micros(10), maxMs: undefined, permitUntil: Number.POSITIVE_INFINITY };
const denial = (why: string, credential = 'token'): object => ({ kind: 'authorization_expired', why, credential });

describe('a lease', () => {
  it('ends with the weakest credential', () => {
    expect(callLease(terms)).toEqual({ until: micros(100), denial: denial('expired') });
    const byCertificate = { ...caller, endsWith: 'certificate' } as const;
    expect(callLease({ ...terms, caller: byCertificate }).denial).toEqual(denial('expired', 'certificate'));
  });

  it('is no longer than its tenant’s, counted from the call’s start', () => {
    expect(callLease({ ...terms, maxMs: 20_000 })).toEqual({ until: micros(30), denial: denial('lease') });
    expect(callLease({ ...terms, maxMs: 90_001 })).toMatchObject({ until: micros(100), denial: denial('expired') });
    const byKey = { ...caller, kind: 'api-key' } as const;
    expect(callLease({ ...terms, caller: byKey, maxMs: 1 }).denial).toEqual(denial('lease', 'api key'));
  });

  it('ends when the sign-in is too old for the role that was used', () => {
    expect(callLease({ ...terms, permitUntil: micros(50), maxMs: 60_000 })).toEqual({
      until: micros(50),
      denial: denial('sign_in_too_old'),
    });
  });
});
