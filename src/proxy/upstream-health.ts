/**
 * What is known of a model server's health, and when a change of it counts: the thresholds, and nothing of how it is asked.
 *
 * A server's own word that it does not serve is no guess, and counts at once. That it could not be asked may be an accident, and
 * counts when it has happened so many times in a row. Until the first verdict calls pass: a start is not to wait for it.
 */
import type { HealthCheckConfig } from '../config/upstream-config.ts';

/** What asking once has brought. */
export type Observation =
  | { readonly kind: 'serving' }
  /** It answers, and has no health service: it says nothing about itself, and so nothing bad. */
  | { readonly kind: 'no_service' }
  | { readonly kind: 'not_serving'; readonly why: string }
  /** No answer, or none that can be read. */
  | { readonly kind: 'failed'; readonly why: string };

export type Health =
  | { readonly at: 'unknown' }
  | { readonly at: 'healthy' }
  | { readonly at: 'no_service' }
  | { readonly at: 'unhealthy'; readonly why: string };

export class UpstreamHealth {
  readonly #thresholds: Thresholds;
  #health: Health = { at: 'unknown' };
  /** Observations in a row that speak against what is held now: failures, or for an unhealthy server the opposite. */
  #against = 0;
  #recoveries = 0;

  constructor(thresholds: Thresholds) {
    this.#thresholds = thresholds;
  }

  get now(): Health {
    return this.#health;
  }

  /** How often it has been well again. Who remembers the number knows whether what was held against the server is outdated. */
  get recoveries(): number {
    return this.#recoveries;
  }

  /** Takes an observation in. True when the verdict is another one now. */
  observe(observation: Observation): boolean {
    switch (observation.kind) {
      case 'serving':
        return this.#good('healthy');
      case 'no_service':
        return this.#good('no_service');
      case 'not_serving':
        return this.#bad(observation.why, true);
      case 'failed':
        return this.#bad(observation.why, false);
    }
  }

  #good(at: 'healthy' | 'no_service'): boolean {
    const before = this.#health.at;
    if (before === 'unhealthy') {
      this.#against++;
      if (this.#against < this.#thresholds.healthyThreshold) return false;
      this.#recoveries++;
    }
    this.#against = 0;
    this.#health = { at };
    return before !== at;
  }

  #bad(why: string, certain: boolean): boolean {
    if (this.#health.at === 'unhealthy') {
      this.#against = 0;
      this.#health = { at: 'unhealthy', why };
      return false;
    }
    this.#against++;
    if (!certain && this.#against < this.#thresholds.unhealthyThreshold) return false;
    this.#against = 0;
    this.#health = { at: 'unhealthy', why };
    return true;
  }
}

type Thresholds = Pick<HealthCheckConfig, 'unhealthyThreshold' | 'healthyThreshold'>;
