/**
 * What the caller sees of each denial: one row per kind, none of them optional. The rich reason stays in the audit record;
 * a message here says what the caller may know, and the same for everything that it must not tell apart.
 */
import type { Denial, QuotaFacts, QuotaLevel, QuotaUnit } from '../kernel/denial.ts';
import {
  badRequest,
  type ErrorDetail,
  type QuotaViolation,
  quotaFailure,
  quotaFailures,
  resourceInfo,
  retryInfo,
} from './error-details.ts';
import { GrpcStatus, statusOfHttp, statusOfReset } from './status.ts';

/** One kind's row, with the denial's data already applied. Flat header lists: name, value, name, value, … */
export interface DenialView {
  /** 200 unless the answer must not look like gRPC's success to another HTTP client. */
  readonly httpStatus: 200 | 415;
  /** What the caller gets, or makes of an answer that is not gRPC. */
  readonly status: GrpcStatus;
  /** `ErrorInfo.reason`. */
  readonly reason: string;
  readonly message: string;
  /** `ErrorInfo.metadata`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Beside the ErrorInfo. */
  readonly details: readonly ErrorDetail[];
  /** Response metadata, in whichever header block carries the status. */
  readonly headers: readonly string[];
  /** RateLimit fields: never in a trailer section (draft-ietf-httpapi-ratelimit-headers). */
  readonly rateLimitHeaders: readonly string[];
}

/** Views a denial as its caller may see it. `tenant` is the verified tenant's id, or empty. */
export function viewDenial(denial: Denial, tenant: string): DenialView {
  // The row is found by the denial's own kind, so it takes this arm; TypeScript cannot correlate the two.
  const row = DENIAL_TABLE[denial.kind] as Row<Denial>;
  const status = row.statusOf?.(denial) ?? row.status;
  return { ...EMPTY, status, reason: row.reason, message: row.message, ...row.more?.(denial, tenant) };
}

type Kind = Denial['kind'];

interface Row<D extends Denial> {
  readonly status: GrpcStatus;
  readonly reason: string;
  readonly message: string;
  /** Where the denial's own data decide. */
  statusOf?(denial: D): GrpcStatus;
  more?(denial: D, tenant: string): Partial<Omit<DenialView, 'status' | 'reason' | 'message'>>;
}

/** Total over `Denial`: a kind without a row does not compile, nor does a row without a kind. */
export type DenialTable = { readonly [K in Kind]: Row<Extract<Denial, { kind: K }>> };

const EMPTY = { httpStatus: 200, metadata: {}, details: [], headers: [], rateLimitHeaders: [] } as const;

/** RFC 6750 §3: no `error` code when no credentials were sent. */
const CHALLENGE = { headers: ['www-authenticate', 'Bearer'] } as const;
const INVALID_TOKEN = { headers: ['www-authenticate', 'Bearer error="invalid_token"'] } as const;

/** How soon something that is down is worth another try. */
const OUTAGE_RETRY_MS = 1_000;
/** A draining sidecar's client has another address to go to at once, or a successor soon. */
const DRAINING_RETRY_MS = 100;

const TOKEN_NOT_VALID: Row<Denial> = {
  status: GrpcStatus.UNAUTHENTICATED,
  reason: 'TOKEN_INVALID',
  message: 'the token is not valid',
  more: () => INVALID_TOKEN,
};

/** One row for unknown, wrong, revoked, expired, malformed and other tenants' keys: which it is would help to guess one. */
const KEY_NOT_VALID: Row<Denial> = {
  status: GrpcStatus.UNAUTHENTICATED,
  reason: 'API_KEY_INVALID',
  message: 'the API key is not valid',
  more: () => CHALLENGE,
};

