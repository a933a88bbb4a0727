/**
 * A tenant's rate limit service (Envoy's protocol), parsed.
 */

/** Facts of a call that the service may be told, each an entry with its own name as the key. */
export const ENTRY_NAMES = ['tenant', 'caller', 'method'] as const;

export interface RateServiceConfig {
  /** `host:port` or `unix:/path`, as grpc-js takes it. */
  readonly target: string;
  /** As written. */
  readonly display: string;
  readonly tls: { readonly caPem: string | undefined } | undefined;
  readonly domain: string;
  /** Of each descriptor its entries, in order. */
  readonly descriptors: readonly (readonly (typeof ENTRY_NAMES)[number][])[];
  readonly timeoutMs: number;
  /** Without an answer. */
  readonly whenUnavailable: 'refuse' | 'allow';
}
