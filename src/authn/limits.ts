/**
 * What authentication may cost. Every limit is per tenant and per worker, so that a tenant that presses against one harms
 * only itself.
 */
export interface AuthnLimits {
  /** Longest token. Real access tokens have 0.5 to 4 KB; the header block has its own limit before this one. */
  readonly maxTokenBytes: number;
  /** Verified tokens remembered. Beyond it the least used is verified again when it comes back. */
  readonly maxCachedTokens: number;
  /** Characters of remembered tokens together: many tenants times many large tokens is what this bounds. */
  readonly maxCachedTokenBytes: number;
  /** Certificates remembered for one credential: pods that share a token each have their own. */
  readonly maxCallersPerCredential: number;
  /**
   * Signatures being verified at once, on threads that all tenants share. A flood of forged tokens queues up behind itself:
   * at about 50 µs a signature, another tenant's waits for well under a millisecond of it.
   */
  readonly maxConcurrentSignatures: number;
  /** Tokens whose verdict is awaited, with those that wait for their turn: what a flood may hold in memory. */
  readonly maxPendingVerifications: number;
  /** A JWKS document. A hundred RSA keys fit in a quarter of it. */
  readonly maxJwksBytes: number;
  /** Keys in it. A token without a kid has several tried, and every kid is looked for among all. */
  readonly maxJwksKeys: number;
  /** An issuer's metadata. Keycloak's has 10 KB. */
  readonly maxMetadataBytes: number;
  /** Metadata are fetched again in the background at this age. Other than that, they are held to the limits of keys. */
  readonly metadataRefreshMs: number;
  /** For one document: keys or metadata. */
  readonly jwksTimeoutMs: number;
  /**
   * A kid that nobody knows makes us ask the issuer again at once, and then at most this often: kids are the caller's to choose. An
   * issuer that is down is asked no more often either, while the last good keys serve.
   */
  readonly jwksCooldownMs: number;
  /** Keys are fetched again in the background at this age, so that a withdrawn key stops counting. */
  readonly jwksRefreshMs: number;
  /** Answers about tokens awaited at once, of one issuer. */
  readonly maxConcurrentIntrospections: number;
  /** Tokens whose turn to be asked about has not come, with those that are: what a flood of made-up ones may hold. */
  readonly maxPendingIntrospections: number;
  readonly introspectionTimeoutMs: number;
  /** One answer. Groups by the hundred fit in. */
  readonly maxIntrospectionBytes: number;
  /** An endpoint that was away is asked again at most this often, by one caller. */
  readonly introspectionRetryMs: number;
  /** A token that was not active is not asked about again for so long. */
  readonly introspectionNegativeMs: number;
  /** Such tokens remembered. */
  readonly maxInactiveTokens: number;
  /** Characters of them together. */
  readonly maxInactiveTokenBytes: number;
  /** How long the last good keys serve while the issuer cannot be reached. */
  readonly jwksMaxStaleMs: number;
  /** Nothing cached and the issuer unreachable: ask again at most this often. */
  readonly jwksRetryMs: number;
}

export const AUTHN_LIMITS: AuthnLimits = {
  maxTokenBytes: 16 * 1024,
  maxCachedTokens: 2048,
  maxCachedTokenBytes: 2 * 1024 * 1024,
  maxCallersPerCredential: 64,
  maxConcurrentSignatures: 8,
  maxPendingVerifications: 1024,
  maxJwksBytes: 256 * 1024,
  maxJwksKeys: 100,
  maxMetadataBytes: 64 * 1024,
  metadataRefreshMs: 3_600_000,
  jwksTimeoutMs: 5_000,
  jwksCooldownMs: 30_000,
  jwksRefreshMs: 600_000,
  maxConcurrentIntrospections: 8,
  maxPendingIntrospections: 256,
  introspectionTimeoutMs: 3_000,
  maxIntrospectionBytes: 64 * 1024,
  introspectionRetryMs: 2_000,
  introspectionNegativeMs: 5_000,
  maxInactiveTokens: 1024,
  maxInactiveTokenBytes: 256 * 1024,
  jwksMaxStaleMs: 86_400_000,
  jwksRetryMs: 2_000,
};
