/**
 * Every way in which a call can be refused: one closed union, rich for the audit record.
 *
 * What the caller sees of each arm is decided in one table, `denial-table.ts`; the data here never leaves the process
 * except in the audit record and the trace.
 */
import type { Consumption } from './consumption.ts';

export type Denial =
  /** `:path` is not a canonical gRPC path. */
  | { readonly kind: 'path_malformed'; readonly path: string }
  /** The path is canonical, but no protocol of this tenant has such a method. */
  | { readonly kind: 'method_unknown'; readonly path: string }
  /** A header that gRPC gives a meaning has a value that it does not allow. */
  | { readonly kind: 'header_malformed'; readonly header: string; readonly why: string }
  /** Not gRPC at all: answered as plain HTTP with 415 (wire-conventions 4.7). */
  | { readonly kind: 'content_type_unsupported'; readonly contentType: string }
  /** The client certificate chains to the tenant's CA, and still cannot identify a caller. */
  | {
      readonly kind: 'certificate_unacceptable';
      readonly why: string;
      readonly revokedBy?: string;
      /** Nobody says whether its CA has taken it back. */
      readonly statusUnknown?: true;
    }
  | { readonly kind: 'credentials_missing'; readonly accepted: readonly string[] }
  | { readonly kind: 'token_invalid'; readonly why: string; readonly revokedBy?: string }
  | { readonly kind: 'token_expired'; readonly expiredAtSeconds: number }
  /** The token is bound to another client certificate, or to none where it must be, or in a way that nobody here can check. */
  | { readonly kind: 'token_binding_mismatch'; readonly why: string }
  | {
      readonly kind: 'api_key_invalid';
      readonly why: 'unknown' | 'wrong_secret' | 'expired' | 'revoked' | 'malformed';
      readonly revokedBy?: string;
    }
  /** A running call has lost what it was admitted by. */
  | {
      readonly kind: 'authorization_expired';
      readonly why: EndOfAuthorization;
      readonly credential: LostCredential;
      /** What a new call with the same credentials would be refused for; absent when time has ended it. */
      readonly because?: string;
    }
  /**
   * An API key with the id of another tenant's, without its secret or after its end: an attempt to cross, or a guess. Which ids
   * other tenants have is not said to who cannot prove to know one, so the caller is told what is told of an unknown key.
   */
  | {
      readonly kind: 'foreign_key_unproven';
      readonly claimed: string;
      readonly presented: string;
      readonly why: 'wrong_secret' | 'expired' | 'revoked';
    }
  /** A token that says to be of an issuer that only other tenants have. Nobody verifies it; the caller is told that it is invalid. */
  | { readonly kind: 'foreign_token_unproven'; readonly claimed: string; readonly presented: string }
  /** What was presented, and is proven, names more than one tenant: an attempt to cross. */
  | { readonly kind: 'tenant_mismatch'; readonly claimed: string; readonly presented: string; readonly by: string }
  /** The tenant or the key is not to be used from there. */
  | {
      readonly kind: 'address_not_allowed';
      readonly address: string;
      readonly by: 'tenant' | 'api key';
      /** The list that decided: it is not on the one, or on the other. */
      readonly list: 'addresses' | 'deniedAddresses';
    }
  /** A role of the caller allows it, to a token that reaches further. */
  | { readonly kind: 'insufficient_scope'; readonly requiredScopes: readonly string[] }
  /** A role of the caller allows it, to somebody who has signed in in another way or lately (RFC 9470). */
  | {
      readonly kind: 'step_up_required';
      readonly acrValues: readonly string[];
      readonly amrValues: readonly string[];
      readonly maxAgeSeconds: number | undefined;
    }
  /** No role of the caller has the method. */
  | ({ readonly kind: 'method_denied'; readonly method: string; readonly caller: string } & RuleFacts)
  /** The caller's roles have the method, but not for this model or version. */
  | ({
      readonly kind: 'model_denied';
      readonly method: string;
      readonly model: string;
      readonly version: string;
      /** The roles have it, and the API key that was presented is for others; absent: the roles do not. */
      readonly by?: 'api key';
    } & RuleFacts)
  | ({
      readonly kind: 'rate_limited';
      readonly scope: QuotaLevel;
      readonly limit: RateLimitFacts;
      readonly retryAfterMs: number;
      /** Absent: the tenant's or the caller's rate, which has none. */
      readonly name?: string;
    } & Partitioned &
      Announced)
  | ({
      readonly kind: 'concurrency_limited';
      readonly limit: number;
      readonly retryAfterMs: number;
      /** Absent: the tenant's. */
      readonly scope?: QuotaLevel;
      readonly name?: string;
    } & Partitioned &
      Announced)
  /** Too many calls wait for their turn: of its tenant, or of all of them. */
  | { readonly kind: 'queue_full'; readonly scope: QueueScope; readonly limit: number; readonly retryAfterMs: number }
  /** Its turn would come too late, by what is measured, or has not come in the time that a call may wait. */
  | {
      readonly kind: 'queue_too_slow';
      readonly scope: QueueScope;
      readonly waitMs: number;
      /** What it had: until its deadline, or the longest that a call may wait. */
      readonly leftMs: number;
      readonly retryAfterMs: number;
    }
  /** Windows or totals are used up: all that the call does not fit into. */
  | ({
      readonly kind: 'quota_exhausted';
      readonly exhausted: readonly QuotaFacts[];
      /** Until there is room in all of them; undefined: not by time. */
      readonly retryAfterMs: number | undefined;
    } & Announced)
  /** They ran out while the call ran: there is no room for its next message. */
  | {
      readonly kind: 'quota_exhausted_mid_stream';
      readonly exhausted: readonly QuotaFacts[];
      /** Of this call, until then. */
      readonly requestBytes: number;
      readonly responseBytes: number;
      readonly consumed?: Consumption;
    }
  | { readonly kind: 'message_too_large'; readonly bytes: number; readonly limitBytes: number }
  /** The memory that all tenants may hold is full, and this one holds more than its share of it. */
  | { readonly kind: 'buffer_exceeded'; readonly heldBytes: number; readonly limitBytes: number }
  /** The message is not what its method takes: broken protobuf, gzip that does not inflate or inflates too far. */
  | { readonly kind: 'payload_rejected'; readonly field: string; readonly why: string }
  | { readonly kind: 'encoding_unsupported'; readonly encoding: string }
  | { readonly kind: 'deadline_exceeded'; readonly timeoutMs: number }
  /** A source of policy (a JWKS) cannot be reached and nothing usable is cached: fail closed. */
  | { readonly kind: 'policy_unavailable'; readonly source: string; readonly why: string }
  /** It cannot be reached, refuses, is busy, or is not asked since it is known to be unhealthy. */
  | { readonly kind: 'upstream_unavailable'; readonly upstream: string; readonly why: string }
  /** The model server has failed so many calls that it is not asked for a while. */
  | { readonly kind: 'circuit_open'; readonly upstream: string; readonly retryAfterMs: number }
  /** The model server did not answer in gRPC: with `httpStatus`, or a reset with `resetCode`, or otherwise. */
  | {
      readonly kind: 'upstream_protocol';
      readonly upstream: string;
      readonly why: string;
      readonly httpStatus?: number;
      readonly resetCode?: number;
    }
  | { readonly kind: 'overloaded'; readonly why: string }
  | { readonly kind: 'draining' }
  | { readonly kind: 'audit_unavailable'; readonly why: string }
  | { readonly kind: 'internal'; readonly cause: unknown };

