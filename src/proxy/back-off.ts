/** How long not to try again what has failed: longer each time, and never for all at the same moment. */
export class BackOff {
  readonly #random: () => number;
  #failures = 0;
  #retryAtMs = 0;

  /** `random` is 0..1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** It has failed again. */
  failed(nowMs: number): void {
    this.#failures++;
    const backoff = Math.min(FIRST_MS * 2 ** (this.#failures - 1), MAX_MS);
    this.#retryAtMs = nowMs + backoff * (0.5 + this.#random());
  }

  /** It works: the next failure is the first again. Whoever waits still waits. */
  worked(): void {
    this.#failures = 0;
  }

  /** It is known to work by other means: it may be tried at once. */
  forgive(): void {
    this.#failures = 0;
    this.#retryAtMs = 0;
  }

  /** Until it may be tried again; 0 or less: it may. */
  leftMs(nowMs: number): number {
    return this.#retryAtMs - nowMs;
  }
}

/** After a first failure, doubled each time, ± 50 %. */
const FIRST_MS = 100;
const MAX_MS = 10_000;
