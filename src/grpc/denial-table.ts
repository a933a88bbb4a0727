/**
 * What the caller sees of each denial: one row per kind, none of them optional. The rich reason stays in the audit record;
 * a message here says what the caller may know, and the same for everything that it must not tell apart.
 */
import type { Denial } from '../kernel/denial.ts';
import type { DenialTable, DenialView, Row } from './denial-row.ts';
import { badRequest, quotaFailure, resourceInfo, retryInfo } from './error-details.ts';
import { QUOTA_ROWS } from './quota-denials.ts';
import { GrpcStatus, statusOfHttp, statusOfReset } from './status.ts';

/** Views a denial as its caller may see it. `tenant` is the verified tenant's id, or empty. */
export function viewDenial(denial: Denial, tenant: string): DenialView {
  // The row is found by the denial's own kind, so it takes this arm; TypeScript cannot correlate the two.
  const row = DENIAL_TABLE[denial.kind] as Row<Denial>;
  const status = row.statusOf?.(denial) ?? row.status;
  return { ...EMPTY, status, reason: row.reason, message: row.message, ...row.more?.(denial, tenant) };
}

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
  ...QUOTA_ROWS,
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