export const DENIAL_TABLE: DenialTable = {
  path_malformed: { status: GrpcStatus.UNIMPLEMENTED, reason: 'METHOD_UNKNOWN', message: 'unknown method' },
  method_unknown: { status: GrpcStatus.UNIMPLEMENTED, reason: 'METHOD_UNKNOWN', message: 'unknown method' },
  header_malformed: {
    status: GrpcStatus.INVALID_ARGUMENT,
    reason: 'REQUEST_MALFORMED',
    message: 'a request header has a value that gRPC does not allow',
    more: (denial) => ({ details: [badRequest(denial.header, 'the value is not allowed', 'HEADER_MALFORMED')] }),
  },
  // gRPC over HTTP/2, Content-Type: 415, so that what does not speak gRPC does not take the answer for a success.
  content_type_unsupported: {
    status: GrpcStatus.UNKNOWN,
    reason: 'CONTENT_TYPE_UNSUPPORTED',
    message: 'the content type is not application/grpc',
    more: () => ({ httpStatus: 415, headers: ['accept', 'application/grpc'] }),
  },
  certificate_unacceptable: {
    status: GrpcStatus.UNAUTHENTICATED,
    reason: 'CERTIFICATE_UNACCEPTABLE',
    message: 'the client certificate cannot identify a caller',
    more: () => CHALLENGE,
  },
  credentials_missing: {
    status: GrpcStatus.UNAUTHENTICATED,
    reason: 'CREDENTIALS_MISSING',
    message: 'credentials are required',
    more: () => CHALLENGE,
  },
  token_invalid: TOKEN_NOT_VALID,
  token_expired: {
    status: GrpcStatus.UNAUTHENTICATED,
    reason: 'TOKEN_EXPIRED',
    message: 'the token has expired',
    more: () => INVALID_TOKEN,
  },
  // RFC 8705 §3: a certificate that does not match makes the token an invalid one.
  token_binding_mismatch: {
    status: GrpcStatus.UNAUTHENTICATED,
    reason: 'TOKEN_BINDING_MISMATCH',
    message: 'the token is not bound to the client certificate',
    more: () => INVALID_TOKEN,
  },
  api_key_invalid: KEY_NOT_VALID,
  // What other tenants have is their own business: it cannot be told apart from what nobody has.
  foreign_key_unproven: KEY_NOT_VALID,
  foreign_token_unproven: TOKEN_NOT_VALID,
  // One text for all ways in which it ends: what was revoked, and that something was, is its tenant's to tell.
  authorization_expired: {
    status: GrpcStatus.UNAUTHENTICATED,
    reason: 'AUTHORIZATION_EXPIRED',
    message: 'the authorization of this call has ended: call again with current credentials',
    more: () => CHALLENGE,
  },
  // Said of what is proven only. Names no tenant: the caller has shown that it knows one, not that it may learn another.
  tenant_mismatch: {
    status: GrpcStatus.PERMISSION_DENIED,
    reason: 'TENANT_MISMATCH',
    message: 'the credentials do not belong together',
  },
  // RFC 6750 §3.1. What is in quotes here and below has neither quotes nor backslashes by the configuration's grammar.
  insufficient_scope: {
    status: GrpcStatus.PERMISSION_DENIED,
    reason: 'INSUFFICIENT_SCOPE',
    message: 'the credentials lack a scope that this needs',
    more: ({ requiredScopes }) => {
      const scopes = requiredScopes.join(' ');
      return {
        metadata: { requiredScopes: scopes },
        headers: ['www-authenticate', `Bearer error="insufficient_scope", scope="${scopes}"`],
      };
    },
  },
  // RFC 9470 §3. The challenge has no parameter for methods, so they are in the details alone.
  step_up_required: {
    status: GrpcStatus.UNAUTHENTICATED,
    reason: 'STEP_UP_REQUIRED',
    message: 'this needs a stronger or more recent authentication',
    more: ({ acrValues, amrValues, maxAgeSeconds }) => {
      const acr = acrValues.join(' ');
      const amr = amrValues.join(' ');
      return {
        metadata: {
          ...(acr === '' ? {} : { acrValues: acr }),
          ...(amr === '' ? {} : { amrValues: amr }),
          ...(maxAgeSeconds === undefined ? {} : { maxAgeSeconds: String(maxAgeSeconds) }),
        },
        headers: [
          'www-authenticate',
          'Bearer error="insufficient_user_authentication"' +
            (acr === '' ? '' : `, acr_values="${acr}"`) +
            (maxAgeSeconds === undefined ? '' : `, max_age="${maxAgeSeconds}"`),
        ],
      };
    },
  },
  address_not_allowed: {
    status: GrpcStatus.PERMISSION_DENIED,
    reason: 'IP_NOT_ALLOWED',
    message: 'not from this address',
  },
  method_denied: {
    status: GrpcStatus.PERMISSION_DENIED,
    reason: 'MODEL_ACCESS_DENIED',
    message: 'the caller may not use this method',
    more: (denial) => ({ details: [resourceInfo('method', denial.method)] }),
  },
  model_denied: {
    status: GrpcStatus.PERMISSION_DENIED,
    reason: 'MODEL_ACCESS_DENIED',
    message: 'the caller may not use this model with this method',
    more: (denial) => ({ details: [resourceInfo('model', denial.model)] }),
  },
  rate_limited: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'RATE_LIMITED',
    message: 'the rate limit is reached',
    more: (denial, tenant) => {
      const { callsPerSecond, burst } = denial.limit;
      const policy = denial.name ?? denial.scope;
      return {
        metadata: {
          limitCallsPerSecond: String(callsPerSecond),
          burstCalls: String(burst),
          scope: denial.scope,
          ...named(denial.name),
        },
        details: [
          quotaFailure({
            subject: tenant === '' ? denial.scope : `tenant:${tenant}`,
            description: `the rate limit per ${denial.scope} is reached`,
            metric: 'bulkhead/calls',
            id: 'calls-per-second',
            dimensions: { scope: denial.scope, ...named(denial.name) },
            value: callsPerSecond,
          }),
          retryInfo(denial.retryAfterMs),
        ],
        headers: retryHeaders(denial.retryAfterMs),
        rateLimitHeaders: [
          'ratelimit-policy',
          `"${policy}";q=${Math.floor(burst)};w=${Math.ceil(burst / callsPerSecond)}`,
          'ratelimit',
          `"${policy}";r=0;t=${seconds(denial.retryAfterMs)}`,
        ],
      };
    },
  },
  concurrency_limited: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'CONCURRENCY_LIMITED',
    message: 'too many calls in progress',
    more: (denial, tenant) => ({
      metadata: { limitConcurrentCalls: String(denial.limit), ...scoped(denial.scope), ...named(denial.name) },
      details: [
        quotaFailure({
          subject: tenant === '' ? 'tenant' : `tenant:${tenant}`,
          description: 'the limit of calls in progress is reached',
          metric: 'bulkhead/concurrent_calls',
          id: 'concurrent-calls',
          dimensions: { scope: denial.scope ?? 'tenant', ...named(denial.name) },
          value: denial.limit,
        }),
        retryInfo(denial.retryAfterMs),
      ],
      headers: retryHeaders(denial.retryAfterMs),
      rateLimitHeaders: [
        'ratelimit-policy',
        `"${denial.name ?? 'concurrency'}";q=${denial.limit};qu="concurrent-requests"`,
        'ratelimit',
        `"${denial.name ?? 'concurrency'}";r=0;t=${seconds(denial.retryAfterMs)}`,
      ],
    }),
  },
  quota_exhausted: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'QUOTA_EXHAUSTED',
    message: 'the quota is used up',
    more: ({ exhausted, retryAfterMs }, tenant) => {
      const told = exhausted.slice(0, MAX_TOLD);
      const policies = told.map(
        ({ name, unit, amount, windowSeconds }) => `"${name}";q=${amount}${quotaUnit(unit)}${width(windowSeconds)}`,
      );
      const states = told.map(({ name, resetMs }) => `"${name}";r=0${reset(resetMs)}`);
      return {
        metadata: { quota: told.map((one) => one.name).join(' ') },
        details: [
          quotaFailures(told.map((one) => violationOf(one, tenant))),
          ...(retryAfterMs === undefined ? [] : [retryInfo(retryAfterMs)]),
        ],
        headers: patienceHeaders(retryAfterMs),
        rateLimitHeaders: ['ratelimit-policy', policies.join(', '), 'ratelimit', states.join(', ')],
      };
    },
  },
  // Whether it began anew or not, the stream is over: what there is to do about it is not a retry.
  quota_exhausted_mid_stream: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'QUOTA_EXHAUSTED_MID_STREAM',
    message: 'the quota was used up while the call ran',
    more: ({ exhausted, requestBytes, responseBytes }, tenant) => {
      const told = exhausted.slice(0, MAX_TOLD);
      return {
        metadata: {
          quota: told.map((one) => one.name).join(' '),
          consumedRequestBytes: String(requestBytes),
          consumedResponseBytes: String(responseBytes),
        },
        details: [quotaFailures(told.map((one) => violationOf(one, tenant)))],
        headers: ['grpc-retry-pushback-ms', '-1'],
      };
    },
  },
  // The same message will be too large tomorrow: a negative pushback tells clients not to retry (gRFC A6).
  message_too_large: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'MESSAGE_TOO_LARGE',
    message: 'the message is too large',
    more: (denial) => ({
      metadata: { limitBytes: String(denial.limitBytes) },
      headers: ['grpc-retry-pushback-ms', '-1'],
    }),
  },
  buffer_exceeded: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'TENANT_BUFFER_EXCEEDED',
    message: 'too many bytes are held for the tenant',
    more: (denial, tenant) => ({
      metadata: { limitBytes: String(denial.limitBytes) },
      details: [
        quotaFailure({
          subject: tenant === '' ? 'tenant' : `tenant:${tenant}`,
          description: 'its share of the memory is exceeded',
          metric: 'bulkhead/held_bytes',
          id: 'held-bytes',
          dimensions: { scope: 'tenant' },
          value: denial.limitBytes,
        }),
        retryInfo(OUTAGE_RETRY_MS),
      ],
    }),
  },
  payload_rejected: {
    status: GrpcStatus.INVALID_ARGUMENT,
    reason: 'PAYLOAD_REJECTED',
    message: 'the message is not acceptable',
    more: (denial) => ({ details: [badRequest(denial.field, 'not what the method takes', 'PAYLOAD_REJECTED')] }),
  },
  encoding_unsupported: {
    status: GrpcStatus.UNIMPLEMENTED,
    reason: 'ENCODING_UNSUPPORTED',
    message: 'the message encoding is not supported',
    more: () => ({ headers: ['grpc-accept-encoding', 'identity,gzip'] }),
  },
  deadline_exceeded: {
    status: GrpcStatus.DEADLINE_EXCEEDED,
    reason: 'DEADLINE_EXCEEDED',
    message: 'the deadline has passed',
  },
  policy_unavailable: unavailable('POLICY_UNAVAILABLE', 'the call cannot be decided at the moment', OUTAGE_RETRY_MS),
  upstream_unavailable: unavailable('UPSTREAM_UNAVAILABLE', 'the model server is not available', OUTAGE_RETRY_MS),
  circuit_open: {
    status: GrpcStatus.UNAVAILABLE,
    reason: 'CIRCUIT_OPEN',
    message: 'the model server has failed repeatedly and is not asked at the moment',
    more: (denial) => ({ details: [retryInfo(denial.retryAfterMs)] }),
  },
  upstream_protocol: {
    status: GrpcStatus.INTERNAL,
    reason: 'UPSTREAM_PROTOCOL',
    message: 'the model server did not answer as gRPC requires',
    statusOf: ({ httpStatus, resetCode }) => {
      if (httpStatus !== undefined) return statusOfHttp(httpStatus);
      return resetCode === undefined ? GrpcStatus.INTERNAL : statusOfReset(resetCode);
    },
  },
  // Not RESOURCE_EXHAUSTED: that is a tenant's own limit, and this is nobody's.
  overloaded: unavailable('OVERLOADED', 'the service is overloaded', OUTAGE_RETRY_MS),
  draining: unavailable('DRAINING', 'the service is shutting down', DRAINING_RETRY_MS),
  audit_unavailable: unavailable('AUDIT_UNAVAILABLE', 'the call cannot be recorded at the moment', OUTAGE_RETRY_MS),
  internal: { status: GrpcStatus.INTERNAL, reason: 'INTERNAL', message: 'internal error' },
};

