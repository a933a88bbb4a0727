/** A thread whose calls all ask for a seat at once, hold it for a turn of the event loop, and give it back. Posts how many had their turn. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../../src/kernel/clock.ts';
import { type Seat, Ticket, TurnQueue } from '../../../src/proxy/turn-queue.ts';
import { attachSharedState, type SharedState } from '../../../src/quota/shared-state.ts';

export interface Turning {
  readonly state: SharedState;
  readonly workerIndex: number;
  readonly seats: number;
  readonly calls: number;
  /** Two Int32s: how many seats are taken now, and the most there ever were. */
  readonly open: SharedArrayBuffer;
}

const { state, workerIndex, seats, calls, open } = workerData as Turning;
const queue = new TurnQueue(attachSharedState(state, workerIndex), () => systemClock.now());
queue.configure({
  concurrentCalls: seats,
  maxQueuedCalls: 100_000,
  maxQueuedCallsPerTenant: 100_000,
  maxWaitMs: 600_000,
  classes: [{ name: 'all', weight: 1 }],
});
// The queue's own timer keeps no thread alive: a sidecar's listener does.
parentPort?.on('message', () => undefined);
const counters = new Int32Array(open);
let done = 0;
let refused = 0;

function run(seat: Seat): void {
  const now = Atomics.add(counters, 0, 1) + 1;
  for (let most = Atomics.load(counters, 1); now > most; most = Atomics.load(counters, 1)) {
    if (Atomics.compareExchange(counters, 1, most, now) === most) break;
  }
  setImmediate(() => {
    Atomics.sub(counters, 0, 1);
    seat.release();
    done += 1;
    if (done + refused === calls) parentPort?.postMessage({ done, refused });
  });
}

for (let n = 0; n < calls; n++) {
  const tenant = { slot: n % 3, weight: 1 + (n % 3), seats: Number.POSITIVE_INFINITY };
  const applicant = { seated: run, unseated: () => (refused += 1) };
  const answer = queue.ask(applicant, tenant, 0, Number.POSITIVE_INFINITY);
  if (answer instanceof Ticket) continue;
  if (answer.ok) run(answer.value);
  else refused += 1;
}
