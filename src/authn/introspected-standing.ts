/**
 * How long an answer about a token is good (RFC 7662 §4): until it is renewed, and no longer than the configuration says.
 */
import { isDeepStrictEqual } from 'node:util';
import type { IntrospectionConfig } from '../config/credentials-config.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { Introspector } from './introspector.ts';
import type { JsonObject } from './strict-json.ts';
import type { TokenStanding } from './token-standing.ts';

/** An answer is renewed when this part of its time has passed, so that nobody waits for it. */
const RENEW_AFTER = 0.75;

interface Introspected {
  readonly introspector: Introspector;
  readonly config: IntrospectionConfig;
  readonly token: string;
  readonly claims: JsonObject;
  readonly now: EpochMicros;
}

export class IntrospectedStanding implements TokenStanding {
  readonly #of: Introspected;
  #heardAt: number;
  #state: 'resting' | 'renewing' | 'withdrawn' = 'resting';

  constructor(introspected: Introspected) {
    this.#of = introspected;
    this.#heardAt = introspected.now;
  }

  stands(now: EpochMicros): boolean {
    if (this.#state === 'withdrawn') return false;
    const { introspector, config } = this.#of;
    const age = now - this.#heardAt;
    const goodFor = config.cacheMs * 1000;
    if (age < goodFor * RENEW_AFTER) return true;
    const isFresh = age < goodFor;
    if (!isFresh && !introspector.isAway) return false;
    if (!isFresh && age >= goodFor + config.staleIfErrorMs * 1000) return false;
    if (this.#state === 'resting') void this.#renew(now);
    return true;
  }

  /** Never rejects. */
  async #renew(now: EpochMicros): Promise<void> {
    this.#state = 'renewing';
    const { introspector, token, claims } = this.#of;
    const heard = await introspector.ask(token, now, true);
    this.#state = 'resting';
    if (heard.ok) {
      // Other claims make another caller: they are looked at as those of a token that was never seen.
      if (isDeepStrictEqual(heard.value, claims)) this.#heardAt = now;
      else this.#state = 'withdrawn';
    } else if (heard.error.kind === 'token_invalid') this.#state = 'withdrawn';
  }
}
