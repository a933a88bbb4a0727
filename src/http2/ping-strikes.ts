/**
 * Counts a client's PINGs that come too often for keepalive (gRFC A8, server-side). A PING after something of ours was sent is
 * none of these: gRPC's clients measure the bandwidth with it.
 */
import type { ConnectionLimits } from './limits.ts';

/** Without streams, and when PINGs then are not permitted, so much must lie between two (gRFC A8). */
const WITHOUT_STREAMS_MICROS = 7_200_000_000;

export class PingStrikes {
  readonly #limits: ConnectionLimits;
  #lastMicros = Number.NEGATIVE_INFINITY;
  #strikes = 0;
  #hasSent = false;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** HEADERS or DATA are in the output. */
  sent(): void {
    this.#hasSent = true;
  }

  /** Counts a PING. False when it is one too many. */
  allows(nowMicros: number, streams: number): boolean {
    const { pingMinIntervalMs, pingsWithoutStreams, maxPingStrikes } = this.#limits;
    if (pingMinIntervalMs === 0) return true;
    const since = nowMicros - this.#lastMicros;
    this.#lastMicros = nowMicros;
    if (this.#hasSent) {
      this.#hasSent = false;
      this.#strikes = 0;
      return true;
    }
    const least = streams === 0 && !pingsWithoutStreams ? WITHOUT_STREAMS_MICROS : pingMinIntervalMs * 1_000;
    if (since < least) this.#strikes++;
    return this.#strikes <= maxPingStrikes;
  }
}
