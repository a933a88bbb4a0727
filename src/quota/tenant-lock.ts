/**
 * One tenant's lock: held for some 100 ns while a reservation looks at all of the tenant's limits and takes from all or
 * from none.
 *
 * A lock rather than compare-and-swap on each bucket, for two reasons. All-or-nothing over several buckets cannot be
 * undone exactly without one: tokens given back after the bucket has refilled would be granted twice. And it is the
 * cheaper of the two here (20 ns against 33 for one bucket), because a 64-bit compare-and-swap allocates BigInts.
 *
 * The word is 0 when free, else the holder's worker index + 1, with a bit for "somebody sleeps". The holder is named so
 * that the supervisor can break the lock of a worker that died inside. No tenant waits for the lock of another.
 */

const SLEEPERS = 1 << 30;

/** Tries before sleeping. The holder needs some 100 ns; a thread that the scheduler took off its core needs milliseconds. */
const SPINS = 128;

/**
 * How long a reservation waits for the lock before it is refused. Reached only when the holder died or was kept off its core
 * for so long; the event loop stands still meanwhile, so it is short.
 */
const LOCK_WAIT_MS = 20;

/** Takes the lock at `ints[at]` for a worker. False when it could not be had in time: the caller refuses, never guesses. */
export function acquire(ints: Int32Array, at: number, workerIndex: number): boolean {
  const me = workerIndex + 1;
  if (Atomics.compareExchange(ints, at, 0, me) === 0) return true;
  for (let spin = 0; spin < SPINS; spin++) {
    if (Atomics.load(ints, at) === 0 && Atomics.compareExchange(ints, at, 0, me) === 0) return true;
  }
  return sleepUntilAcquired(ints, at, me);
}

/** Gives the lock back and wakes one sleeper. */
export function release(ints: Int32Array, at: number): void {
  if ((Atomics.exchange(ints, at, 0) & SLEEPERS) !== 0) Atomics.notify(ints, at, 1);
}

/** Whether the lock at `ints[at]` is held by the worker. */
export function isHeldBy(ints: Int32Array, at: number, workerIndex: number): boolean {
  return (Atomics.load(ints, at) & ~SLEEPERS) === workerIndex + 1;
}

function sleepUntilAcquired(ints: Int32Array, at: number, me: number): boolean {
  const deadline = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    const word = Atomics.load(ints, at);
    // Taken with the bit set: there may be other sleepers, and only the holder's release wakes them.
    if (word === 0) {
      if (Atomics.compareExchange(ints, at, 0, me | SLEEPERS) === 0) return true;
      continue;
    }
    if ((word & SLEEPERS) === 0 && Atomics.compareExchange(ints, at, word, word | SLEEPERS) !== word) continue;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return false;
    Atomics.wait(ints, at, word | SLEEPERS, leftMs);
  }
}
