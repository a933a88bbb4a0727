/**
 * How one tenant's calls wait for their turn: in which class each is, and by which weight and limit the tenant is served.
 */
import type { MethodPermit } from '../authz/authorizer.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { Denial } from '../kernel/denial.ts';
import type { Result } from '../kernel/result.ts';
import type { TenantTerms } from '../quota/seat-table.ts';
import { CallClasses } from './call-classes.ts';
import type { Applicant, Seat, Ticket, TurnQueue } from './turn-queue.ts';

export class TenantTurns {
  readonly #queue: TurnQueue;
  readonly #terms: TenantTerms;
  readonly #classes: CallClasses;

  /** Puts into force what the tenant's configuration says. undefined: its calls do not wait. */
  static of({ scheduling, quota, slot }: TenantConfig, queue: TurnQueue): TenantTurns | undefined {
    queue.configure(scheduling);
    if (scheduling === undefined) return undefined;
    const seats = quota.maxConcurrentCalls ?? Number.POSITIVE_INFINITY;
    const terms = { slot, weight: scheduling.weight, seats };
    queue.setTenant(terms);
    return new TenantTurns(terms, new CallClasses(scheduling), queue);
  }

  private constructor(terms: TenantTerms, classes: CallClasses, queue: TurnQueue) {
    this.#queue = queue;
    this.#terms = terms;
    this.#classes = classes;
  }

  /** A seat for a call that may be made, or a place in the line of its class, or why there is neither. */
  ask(applicant: Applicant, permit: MethodPermit, leftMicros: number | undefined): Result<Seat, Denial> | Ticket {
    const left = leftMicros ?? Number.POSITIVE_INFINITY;
    return this.#queue.ask(applicant, this.#terms, this.#classes.of(permit), left);
  }
}
