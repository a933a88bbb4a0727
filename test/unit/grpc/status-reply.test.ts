import protoLoader from '@grpc/proto-loader';
import { beforeAll, describe, expect, it } from 'vitest';
import { DENIAL_TABLE } from '../../../src/grpc/denial-table.ts';
import { trailersFor, trailersOnly } from '../../../src/grpc/status-reply.ts';
import type { Denial } from '../../../src/kernel/denial.ts';

type Decoded = Readonly<Record<string, unknown>>;
let decode: (type: string, bytes: Buffer) => Decoded;

beforeAll(async () => {
  const files = ['google/rpc/status.proto', 'google/rpc/error_details.proto'];
  const definition = await protoLoader.load(files, { includeDirs: ['proto'], keepCase: true, longs: Number });
  decode = (type, bytes) => {
    const found = definition[type];
    const deserialize = found === undefined ? undefined : Reflect.get(found, 'deserialize');
    if (typeof deserialize !== 'function') throw new Error(`unknown type ${type}`);
    return deserialize(bytes);
  };
});

interface Reply {
  readonly headers: ReadonlyMap<string, string>;
  readonly status: Decoded;
  readonly details: ReadonlyMap<string, Decoded>;
}

function read(block: readonly string[]): Reply {
  const headers = new Map<string, string>();
  for (let i = 0; i < block.length; i += 2) {
    const [name, value] = [block[i] ?? '', block[i + 1] ?? ''];
    expect(headers.has(name)).toBe(false);
    expect(value).toMatch(/^[ -~]+$/);
    headers.set(name, value);
  }
  const encoded = headers.get('grpc-status-details-bin') ?? '';
  expect(encoded).not.toContain('=');
  const status = decode('google.rpc.Status', Buffer.from(encoded, 'base64'));
  const details = new Map<string, Decoded>();
  for (const any of status['details'] as { type_url: string; value: Buffer }[]) {
    const type = any.type_url.replace('type.googleapis.com/', '');
    details.set(type.replace('google.rpc.', ''), decode(type, any.value));
  }
  return { headers, status, details };
}

const limit = { callsPerSecond: 100, burst: 200 };
const DAILY = {
  unit: 'calls',
  name: 'daily',
  level: 'tenant',
  amount: 500,
  window: 'day',
  windowSeconds: 86_400,
  resetMs: 90_001,
} as const;
const TOTAL = {
  unit: 'calls',
  name: 'contract',
  level: 'organisation',
  amount: 9_000,
  window: 'total',
  windowSeconds: undefined,
  resetMs: undefined,
} as const;

