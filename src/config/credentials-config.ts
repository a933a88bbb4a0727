/**
 * By what a tenant's clients are known, parsed: issuers of tokens, API keys, and what of them is revoked.
 */
import type { RevocationPolicy } from '../identity/client-revocation.ts';
import type { OcspHash } from '../identity/ocsp-request.ts';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import type { KeyPairPem } from './generation.ts';

export type CredentialKind = 'certificate' | 'token' | 'api-key';

export interface IssuerConfig {
  /** Exact `iss`. */
  readonly issuer: string;
  /** One of these must be in `aud`. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly jwks:
    | { readonly kind: 'inline'; readonly json: string }
    | { readonly kind: 'url'; readonly url: string; readonly caPem: string | undefined }
    /** Where the issuer's metadata say (OpenID Connect Discovery, RFC 8414). */
    | { readonly kind: 'discovery'; readonly caPem: string | undefined }
    /** Nowhere: it is asked about each token. */
    | { readonly kind: 'none' };
  /** How it is asked about tokens that cannot be verified here; absent: it is not, and they are refused. */
  readonly introspection?: IntrospectionConfig;
  readonly clockSkewMs: number;
  /** A claim that must equal the tenant's id; undefined when the issuer serves this tenant only. */
  readonly tenantClaim: string | undefined;
  /** Tokens must be bound to the client's certificate (RFC 8705); one that says it is bound must match in any case. */
  readonly requireBound: boolean;
  /** What a token's first use binds it to; absent: nothing. */
  readonly replay?: 'certificate' | 'connection' | 'call';
  /** `at+jwt`: tokens must be access tokens by RFC 9068, and say so; absent: any JWT that does not say that it is something else. */
  readonly profile?: 'jwt' | 'at+jwt';
}

/** RFC 7662. */
export interface IntrospectionConfig {
  /** Undefined: where the issuer's metadata say. */
  readonly endpoint: string | undefined;
  readonly caPem: string | undefined;
  readonly clientId: string;
  /** Undefined: the certificate says who we are (RFC 8705 §2). */
  readonly clientSecret: string | undefined;
  /** Whether the secret goes into a header or into the form. */
  readonly method: 'basic' | 'post';
  readonly clientCertificate: KeyPairPem | undefined;
  /** `opaque`: tokens that are no JWT; `all`: JWTs of this issuer too, after their signature if it has keys. */
  readonly tokens: 'opaque' | 'all';
  /** How long an answer is good. */
  readonly cacheMs: number;
  /** And how long after that while the issuer cannot be asked. */
  readonly staleIfErrorMs: number;
}

export interface ApiKeyConfig {
  /** The public middle part of `bk_<id>_<secret>`. */
  readonly id: string;
  /** SHA-256 of the secret part, lower-case hex. Secrets are 192 random bits or more, so a fast hash is right. */
  readonly sha256: string;
  /** Unix seconds. */
  readonly expiresAtSeconds: number | undefined;
  readonly revoked: boolean;
  /** The secret before this one, while its users change over; absent: there is none. */
  readonly previous?: { readonly sha256: string; readonly expiresAtSeconds: number };
  /** Absent: none. */
  readonly scopes?: readonly string[];
  /** Ranges of IP addresses that it may be used from; absent: any. */
  readonly addresses?: readonly string[];
  /** Ranges that it may not be used from, whatever the other list says; absent: none. */
  readonly deniedAddresses?: readonly string[];
  /** Globs over the models and versions that it may be used for, of those that roles give; absent: all of these. */
  readonly models?: readonly string[];
  readonly versions?: readonly string[];
}

export interface ClientRevocationConfig extends RevocationPolicy {
  /** From files. */
  readonly lists: readonly RevocationList[];
  readonly urls: readonly { readonly url: string; readonly caPem: string | undefined; readonly allowHttp: boolean }[];
  readonly refreshMs: number;
  /** Absent: no responder is asked. */
  readonly ocsp?: OcspConfig;
}

/** How responders are asked about clients' certificates (RFC 6960). */
export interface OcspConfig {
  /** Undefined: whom the certificate names. */
  readonly responder:
    | { readonly url: string; readonly caPem: string | undefined; readonly allowHttp: boolean }
    | undefined;
  /** What becomes of clients of whom nobody says anything that counts. */
  readonly whenUnknown: 'refuse' | 'allow';
  /** For one exchange; a connection waits no longer for it. */
  readonly timeoutMs: number;
  /** An answer is used for no longer than so, whatever it says. */
  readonly maxAgeMs: number;
  /** How the issuer is named in the request. */
  readonly hash: OcspHash;
  readonly nonce: boolean;
}

/** What a deny list names. */
export interface DeniedCredential {
  readonly kind: 'serial' | 'spiffe' | 'key' | 'subject' | 'session';
  /** A serial as upper-case hex without leading zeros; of the others, what is compared. */
  readonly value: string;
  /** Whose it is: the CA's name, or `iss`; absent: anybody's. */
  readonly issuer?: string;
  /** Unix seconds from which on it means nothing; absent: never. */
  readonly untilSeconds?: number;
  /** `tenants/acme.yaml:12 denied[0]`, for records and explanations. */
  readonly source: string;
}
