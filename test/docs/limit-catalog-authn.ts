/** The rows of authentication's limits. */
import type { AuthnLimits } from '../../src/authn/limits.ts';
import type { LimitRow } from './limit-catalog.ts';

const KEYS = 'unit/authn/jwks-source.test.ts';
const METADATA = 'unit/authn/issuer-metadata.test.ts';
const INTROSPECTION = 'unit/authn/introspector.test.ts';
const FETCHING = 'unit/fetching/document-fetch.test.ts';
const AUTHENTICATOR = 'unit/authn/authenticator.test.ts';

export const AUTHN_ROWS: Record<keyof AuthnLimits, LimitRow> = {
  maxTokenBytes: {
    attack: 'Tokens that cost more to parse than they are worth',
    test: ['unit/authn/credentials.test.ts', 'a token of 16 KiB is looked at, a byte more is not'],
  },
  maxCachedTokens: {
    attack: 'New tokens without end fill the memory',
    test: [AUTHENTICATOR, 'n tokens are remembered, of n + 1 one is verified again'],
  },
  maxCachedTokenBytes: {
    attack: 'Large tokens fill the memory',
    test: [AUTHENTICATOR, 'tokens are remembered up to so many bytes together'],
  },
  maxCallersPerCredential: {
    attack: 'One token with certificates without end',
    test: ['unit/authn/second-chance-cache.test.ts', 'holds n entries and forgets one at n + 1'],
  },
  maxConcurrentSignatures: {
    attack: "A flood of forged tokens takes the threads that another tenant's tokens need",
    test: ['unit/authn/turnstile.test.ts', 'n jobs run at once, the next one waits for a place, in order'],
  },
  maxPendingVerifications: {
    attack: 'A flood of forged tokens that wait',
    test: [AUTHENTICATOR, 'n tokens are verified at once, the one after them is refused and may come again'],
  },
  maxJwksBytes: { attack: 'An issuer that answers without end', test: [FETCHING, 'takes n bytes and not n + 1'] },
  maxJwksKeys: {
    attack: 'A key set so long that every token is looked up in it',
    test: [KEYS, 'n keys are taken over, n + 1 are no set of keys'],
  },
  maxMetadataBytes: {
    attack: 'An issuer that answers without end',
    test: [METADATA, 'are where OpenID Connect has them, fetched with the issuer’s CA and within limits'],
  },
  metadataRefreshMs: {
    attack: 'Keys that are looked for where they were',
    test: [METADATA, 'are fetched again behind the callers’ backs at their age, and not before'],
  },
  jwksTimeoutMs: {
    attack: 'An issuer that does not answer',
    test: [
      FETCHING,
      'waits for a server that is slow, up to its limit',
      'gives up on a server that does not answer, or never finishes',
    ],
  },
  jwksCooldownMs: {
    attack: 'Unknown key ids make us flood the issuer',
    test: [KEYS, 'an unknown kid has the keys fetched again after the cooldown, not before'],
  },
  jwksRefreshMs: {
    attack: 'A key that was withdrawn goes on counting',
    test: [KEYS, 'a remembered token is verified again when the keys have changed, and refused when its key is gone'],
  },
  maxConcurrentIntrospections: {
    attack: 'A flood of made-up tokens is passed on to the issuer',
    test: [INTROSPECTION, 'is asked about n at a time, and n wait'],
  },
  maxPendingIntrospections: {
    attack: 'A flood of made-up tokens that wait',
    test: [INTROSPECTION, 'is asked about n at a time, and n wait'],
  },
  introspectionTimeoutMs: {
    attack: 'An issuer that does not answer',
    test: [INTROSPECTION, 'is asked about with the client’s name and secret, which are in the header and nowhere else'],
  },
  maxIntrospectionBytes: {
    attack: 'An issuer that answers without end',
    test: [INTROSPECTION, 'is asked about with the client’s name and secret, which are in the header and nowhere else'],
  },
  introspectionRetryMs: {
    attack: 'Every call waits for an issuer that is away',
    test: [INTROSPECTION, 'is asked again by one caller at a time, and not before a while has passed'],
  },
  introspectionNegativeMs: {
    attack: 'The same made-up token over and over',
    test: [INTROSPECTION, 'that a token is not active is remembered for a little while'],
  },
  maxInactiveTokens: {
    attack: 'Made-up tokens without end fill the memory',
    test: [INTROSPECTION, 'of so many tokens: of n all are remembered, of n + 1 one is asked about again (%s)'],
  },
  maxInactiveTokenBytes: {
    attack: 'Large ones do',
    test: [INTROSPECTION, 'of so many tokens: of n all are remembered, of n + 1 one is asked about again (%s)'],
  },
  jwksMaxStaleMs: {
    attack: 'The same, by keeping us from the issuer',
    test: [KEYS, 'keys that could not be renewed for a day no longer serve'],
  },
  jwksRetryMs: {
    attack: 'A dead issuer is asked for every call',
    test: [KEYS, 'with nothing cached an issuer that is down means unavailable, and is asked again after a while'],
  },
};