/** One of each kind, with what wire-conventions.md 4.1 says of it. Total, as the table is. */
const EXAMPLES: { readonly [K in Denial['kind']]: readonly [Extract<Denial, { kind: K }>, number, string] } = {
  path_malformed: [{ kind: 'path_malformed', path: '/..' }, 12, 'METHOD_UNKNOWN'],
  method_unknown: [{ kind: 'method_unknown', path: '/a/b' }, 12, 'METHOD_UNKNOWN'],
  header_malformed: [{ kind: 'header_malformed', header: 'grpc-timeout', why: SECRET() }, 3, 'REQUEST_MALFORMED'],
  content_type_unsupported: [
    { kind: 'content_type_unsupported', contentType: SECRET() },
    2,
    'CONTENT_TYPE_UNSUPPORTED',
  ],
  certificate_unacceptable: [{ kind: 'certificate_unacceptable', why: SECRET() }, 16, 'CERTIFICATE_UNACCEPTABLE'],
  credentials_missing: [{ kind: 'credentials_missing', accepted: ['token'] }, 16, 'CREDENTIALS_MISSING'],
  token_invalid: [{ kind: 'token_invalid', why: SECRET() }, 16, 'TOKEN_INVALID'],
  token_expired: [{ kind: 'token_expired', expiredAtSeconds: 1_234_567 }, 16, 'TOKEN_EXPIRED'],
  token_binding_mismatch: [{ kind: 'token_binding_mismatch', why: SECRET() }, 16, 'TOKEN_BINDING_MISMATCH'],
  api_key_invalid: [{ kind: 'api_key_invalid', why: 'revoked' }, 16, 'API_KEY_INVALID'],
  authorization_expired: [
    { kind: 'authorization_expired', why: 'lease', credential: 'token' },
    16,
    'AUTHORIZATION_EXPIRED',
  ],
  foreign_key_unproven: [
    { kind: 'foreign_key_unproven', claimed: SECRET(), presented: SECRET(), why: 'wrong_secret' },
    16,
    'API_KEY_INVALID',
  ],
  foreign_token_unproven: [
    { kind: 'foreign_token_unproven', claimed: SECRET(), presented: SECRET() },
    16,
    'TOKEN_INVALID',
  ],
  tenant_mismatch: [
    { kind: 'tenant_mismatch', claimed: SECRET(), presented: SECRET(), by: SECRET() },
    7,
    'TENANT_MISMATCH',
  ],
  address_not_allowed: [
    { kind: 'address_not_allowed', address: SECRET(), by: 'api key', list: 'addresses' },
    7,
    'IP_NOT_ALLOWED',
  ],
  insufficient_scope: [
    { kind: 'insufficient_scope', requiredScopes: ['models:infer', 'models:read'] },
    7,
    'INSUFFICIENT_SCOPE',
  ],
  step_up_required: [
    { kind: 'step_up_required', acrValues: ['urn:a', 'b'], amrValues: ['mfa'], maxAgeSeconds: 300 },
    16,
    'STEP_UP_REQUIRED',
  ],
  method_denied: [{ kind: 'method_denied', method: 'a/b', caller: SECRET() }, 7, 'MODEL_ACCESS_DENIED'],
  model_denied: [{ kind: 'model_denied', method: 'a/b', model: 'digits', version: '1' }, 7, 'MODEL_ACCESS_DENIED'],
  rate_limited: [{ kind: 'rate_limited', scope: 'caller', limit, retryAfterMs: 1_200.5 }, 8, 'RATE_LIMITED'],
  concurrency_limited: [{ kind: 'concurrency_limited', limit: 7, retryAfterMs: 50 }, 8, 'CONCURRENCY_LIMITED'],
  queue_full: [{ kind: 'queue_full', scope: 'tenant', limit: 9, retryAfterMs: 50 }, 8, 'QUEUE_FULL'],
  queue_too_slow: [
    { kind: 'queue_too_slow', scope: 'all', waitMs: 900, leftMs: 100, retryAfterMs: 900 },
    14,
    'QUEUE_TOO_SLOW',
  ],
  quota_exhausted: [
    { kind: 'quota_exhausted', exhausted: [DAILY, TOTAL], retryAfterMs: undefined },
    8,
    'QUOTA_EXHAUSTED',
  ],
  quota_exhausted_mid_stream: [
    { kind: 'quota_exhausted_mid_stream', exhausted: [DAILY], requestBytes: 12, responseBytes: 34 },
    8,
    'QUOTA_EXHAUSTED_MID_STREAM',
  ],
  message_too_large: [{ kind: 'message_too_large', bytes: 101, limitBytes: 100 }, 8, 'MESSAGE_TOO_LARGE'],
  buffer_exceeded: [{ kind: 'buffer_exceeded', heldBytes: 1_001, limitBytes: 1_000 }, 8, 'TENANT_BUFFER_EXCEEDED'],
  payload_rejected: [{ kind: 'payload_rejected', field: 'model_name', why: SECRET() }, 3, 'PAYLOAD_REJECTED'],
  encoding_unsupported: [{ kind: 'encoding_unsupported', encoding: SECRET() }, 12, 'ENCODING_UNSUPPORTED'],
  deadline_exceeded: [{ kind: 'deadline_exceeded', timeoutMs: 5 }, 4, 'DEADLINE_EXCEEDED'],
  policy_unavailable: [{ kind: 'policy_unavailable', source: SECRET(), why: SECRET() }, 14, 'POLICY_UNAVAILABLE'],
  upstream_unavailable: [
    { kind: 'upstream_unavailable', upstream: SECRET(), why: SECRET() },
    14,
    'UPSTREAM_UNAVAILABLE',
  ],
  circuit_open: [{ kind: 'circuit_open', upstream: SECRET(), retryAfterMs: 1_500 }, 14, 'CIRCUIT_OPEN'],
  upstream_protocol: [{ kind: 'upstream_protocol', upstream: SECRET(), why: SECRET() }, 13, 'UPSTREAM_PROTOCOL'],
  overloaded: [{ kind: 'overloaded', why: SECRET() }, 14, 'OVERLOADED'],
  draining: [{ kind: 'draining' }, 14, 'DRAINING'],
  audit_unavailable: [{ kind: 'audit_unavailable', why: SECRET() }, 14, 'AUDIT_UNAVAILABLE'],
  internal: [{ kind: 'internal', cause: new Error(SECRET()) }, 13, 'INTERNAL'],
};

