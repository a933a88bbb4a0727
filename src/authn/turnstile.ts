/**
 * Lets so many jobs run at once; the others wait their turn.
 *
 * Signatures are verified on threads that all tenants share: without this, a tenant that floods us with forged tokens would
 * put its whole flood ahead of another tenant's one.
 */
export class Turnstile {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** Runs the job when there is a place. How many may wait is for the caller to bound. */
  async run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await job();
    } finally {
      // The place passes to the next in line, or becomes free.
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