/** How a running call lost what it was admitted by. */
export type EndOfAuthorization =
  /** It has reached its own end. */
  | 'expired'
  /** The call has run for as long as one authentication counts with its tenant. */
  | 'lease'
  /** The sign-in is older than the role that was used allows (RFC 9470). */
  | 'sign_in_too_old'
  /** It is on a deny list or a revocation list, or its owner has revoked it. */
  | 'revoked'
  /** The configuration has changed, and it does not count, or does not suffice, any more. */
  | 'withdrawn';

/** What a running call has lost; `permission`: the credentials are good, and no role gives what the call does. */
export type LostCredential =
  | 'token'
  | 'api key'
  | 'certificate'
  /** Nobody knows any more whether the certificate was taken back. */
  | 'revocation status'
  | 'tenant'
  | 'permission';

/** Who has a limit to itself. */
export type QuotaLevel = 'organisation' | 'tenant' | 'caller' | 'model';

/** Whose calls in progress a call waits for: its tenant's own, or those of all tenants at the model server. */
export type QueueScope = 'tenant' | 'all';

export type QuotaUnit =
  | 'calls'
  | 'requestBytes'
  | 'responseBytes'
  /** Of a request's input tensors. */
  | 'tensorElements'
  | 'inputTokens'
  | 'outputTokens'
  /** Of the model server, times the model's weight. */
  | 'computeSeconds';

/** A window or a total as configured, for the record and for the details that a refused caller is told. */
export interface QuotaFacts extends Partitioned {
  readonly name: string;
  readonly level: QuotaLevel;
  readonly unit: QuotaUnit;
  readonly amount: number;
  /** `day`, `3600s`, `total`. */
  readonly window: string;
  /** At least; undefined: it has no end by itself. */
  readonly windowSeconds: number | undefined;
  /** Until there is room; undefined: not by time. */
  readonly resetMs: number | undefined;
}

/** Whose share of a limit it is, for RateLimit fields: a name that says nothing of its owner. Absent: it is not told. */
export interface Partitioned {
  readonly partition?: string;
}

/** How limits are told. */
export interface Announced {
  /** Also by the fields of older drafts. */
  readonly older?: true;
}

/** What of the tenant's rules refused it. */
interface RuleFacts {
  /** The rule that denies it, with file and line; absent: no role allows it. */
  readonly rule?: string;
  /** Why a condition of a rule could not be evaluated. */
  readonly failure?: string;
}

/** A rate limit as configured, for the details that a refused caller is told. */
export interface RateLimitFacts {
  readonly callsPerSecond: number;
  readonly burst: number;
}

/** A stage's refusal as a Result. */
export type Denied = { readonly ok: false; readonly error: Denial };

/** Refuses, with the reason. */
export function deny(denial: Denial): Denied {
  return { ok: false, error: denial };
}