/** What must never leave the process. */
function SECRET(): string {
  return 'internal-detail';
}

const all = Object.values(EXAMPLES).map(([denial, status, reason]) => ({ kind: denial.kind, denial, status, reason }));
const grpc = all.filter(({ kind }) => kind !== 'content_type_unsupported');

describe('a denial', () => {
  it.each(grpc)('$kind is told as $status $reason, the same in header, Status and ErrorInfo', (example) => {
    const reply = trailersOnly(example.denial, 'acme');
    expect(reply).toMatchObject({ status: example.status, reason: example.reason });
    const { headers, status, details } = read(reply.block);
    expect(reply.block.slice(0, 4)).toEqual([':status', '200', 'content-type', 'application/grpc']);
    expect(headers.get('grpc-status')).toBe(String(example.status));
    expect(status).toMatchObject({ code: example.status, message: headers.get('grpc-message') });
    expect(details.get('ErrorInfo')).toMatchObject({ reason: example.reason, domain: 'bulkhead' });
    expect(example.reason).toMatch(/^[A-Z][A-Z0-9_]+[A-Z0-9]$/);
  });

  it.each(all)('$kind tells nothing of the inside', ({ denial }) => {
    for (const { block } of [trailersOnly(denial), trailersFor(denial)]) {
      expect(block.join('\n')).not.toContain(SECRET());
      expect(Buffer.from(block[block.indexOf('grpc-status-details-bin') + 1] ?? '', 'base64').includes(SECRET())).toBe(
        false,
      );
    }
  });

  it.each(all)('$kind after response headers has no header section of its own', ({ denial }) => {
    const { block, status } = trailersFor(denial, 'acme');
    const { headers } = read(block);
    expect([...headers.keys()].some((name) => name.startsWith(':') || name.startsWith('ratelimit'))).toBe(false);
    expect(headers.has('content-type')).toBe(false);
    expect(headers.get('grpc-status')).toBe(String(status));
  });

  it.each([
    [{ httpStatus: 200 }, 2],
    [{ httpStatus: 400 }, 13],
    [{ httpStatus: 401 }, 16],
    [{ httpStatus: 403 }, 7],
    [{ httpStatus: 404 }, 12],
    [{ httpStatus: 500 }, 2],
    [{ resetCode: 0 }, 13],
    [{ resetCode: 8 }, 1],
    [{ resetCode: 11 }, 8],
    [{ resetCode: 12 }, 7],
    [{}, 13],
  ])('of a model server that did not speak gRPC (%j) is told as %d', (facts, status) => {
    const denial: Denial = { kind: 'upstream_protocol', upstream: 'u', why: 'w', ...facts };
    expect(trailersOnly(denial)).toMatchObject({ status, reason: 'UPSTREAM_PROTOCOL' });
    expect(read(trailersFor(denial).block).status).toMatchObject({ code: status });
  });

  it('has a row for every kind and a kind for every row', () => {
    expect(Object.keys(DENIAL_TABLE).sort()).toEqual(Object.keys(EXAMPLES).sort());
  });

  it('without a row would not compile', () => {
    const { internal: _, ...rest } = DENIAL_TABLE;
    // @ts-expect-error a table that lacks a kind is not a table
    const incomplete: typeof DENIAL_TABLE = rest;
    expect(incomplete).toBeDefined();
  });

  it('fits a header block whatever the caller sent', () => {
    const long = '\u{1f600}'.repeat(10_000);
    const denials: Denial[] = [
      { kind: 'model_denied', method: long, model: long, version: long },
      { kind: 'method_denied', method: long, caller: long },
      { kind: 'payload_rejected', field: long, why: long },
      { kind: 'header_malformed', header: long, why: long },
      { kind: 'rate_limited', scope: 'tenant', limit, retryAfterMs: 2 ** 40 },
      // As many and as long as a configuration may have them.
      { kind: 'insufficient_scope', requiredScopes: Array.from({ length: 16 }, () => 's'.repeat(64)) },
      {
        kind: 'step_up_required',
        acrValues: Array.from({ length: 8 }, () => 'a'.repeat(100)),
        amrValues: Array.from({ length: 8 }, () => 'm'.repeat(32)),
        maxAgeSeconds: 2_592_000,
      },
    ];
    for (const denial of denials) {
      const { block } = trailersOnly(denial, long);
      let bytes = 0;
      for (const text of block) bytes += text.length + 16;
      expect(bytes).toBeLessThan(4_096);
      read(block);
    }
  });
});

