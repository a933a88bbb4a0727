/**
 * Asks a tenant's own rate limit service (Envoy's protocol, v3) about a call, for those who have one. The call waits for the answer, its
 * connection does not; no longer than the timeout, after which the configuration says what then.
 *
 * It is asked about calls that may be made, before the tenant's own limits take anything: what the service refuses costs nothing here.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { RateServiceConfig } from '../config/rate-service-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { Denial, QuotaFacts } from '../kernel/denial.ts';
import { deny } from '../kernel/denial.ts';
import { ok, type Result } from '../kernel/result.ts';
import type { Ask, RateAnswer, RateQuestion } from './rate-service-protocol.ts';

class ClearanceEvidence {
  readonly #sealed = true;

  /** Never false: it cannot be made elsewhere. */
  get isCleared(): boolean {
    return this.#sealed;
  }
}

/** Evidence that a tenant's rate limit service was asked about a call, or that the tenant has none: only this module makes one. */
export type Clearance = ClearanceEvidence;

/** What came of a question. */
export type RateServiceOutcome = 'ok' | 'over_limit' | 'unavailable';

const CLEARED: Result<Clearance, Denial> = ok(new ClearanceEvidence());

/** Of a tenant without such a service. */
export function notAsked(): Result<Clearance, Denial> {
  return CLEARED;
}

export class RateService {
  readonly #config: RateServiceConfig;
  readonly #tenant: TenantConfig;
  readonly #heard: (outcome: RateServiceOutcome) => void;
  readonly #open: (config: RateServiceConfig) => Ask | Promise<Ask>;
  #ask: Ask | Promise<Ask> | undefined;

  /** `open`: how it is reached. Default: by grpc-js, which is not loaded before. */
  constructor(
    config: RateServiceConfig,
    tenant: TenantConfig,
    heard: (outcome: RateServiceOutcome) => void,
    open: (config: RateServiceConfig) => Ask | Promise<Ask> = openWhenAsked,
  ) {
    this.#config = config;
    this.#tenant = tenant;
    this.#heard = heard;
    this.#open = open;
  }

  /** Whether the call may go on. `method`: `package.Service/Method`. Never rejects. */
  async clear(caller: Caller, method: string): Promise<Result<Clearance, Denial>> {
    try {
      const ask = await (this.#ask ??= this.#opened());
      const answer = await ask(this.#questionOf(caller, method), this.#config.timeoutMs);
      return this.#judge(answer);
    } catch (cause) {
      return this.#without(cause instanceof Error ? cause.message : String(cause));
    }
  }

  /** What could not be opened, for want of a file for instance, is no answer for later calls. */
  #opened(): Ask | Promise<Ask> {
    const opened = this.#open(this.#config);
    if (!(opened instanceof Promise)) return opened;
    return opened.catch((cause: unknown) => {
      this.#ask = undefined;
      throw cause;
    });
  }

  #questionOf(caller: Caller, method: string): RateQuestion {
    const facts = { tenant: this.#tenant.id, caller: caller.id, method };
    const { domain, descriptors } = this.#config;
    return {
      domain,
      descriptors: descriptors.map((names) => ({ entries: names.map((key) => ({ key, value: facts[key] })) })),
      hitsAddend: 1,
    };
  }

  #judge(answer: RateAnswer): Result<Clearance, Denial> {
    if (answer.overallCode === 'OK') {
      this.#heard('ok');
      return CLEARED;
    }
    if (answer.overallCode !== 'OVER_LIMIT') return this.#without('an answer that is neither yes nor no');
    this.#heard('over_limit');
    const exhausted = answer.statuses.flatMap((status, index) =>
      status.code === 'OVER_LIMIT' ? [this.#factsOf(status, index)] : [],
    );
    if (exhausted.length === 0)
      exhausted.push(this.#factsOf({ code: '', currentLimit: null, durationUntilReset: null }, 0));
    const resets = exhausted.map(({ resetMs }) => resetMs);
    const retryAfterMs =
      resets.length === 0 || resets.includes(undefined) ? undefined : Math.max(...resets.map(Number));
    return deny({ kind: 'quota_exhausted', exhausted, retryAfterMs });
  }

  #factsOf({ currentLimit, durationUntilReset }: RateAnswer['statuses'][number], index: number): QuotaFacts {
    const names = this.#config.descriptors[index] ?? [];
    const unit = currentLimit?.unit ?? '';
    const windowSeconds = SECONDS[unit];
    const own = currentLimit?.name ?? '';
    return {
      name: /^[\x21-\x7e]{1,64}$/.test(own) ? own : names.join('-'),
      level: names.includes('caller') ? 'caller' : 'tenant',
      unit: 'calls',
      amount: currentLimit?.requestsPerUnit ?? 0,
      window: windowSeconds === undefined ? 'unknown' : unit.toLowerCase(),
      windowSeconds,
      resetMs: resetOf(durationUntilReset),
    };
  }

  #without(why: string): Result<Clearance, Denial> {
    this.#heard('unavailable');
    if (this.#config.whenUnavailable === 'allow') return CLEARED;
    return deny({ kind: 'policy_unavailable', source: `the rate limit service ${this.#config.display}`, why });
  }
}

async function openWhenAsked(config: RateServiceConfig): Promise<Ask> {
  const { openRateService } = await import('./rate-service-protocol.ts');
  return openRateService(config);
}

/** Longer than any window that the service has. */
const MAX_RESET_MS = 366 * 86_400_000;

function resetOf(duration: RateAnswer['statuses'][number]['durationUntilReset']): number | undefined {
  if (duration === null) return undefined;
  const ms = Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000;
  return ms >= 0 && ms <= MAX_RESET_MS ? ms : undefined;
}

/** Of a month its shortest, as for our own. */
const SECONDS: Readonly<Record<string, number>> = {
  SECOND: 1,
  MINUTE: 60,
  HOUR: 3_600,
  DAY: 86_400,
  WEEK: 604_800,
  MONTH: 28 * 86_400,
  YEAR: 365 * 86_400,
};