function unavailable(reason: string, message: string, retryMs: number): Row<Denial> {
  return { status: GrpcStatus.UNAVAILABLE, reason, message, more: () => ({ details: [retryInfo(retryMs)] }) };
}

function violationOf({ name, level, unit, amount, window }: QuotaFacts, tenant: string): QuotaViolation {
  return {
    subject: tenant === '' ? level : `tenant:${tenant}`,
    description: `the quota per ${level} is used up`,
    metric: METRICS[unit],
    id: name,
    dimensions: { scope: level, window },
    value: amount,
  };
}

const METRICS = {
  calls: 'bulkhead/calls',
  requestBytes: 'bulkhead/request_bytes',
  responseBytes: 'bulkhead/response_bytes',
} as const;

/** Calls are what is counted when it is not said. */
function quotaUnit(unit: QuotaUnit): string {
  return unit === 'calls' ? '' : ';qu="content-bytes"';
}

/** The longest wait that a client is asked to sit through by itself. */
const LONGEST_PUSHBACK_MS = 60_000;

/** A window that opens much later, or a total, is no reason to try again: a negative pushback says so (gRFC A6). */
function patienceHeaders(retryAfterMs: number | undefined): readonly string[] {
  if (retryAfterMs === undefined) return ['grpc-retry-pushback-ms', '-1'];
  if (retryAfterMs <= LONGEST_PUSHBACK_MS) return retryHeaders(retryAfterMs);
  return ['retry-after', String(seconds(retryAfterMs)), 'grpc-retry-pushback-ms', '-1'];
}

function named(name: string | undefined): Readonly<Record<string, string>> {
  return name === undefined ? {} : { quota: name };
}

function scoped(scope: QuotaLevel | undefined): Readonly<Record<string, string>> {
  return scope === undefined ? {} : { scope };
}

function width(windowSeconds: number | undefined): string {
  return windowSeconds === undefined ? '' : `;w=${windowSeconds}`;
}

function reset(resetMs: number | undefined): string {
  return resetMs === undefined ? '' : `;t=${seconds(resetMs)}`;
}

/** Used up quotas that a caller is told of: more than a call is likely to meet at once, and no more than fit. */
const MAX_TOLD = 6;

/** `retry-after` must not be earlier than the time that the RateLimit field tells, nor the pushback than the delay. */
function retryHeaders(retryAfterMs: number): readonly string[] {
  return ['retry-after', String(seconds(retryAfterMs)), 'grpc-retry-pushback-ms', String(Math.ceil(retryAfterMs))];
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}