it('a denial by as many quotas as there may be fits a header block', () => {
  const exhausted = Array.from({ length: 32 }, (_, index) => ({
    ...DAILY,
    name: `${index}`.padEnd(40, 'q'),
    level: 'organisation' as const,
    amount: 1e12,
  }));
  const { block } = trailersOnly({ kind: 'quota_exhausted', exhausted, retryAfterMs: 2 ** 40 }, 't'.repeat(63));
  let bytes = 0;
  for (const text of block) bytes += text.length + 16;
  expect(bytes).toBeLessThan(4_096);
  expect(read(block).details.get('QuotaFailure')).toMatchObject({ violations: { length: 6 } });
});

describe('limits', () => {
  it('say when to come back, nowhere earlier than elsewhere', () => {
    const { headers, details } = read(trailersOnly(EXAMPLES.rate_limited[0], 'acme').block);
    expect(details.get('RetryInfo')).toMatchObject({ retry_delay: { seconds: 1, nanos: 201_000_000 } });
    expect(headers.get('grpc-retry-pushback-ms')).toBe('1201');
    expect(headers.get('retry-after')).toBe('2');
    expect(headers.get('ratelimit-policy')).toBe('"caller";q=200;w=2');
    expect(headers.get('ratelimit')).toBe('"caller";r=0;t=2');
    expect(details.get('QuotaFailure')).toEqual({
      violations: [
        expect.objectContaining({
          subject: 'tenant:acme',
          api_service: 'bulkhead',
          quota_metric: 'bulkhead/calls',
          quota_id: 'calls-per-second',
          quota_dimensions: { scope: 'caller' },
          quota_value: 100,
        }),
      ],
    });
    expect(details.get('ErrorInfo')).toMatchObject({ metadata: { limitCallsPerSecond: '100', burstCalls: '200' } });
  });

  it('of calls in progress do the same', () => {
    const { headers, details } = read(trailersOnly(EXAMPLES.concurrency_limited[0], 'acme').block);
    expect(headers.get('retry-after')).toBe('1');
    expect(headers.get('grpc-retry-pushback-ms')).toBe('50');
    expect(headers.get('ratelimit-policy')).toBe('"concurrency";q=7;qu="concurrent-requests"');
    expect(details.get('QuotaFailure')).toMatchObject({ violations: [{ quota_value: 7 }] });
    expect(details.get('RetryInfo')).toMatchObject({ retry_delay: { nanos: 50_000_000 } });
  });

  it('with a name of their own are told by it', () => {
    const rate: Denial = { kind: 'rate_limited', scope: 'model', name: 'per-model', limit, retryAfterMs: 10 };
    const told = read(trailersOnly(rate, 'acme').block);
    expect(told.headers.get('ratelimit')).toBe('"per-model";r=0;t=1');
    expect(told.details.get('ErrorInfo')).toMatchObject({ metadata: { scope: 'model', quota: 'per-model' } });
    const full: Denial = { kind: 'concurrency_limited', scope: 'caller', name: 'at-once', limit: 3, retryAfterMs: 50 };
    const { headers, details } = read(trailersOnly(full, 'acme').block);
    expect(headers.get('ratelimit-policy')).toBe('"at-once";q=3;qu="concurrent-requests"');
    expect(details.get('QuotaFailure')).toMatchObject({
      violations: [{ quota_dimensions: { scope: 'caller', quota: 'at-once' } }],
    });
  });

  it('that are used up are told one by one, and how long a client is to wait', () => {
    const used = (resetMs: number): Reply =>
      read(
        trailersOnly({ kind: 'quota_exhausted', exhausted: [{ ...DAILY, resetMs }], retryAfterMs: resetMs }, 'acme')
          .block,
      );
    const soon = used(60_000);
    expect(soon.headers.get('grpc-retry-pushback-ms')).toBe('60000');
    expect(soon.headers.get('retry-after')).toBe('60');
    // A wait of more than a minute is the operator's to plan for, not a client's to sit through.
    const late = used(60_001);
    expect(late.headers.get('grpc-retry-pushback-ms')).toBe('-1');
    expect(late.headers.get('retry-after')).toBe('61');
    expect(late.details.get('RetryInfo')).toMatchObject({ retry_delay: { seconds: 60, nanos: 1_000_000 } });

    const never = read(trailersOnly(EXAMPLES.quota_exhausted[0], 'acme').block);
    expect(never.headers.get('grpc-retry-pushback-ms')).toBe('-1');
    expect(never.headers.has('retry-after')).toBe(false);
    expect(never.details.has('RetryInfo')).toBe(false);
    expect(never.headers.get('ratelimit-policy')).toBe('"daily";q=500;w=86400, "contract";q=9000');
    expect(never.headers.get('ratelimit')).toBe('"daily";r=0;t=91, "contract";r=0');
    expect(never.details.get('QuotaFailure')).toMatchObject({
      violations: [
        {
          subject: 'tenant:acme',
          quota_id: 'daily',
          quota_value: 500,
          quota_dimensions: { scope: 'tenant', window: 'day' },
        },
        { quota_id: 'contract', quota_value: 9_000, quota_dimensions: { scope: 'organisation', window: 'total' } },
      ],
    });
  });

  it('of bytes say so', () => {
    const exhausted = [{ ...DAILY, unit: 'responseBytes' } as const];
    const { headers, details } = read(trailersOnly({ kind: 'quota_exhausted', exhausted, retryAfterMs: 5 }).block);
    expect(headers.get('ratelimit-policy')).toBe('"daily";q=500;qu="content-bytes";w=86400');
    expect(details.get('QuotaFailure')).toMatchObject({ violations: [{ quota_metric: 'bulkhead/response_bytes' }] });
  });

  it('that run out amid a stream tell what it has used, and are not worth a retry', () => {
    const { headers, details } = read(trailersFor(EXAMPLES.quota_exhausted_mid_stream[0], 'acme').block);
    expect(headers.get('grpc-retry-pushback-ms')).toBe('-1');
    expect([...headers.keys()].filter((name) => name.startsWith('ratelimit'))).toEqual([]);
    expect(details.get('ErrorInfo')).toMatchObject({
      metadata: { quota: 'daily', consumedRequestBytes: '12', consumedResponseBytes: '34' },
    });
  });

  it('of size are not worth a retry', () => {
    const { headers } = read(trailersOnly(EXAMPLES.message_too_large[0]).block);
    expect(headers.get('grpc-retry-pushback-ms')).toBe('-1');
  });
});

