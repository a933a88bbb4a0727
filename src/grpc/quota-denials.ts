/**
 * The denial table's rows of quotas: what a caller is told of a limit, and when to come back.
 */
import type { Consumption } from '../kernel/consumption.ts';
import type { Announced, QuotaFacts, QuotaLevel } from '../kernel/denial.ts';
import type { DenialTable } from './denial-row.ts';
import { type QuotaViolation, quotaFailure, quotaFailures, retryInfo } from './error-details.ts';
import {
  type LimitFacts,
  type LimitState,
  olderFields,
  rateLimitFields,
  seconds,
  ToldLimit,
} from './rate-limit-fields.ts';
import { GrpcStatus } from './status.ts';

type QuotaKind =
  | 'rate_limited'
  | 'concurrency_limited'
  | 'queue_full'
  | 'queue_too_slow'
  | 'quota_exhausted'
  | 'quota_exhausted_mid_stream';

export const QUOTA_ROWS: Pick<DenialTable, QuotaKind> = {
  rate_limited: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'RATE_LIMITED',
    message: 'the rate limit is reached',
    more: (denial, tenant) => {
      const { callsPerSecond, burst } = denial.limit;
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
        rateLimitHeaders: fieldsOf(
          [
            usedUp(denial.retryAfterMs, {
              name: denial.name ?? denial.scope,
              unit: 'calls',
              amount: Math.floor(burst),
              windowSeconds: Math.ceil(burst / callsPerSecond),
              partition: denial.partition,
            }),
          ],
          denial,
        ),
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
      rateLimitHeaders: fieldsOf(
        [
          usedUp(denial.retryAfterMs, {
            name: denial.name ?? 'concurrency',
            unit: 'concurrent calls',
            amount: denial.limit,
            windowSeconds: undefined,
            partition: denial.partition,
          }),
        ],
        denial,
      ),
    }),
  },
  // What all tenants together wait for is nobody's limit, and is not told as one (wire-conventions 4.1).
  queue_full: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'QUEUE_FULL',
    message: 'too many calls wait for their turn',
    statusOf: ({ scope }) => (scope === 'all' ? GrpcStatus.UNAVAILABLE : GrpcStatus.RESOURCE_EXHAUSTED),
    more: ({ scope, limit, retryAfterMs }) => ({
      metadata: { scope, ...(scope === 'all' ? {} : { limitQueuedCalls: String(limit) }) },
      details: [retryInfo(retryAfterMs)],
      headers: retryHeaders(retryAfterMs),
    }),
  },
  queue_too_slow: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'QUEUE_TOO_SLOW',
    message: 'its turn would come too late',
    statusOf: ({ scope }) => (scope === 'all' ? GrpcStatus.UNAVAILABLE : GrpcStatus.RESOURCE_EXHAUSTED),
    more: ({ scope, waitMs, retryAfterMs }) => ({
      metadata: { scope, waitMs: String(Math.ceil(waitMs)) },
      details: [retryInfo(retryAfterMs)],
      headers: retryHeaders(retryAfterMs),
    }),
  },
  quota_exhausted: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'QUOTA_EXHAUSTED',
    message: 'the quota is used up',
    more: (denial, tenant) => {
      const { exhausted, retryAfterMs } = denial;
      const told = exhausted.slice(0, MAX_TOLD);
      const states = told.map(({ resetMs, partition, ...limit }) => usedUp(resetMs, { ...limit, partition }));
      return {
        metadata: { quota: told.map((one) => one.name).join(' ') },
        details: [
          quotaFailures(told.map((one) => violationOf(one, tenant))),
          ...(retryAfterMs === undefined ? [] : [retryInfo(retryAfterMs)]),
        ],
        headers: patienceHeaders(retryAfterMs),
        rateLimitHeaders: fieldsOf(states, denial),
      };
    },
  },
  // Whether it began anew or not, the stream is over: what there is to do about it is not a retry.
  quota_exhausted_mid_stream: {
    status: GrpcStatus.RESOURCE_EXHAUSTED,
    reason: 'QUOTA_EXHAUSTED_MID_STREAM',
    message: 'the quota was used up while the call ran',
    more: ({ exhausted, requestBytes, responseBytes, consumed }, tenant) => {
      const told = exhausted.slice(0, MAX_TOLD);
      return {
        metadata: {
          quota: told.map((one) => one.name).join(' '),
          consumedRequestBytes: String(requestBytes),
          consumedResponseBytes: String(responseBytes),
          ...consumedUnits(consumed),
        },
        details: [quotaFailures(told.map((one) => violationOf(one, tenant)))],
        headers: ['grpc-retry-pushback-ms', '-1'],
      };
    },
  },
};

/** Of the units that were counted of the call. */
function consumedUnits(consumed: Consumption | undefined): Readonly<Record<string, string>> {
  const { tensorElements = 0, inputTokens = 0, outputTokens = 0, computeMicros = 0 } = consumed ?? {};
  return {
    ...(tensorElements === 0 ? {} : { consumedTensorElements: String(tensorElements) }),
    ...(inputTokens === 0 ? {} : { consumedInputTokens: String(inputTokens) }),
    ...(outputTokens === 0 ? {} : { consumedOutputTokens: String(outputTokens) }),
    ...(computeMicros === 0 ? {} : { consumedComputeSeconds: (computeMicros / 1_000_000).toFixed(3) }),
  };
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
  tensorElements: 'bulkhead/tensor_elements',
  inputTokens: 'bulkhead/input_tokens',
  outputTokens: 'bulkhead/output_tokens',
  computeSeconds: 'bulkhead/compute_seconds',
} as const;

function usedUp(resetMs: number | undefined, facts: LimitFacts): LimitState {
  return { limit: new ToldLimit(facts), remaining: 0, resetMs };
}

function fieldsOf(states: readonly LimitState[], { older }: Announced): readonly string[] {
  return older === true ? [...rateLimitFields(states), ...olderFields(states)] : rateLimitFields(states);
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

/** Used up quotas that a caller is told of: more than a call is likely to meet at once, and no more than fit. */
const MAX_TOLD = 6;

/** `retry-after` must not be earlier than the time that the RateLimit field tells, nor the pushback than the delay. */
function retryHeaders(retryAfterMs: number): readonly string[] {
  return ['retry-after', String(seconds(retryAfterMs)), 'grpc-retry-pushback-ms', String(Math.ceil(retryAfterMs))];
}
