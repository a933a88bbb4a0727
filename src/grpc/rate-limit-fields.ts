/**
 * RateLimit fields (draft-ietf-httpapi-ratelimit-headers): what limits there are for a call and what is left of them, for refusals and
 * for calls that pass; and the three older fields that Envoy writes (`DRAFT_VERSION_03`), for clients and dashboards that know those only.
 */
import type { QuotaUnit } from '../kernel/denial.ts';

/** A limit as the fields tell it. */
export interface LimitFacts {
  readonly name: string;
  /** What it counts, if not calls within a time. */
  readonly unit: QuotaUnit | 'concurrent calls';
  readonly amount: number;
  /** At least; undefined: its time has no length. */
  readonly windowSeconds: number | undefined;
  /** Tells whose share of a limit it is without saying who that is, in base64; undefined: it is not told apart. */
  readonly partition: string | undefined;
}

/** The same in words, which are worth keeping: they are the same for each call. */
export class ToldLimit {
  readonly facts: LimitFacts;
  readonly policy: string;
  readonly #key: string;

  constructor(facts: LimitFacts) {
    const { name, unit, amount, windowSeconds, partition } = facts;
    const width = windowSeconds === undefined ? '' : `;w=${windowSeconds}`;
    this.facts = facts;
    this.#key = partition === undefined ? '' : `;pk=:${partition}:`;
    this.policy = `"${name}";q=${amount}${QUOTA_UNITS[unit]}${width}${this.#key}`;
  }

  state(remaining: number, resetMs: number | undefined): string {
    return `"${this.facts.name}";r=${remaining}${resetMs === undefined ? '' : `;t=${seconds(resetMs)}`}${this.#key}`;
  }
}

/** Calls are what is counted when it is not said. What has no registered unit has a parameter of ours. */
const QUOTA_UNITS: Readonly<Record<LimitFacts['unit'], string>> = {
  calls: '',
  requestBytes: ';qu="content-bytes"',
  responseBytes: ';qu="content-bytes"',
  tensorElements: ';bulkhead-unit="tensor-elements"',
  inputTokens: ';bulkhead-unit="input-tokens"',
  outputTokens: ';bulkhead-unit="output-tokens"',
  computeSeconds: ';bulkhead-unit="compute-seconds"',
  'concurrent calls': ';qu="concurrent-requests"',
};

/** What is left of it now. */
export interface LimitState {
  readonly limit: ToldLimit;
  readonly remaining: number;
  /** Until there is more; undefined: not by time. */
  readonly resetMs: number | undefined;
}

/** Names and values in turn. Never in a trailer section. */
export function rateLimitFields(states: readonly LimitState[]): readonly string[] {
  let policies = '';
  let left = '';
  for (const { limit, remaining, resetMs } of states) {
    const separator = policies === '' ? '' : ', ';
    policies += separator + limit.policy;
    left += separator + limit.state(remaining, resetMs);
  }
  return ['ratelimit-policy', policies, 'ratelimit', left];
}

/** Of the limit that lets fewest calls through; empty when none counts calls within a time. */
export function olderFields(states: readonly LimitState[]): readonly string[] {
  const calls = states.filter(({ limit: { facts } }) => facts.unit === 'calls' && facts.windowSeconds !== undefined);
  const [first, ...others] = calls;
  if (first === undefined) return [];
  const least = others.reduce((one, other) => (other.remaining < one.remaining ? other : one), first);
  const policies = calls.map(({ limit: { facts } }) => `${facts.amount};w=${facts.windowSeconds};name="${facts.name}"`);
  return [
    'x-ratelimit-limit',
    `${least.limit.facts.amount}, ${policies.join(', ')}`,
    'x-ratelimit-remaining',
    String(least.remaining),
    'x-ratelimit-reset',
    String(seconds(least.resetMs ?? 0)),
  ];
}

/** Whole seconds, rounded so that nobody comes too early. */
export function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}