describe('what a refused caller is told to do', () => {
  it('what its token must reach, or how its subject must sign in', () => {
    const scope = read(trailersOnly(EXAMPLES.insufficient_scope[0]).block);
    expect(scope.headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", scope="models:infer models:read"',
    );
    expect(scope.details.get('ErrorInfo')).toMatchObject({ metadata: { requiredScopes: 'models:infer models:read' } });
    const stepUp = read(trailersOnly(EXAMPLES.step_up_required[0]).block);
    expect(stepUp.headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_user_authentication", acr_values="urn:a b", max_age="300"',
    );
    expect(stepUp.details.get('ErrorInfo')).toMatchObject({
      metadata: { acrValues: 'urn:a b', amrValues: 'mfa', maxAgeSeconds: '300' },
    });
    const bare: Denial = { kind: 'step_up_required', acrValues: [], amrValues: ['mfa'], maxAgeSeconds: undefined };
    expect(read(trailersOnly(bare).block).headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_user_authentication"',
    );
  });

  it.each(all.filter(({ status, kind }) => status === 16 && kind !== 'step_up_required'))(
    '$kind: present credentials',
    ({ denial, kind }) => {
      const { headers } = read(trailersOnly(denial).block);
      const token = ['token_invalid', 'foreign_token_unproven', 'token_expired', 'token_binding_mismatch'].includes(
        kind,
      );
      expect(headers.get('www-authenticate')).toBe(token ? 'Bearer error="invalid_token"' : 'Bearer');
    },
  );

  it.each(all.filter(({ status }) => status === 14))('$kind: try again', ({ denial }) => {
    expect(read(trailersOnly(denial).block).details.has('RetryInfo')).toBe(true);
  });

  it('which model or method was refused, and which field', () => {
    const model = read(trailersOnly(EXAMPLES.model_denied[0]).block).details.get('ResourceInfo');
    expect(model).toMatchObject({ resource_type: 'model', resource_name: 'digits' });
    const method = read(trailersOnly(EXAMPLES.method_denied[0]).block).details.get('ResourceInfo');
    expect(method).toMatchObject({ resource_type: 'method', resource_name: 'a/b' });
    const field = read(trailersOnly(EXAMPLES.payload_rejected[0]).block).details.get('BadRequest');
    expect(field).toMatchObject({ field_violations: [{ field: 'model_name', reason: 'PAYLOAD_REJECTED' }] });
  });

  it('which encodings it may use', () => {
    const { headers } = read(trailersOnly(EXAMPLES.encoding_unsupported[0]).block);
    expect(headers.get('grpc-accept-encoding')).toBe('identity,gzip');
  });

  it('to speak gRPC, in plain HTTP', () => {
    const { block, body } = trailersOnly(EXAMPLES.content_type_unsupported[0]);
    expect(block).toEqual([':status', '415', 'accept', 'application/grpc']);
    expect(String(body)).toBe('This is a gRPC server.\n');
  });

  it('the same for every way in which an API key can be wrong', () => {
    const whys = ['unknown', 'wrong_secret', 'expired', 'revoked', 'malformed'] as const;
    const blocks = whys.map((why) => trailersOnly({ kind: 'api_key_invalid', why }).block.join('\n'));
    expect(new Set(blocks).size).toBe(1);
  });
});
