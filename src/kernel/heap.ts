/**
 * When V8 collects a thread's whole heap.
 *
 * A sidecar's heap is small: some 15 MB that live, beside a young generation of as much again. V8 starts to mark when what is left
 * below its limit is less than the young generation, and in a process that promotes little it keeps the limit close: so it marked
 * all the time, on the worker's core. What more room brings, in CPU and in memory, is in decision 0004.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** V8's own function, once `--expose-gc` has made it visible. */
export type Collect = (options: {
  readonly type: 'minor' | 'major';
  readonly execution: 'sync';
  readonly flavor?: 'last-resort';
}) => void;

/** The limit is the heap that lived through the last collection, and so much of it again. What V8 takes by itself goes up to 300 %. */
const GROWTH_PERCENT = 200;

/** For the whole process; before the threads start. */
export function letHeapsGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}

/** Above it a last-resort collection, which is several, would take as long as a reload may. */
const LAST_RESORT_UP_TO_BYTES = 64 * 1024 * 1024;

/**
 * Gives back what starting took and serving does not need: once, when a thread has started. Takes some 20 ms. A large heap is
 * collected once, so that V8 knows what of it lives: until then it keeps guessing, and marks all the time (10,000 tenants: 4 µs a
 * call).
 */
export function settleHeap(collect: Collect = collector(), usedBytes = getHeapStatistics().used_heap_size): void {
  if (usedBytes > LAST_RESORT_UP_TO_BYTES) collect({ type: 'major', execution: 'sync' });
  else collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/** V8's collection; without it (the flag is not a stable interface) it does nothing, and only memory is lost. */
export function collector(): Collect {
  // Flags are the process's, and threads start at the same time: whoever took this back would take it from another.
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  if (typeof collect !== 'function') return () => undefined;
  return (options) => void Reflect.apply(collect, undefined, [options]);
}
