/** Holds a peer to the rates of `limits.ts`. Only frames that are cheap to send and do no work come here. */
import type { ConnectionLimits, Rate, RateName } from './limits.ts';

export class FloodMeter {
  readonly #limits: ConnectionLimits;
  readonly #buckets = new Map<RateName, Bucket>();
  /** Frames that did some work: they pay for the control frames that come with them. */
  #usefulFrames = 0;
  #finishedStreams = 0;
  #thrownAway = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** Counts a frame that opened a stream or carried DATA, in either direction. */
  useful(): void {
    this.#usefulFrames++;
  }

  /** Counts a stream that came to its regular end. */
  finished(): void {
    this.#finishedStreams++;
  }

  /** Whether so many streams have been begun and thrown away since it was last true. */
  hasThrownAway(streams: number): boolean {
    if (this.#thrownAway < streams) return false;
    this.#thrownAway = 0;
    return true;
  }

  /** Counts one at `nowMicros`. False when the rate is exceeded. */
  allows(name: RateName, nowMicros: number): boolean {
    if (name === 'youngResets' || name === 'provokedResets') this.#thrownAway++;
    const rate = this.#limits[name];
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      bucket = { left: rate.burst, atMicros: nowMicros, earned: 0 };
      this.#buckets.set(name, bucket);
    }
    const earned = this.#usefulFrames * rate.perUsefulFrame + this.#finishedStreams * (rate.perFinishedStream ?? 0);
    refill(bucket, rate, nowMicros, earned);
    if (bucket.left < 1) return false;
    bucket.left--;
    return true;
  }
}

interface Bucket {
  left: number;
  atMicros: number;
  /** What the peer's work had earned it in all when the bucket was last refilled. */
  earned: number;
}

function refill(bucket: Bucket, rate: Rate, nowMicros: number, earned: number): void {
  const byTime = (Math.max(0, nowMicros - bucket.atMicros) / 1_000_000) * rate.perSecond;
  bucket.left = Math.min(rate.burst, bucket.left + byTime + earned - bucket.earned);
  bucket.atMicros = nowMicros;
  bucket.earned = earned;
}
