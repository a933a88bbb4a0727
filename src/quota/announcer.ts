/**
 * What a tenant's clients are told of their limits, where the tenant has it so: the words, kept for each subject, and the partition keys,
 * by which a client with several identities tells their shares apart. A key is cut from a HMAC under the process's salt: it names
 * nobody, and only equal subjects have equal ones.
 */
import { createHmac } from 'node:crypto';
import type { LimitConfig, QuotaConfig, RateConfig } from '../config/quota-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import {
  type LimitFacts,
  type LimitState,
  olderFields,
  rateLimitFields,
  ToldLimit,
} from '../grpc/rate-limit-fields.ts';
import type { Denial, QuotaLevel } from '../kernel/denial.ts';
import type { CallerKey } from './caller-buckets.ts';
import { measureOf } from './refusal.ts';

/** What a limit is told by: itself, or which of the three that have no configuration of their own. */
type LimitKey = LimitConfig | 'tenant' | 'caller' | 'concurrency';

interface Subject {
  readonly partition: string;
  readonly told: Map<LimitKey, ToldLimit>;
}

/** Subjects that are models, which callers name. */
const MAX_KNOWN_MODELS = 256;
/** Bytes of a partition key: enough for no two subjects of a tenant to meet. */
const PARTITION_BYTES = 9;

export class Announcer {
  readonly #salt: string;
  readonly #tenant: TenantConfig;
  readonly #quota: QuotaConfig;
  readonly #standard: boolean;
  readonly #older: boolean;
  readonly #ofTenant: Subject;
  readonly #ofOrganisation: Subject | undefined;
  readonly #callers = new WeakMap<CallerKey, Subject>();
  readonly #models = new Map<string, Subject>();

  /** undefined: nothing is told but to who is refused. */
  static of(salt: string, tenant: TenantConfig): Announcer | undefined {
    const { announce } = tenant.quota;
    return announce === undefined || announce.length === 0 ? undefined : new Announcer(salt, tenant, announce);
  }

  private constructor(salt: string, tenant: TenantConfig, announce: NonNullable<QuotaConfig['announce']>) {
    this.#salt = salt;
    this.#tenant = tenant;
    this.#quota = tenant.quota;
    this.#standard = announce.includes('ratelimit');
    this.#older = announce.includes('x-ratelimit');
    this.#ofTenant = this.#subject('tenant', tenant.id);
    const { organisation } = tenant;
    this.#ofOrganisation = organisation && this.#subject('organisation', organisation.name);
  }

  /** The fields of these states, names and values in turn. */
  fields(states: readonly LimitState[]): readonly string[] {
    if (states.length === 0) return [];
    return [...(this.#standard ? rateLimitFields(states) : []), ...(this.#older ? olderFields(states) : [])];
  }

  rate(level: 'tenant' | 'caller', caller: CallerKey, rate: RateConfig): ToldLimit {
    const subject = this.#of(level, caller, undefined);
    return told(subject, level, () => ({ name: level, ...measureOfRate(rate) }));
  }

  concurrency(): ToldLimit {
    const amount = this.#quota.maxConcurrentCalls ?? 0;
    const facts = { name: 'concurrency', unit: 'concurrent calls', amount, windowSeconds: undefined } as const;
    return told(this.#ofTenant, 'concurrency', () => facts);
  }

  limit(config: LimitConfig, caller: CallerKey, model: string | undefined): ToldLimit {
    return told(this.#of(config.level, caller, model), config, () => {
      const { name, unit = 'calls', bound } = config;
      if (bound.kind === 'rate') return { name, ...measureOfRate(bound) };
      const { amount, windowSeconds } = measureOf(bound);
      return { name, unit: bound.kind === 'concurrency' ? 'concurrent calls' : unit, amount, windowSeconds };
    });
  }

  /** A refusal, with what the tenant's clients are told besides. */
  refusal(denial: Denial, caller: CallerKey, model?: string): Denial {
    const older = this.#older ? ({ older: true } as const) : {};
    const partition = (level: QuotaLevel): string => this.#of(level, caller, model).partition;
    switch (denial.kind) {
      case 'rate_limited':
        return { ...denial, ...older, partition: partition(denial.scope) };
      case 'concurrency_limited':
        return { ...denial, ...older, partition: partition(denial.scope ?? 'tenant') };
      case 'quota_exhausted': {
        const exhausted = denial.exhausted.map((one) => ({ ...one, partition: partition(one.level) }));
        return { ...denial, ...older, exhausted };
      }
      default:
        return denial;
    }
  }

  #of(level: QuotaLevel, caller: CallerKey, model: string | undefined): Subject {
    switch (level) {
      case 'organisation':
        return this.#ofOrganisation ?? this.#ofTenant;
      case 'tenant':
        return this.#ofTenant;
      case 'caller': {
        let subject = this.#callers.get(caller);
        if (subject === undefined) this.#callers.set(caller, (subject = this.#subject('caller', caller.id)));
        return subject;
      }
      case 'model':
        return this.#ofModel(model ?? '');
    }
  }

  #ofModel(model: string): Subject {
    let subject = this.#models.get(model);
    if (subject !== undefined) return subject;
    if (this.#models.size >= MAX_KNOWN_MODELS) {
      const [oldest] = this.#models.keys();
      if (oldest !== undefined) this.#models.delete(oldest);
    }
    subject = this.#subject('model', model);
    this.#models.set(model, subject);
    return subject;
  }

  #subject(level: QuotaLevel, id: string): Subject {
    // Of an organisation the same for all its tenants; of all else the tenant's own.
    const owner = level === 'organisation' ? '' : this.#tenant.id;
    const digest = createHmac('sha256', this.#salt).update(`partition\0${level}\0${owner}\0${id}`).digest();
    return { partition: digest.subarray(0, PARTITION_BYTES).toString('base64'), told: new Map() };
  }
}

function told(subject: Subject, key: LimitKey, facts: () => Omit<LimitFacts, 'partition'>): ToldLimit {
  let limit = subject.told.get(key);
  if (limit === undefined) {
    limit = new ToldLimit({ ...facts(), partition: subject.partition });
    subject.told.set(key, limit);
  }
  return limit;
}

function measureOfRate({ callsPerSecond, burst }: RateConfig): Omit<LimitFacts, 'name' | 'partition'> {
  return { unit: 'calls', amount: Math.floor(burst), windowSeconds: Math.ceil(burst / callsPerSecond) };
}
