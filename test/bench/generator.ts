/**
 * The open loop, and connections that do nothing: a process on the load's core that is told what to do by messages and lives
 * through the whole run, so that its own JIT is warm.
 *
 * A call is sent at its scheduled time whether or not earlier ones were answered, and its latency counts from that time: what a
 * stalled subject makes wait is in the numbers (no coordinated omission). The schedule is a Poisson process with a fixed seed:
 * bursts as from independent clients, and the same ones for every subject.
 */
import { readFileSync } from 'node:fs';
import type { HeaderBlock } from '../../src/http2/contract.ts';
import { type Answer, Caller, type CallTarget, requestHead } from './caller.ts';
import type { FromGenerator, Latencies, OpenLoop, ToGenerator } from './generator-messages.ts';

/** Handshakes at once while connections are opened to be held. */
const OPENING = 10;
/** Calls that may be late at the end, before they count as failed. */
const LAST_CALLS_MS = 5_000;

let held: Caller[] = [];

process.on('message', (message: ToGenerator) => {
  perform(message).then(
    (result) => send({ id: message.id, result }),
    (error: unknown) => send({ id: message.id, error: error instanceof Error ? error.message : String(error) }),
  );
});

function send(message: FromGenerator): void {
  process.send?.(message);
}

async function perform(message: ToGenerator): Promise<Latencies | undefined> {
  switch (message.kind) {
    case 'open-loop':
      return openLoop(message);
    case 'hold':
      await hold(message.target, message.token, readFileSync(message.bodyFile), message.connections);
      return undefined;
    case 'release':
      for (const caller of held) caller.close();
      held = [];
      return undefined;
  }
}

async function openLoop(spec: OpenLoop): Promise<Latencies> {
  const { target, connections, seconds, callsPerSecond, warmUpSeconds } = spec;
  const callers: Caller[] = [];
  try {
    for (let i = 0; i < connections; i++) callers.push(await Caller.open(target));
    const head = requestHead(target.serverName, `Bearer ${spec.token}`);
    const message = readFileSync(spec.bodyFile);
    const schedule = poisson(callsPerSecond, warmUpSeconds + seconds);
    const first = schedule.findIndex((at) => at >= warmUpSeconds * 1000);
    const run = new Run(callers, head, message, schedule, first);
    await run.finished(LAST_CALLS_MS);
    return run.latencies();
  } finally {
    for (const caller of callers) caller.close();
  }
}

/** One pass over a schedule. */
class Run {
  readonly #callers: readonly Caller[];
  readonly #head: HeaderBlock;
  readonly #message: Buffer;
  readonly #schedule: Float64Array;
  /** Calls before it warm up. */
  readonly #first: number;
  readonly #micros: Float64Array;
  readonly #lateMicros: Float64Array;
  #next = 0;
  #answered = 0;
  #failed = 0;
  #measured = 0;
  #startedAt = 0;

  constructor(callers: readonly Caller[], head: HeaderBlock, message: Buffer, schedule: Float64Array, first: number) {
    this.#callers = callers;
    this.#head = head;
    this.#message = message;
    this.#schedule = schedule;
    this.#first = first;
    this.#micros = new Float64Array(schedule.length - first);
    this.#lateMicros = new Float64Array(schedule.length - first);
  }

  /** Sends everything, and waits for the answers. Spins rather than sleeps: timers are a millisecond late. */
  async finished(lastCallsMs: number): Promise<void> {
    this.#startedAt = performance.now();
    const end = this.#startedAt + (this.#schedule.at(-1) ?? 0) + lastCallsMs;
    await new Promise<void>((resolve) => {
      const spin = (): void => {
        const now = performance.now();
        if (this.#answered === this.#schedule.length || now > end) return resolve();
        this.#sendDue(now - this.#startedAt);
        setImmediate(spin);
      };
      spin();
    });
    this.#failed += this.#schedule.length - this.#answered;
  }

  latencies(): Latencies {
    const at = (values: Float64Array, share: number): number =>
      values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
    const sorted = this.#micros.subarray(0, this.#measured).toSorted();
    const late = this.#lateMicros.toSorted();
    return {
      calls: this.#measured,
      failed: this.#failed,
      p50: at(sorted, 0.5),
      p99: at(sorted, 0.99),
      p999: at(sorted, 0.999),
      sentLateP99: at(late, 0.99),
    };
  }

  #sendDue(elapsed: number): void {
    for (;;) {
      const index = this.#next;
      const at = this.#schedule[index];
      if (at === undefined || at > elapsed) return;
      const caller = this.#callers[index % this.#callers.length];
      // Full or gone: this call waits, and those behind it, and all of that counts.
      if (caller === undefined || !caller.usable) return;
      this.#next++;
      if (index >= this.#first) this.#lateMicros[index - this.#first] = (elapsed - at) * 1000;
      caller.call(this.#head, this.#message, (answer) => this.#onAnswer(index, at, answer));
    }
  }

  #onAnswer(index: number, at: number, answer: Answer): void {
    this.#answered++;
    if (answer.grpcStatus !== '0') this.#failed++;
    if (index < this.#first) return;
    this.#micros[this.#measured++] = (performance.now() - this.#startedAt - at) * 1000;
  }
}

/** Arrival times in milliseconds, from a small generator with a fixed seed (mulberry32). */
function poisson(perSecond: number, seconds: number): Float64Array {
  let state = 0x9e3779b9;
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const times: number[] = [];
  for (let at = 0; ; ) {
    at -= (Math.log(1 - random()) * 1000) / perSecond;
    if (at >= seconds * 1000) return Float64Array.from(times);
    times.push(at);
  }
}

/** Opens connections, makes one call on each, and keeps them. */
async function hold(target: CallTarget, token: string, message: Buffer, connections: number): Promise<void> {
  const head = requestHead(target.serverName, `Bearer ${token}`);
  const open = async (): Promise<void> => {
    const caller = await Caller.open(target);
    held.push(caller);
    const answer = await new Promise<Answer>((resolve) => caller.call(head, message, resolve));
    if (answer.grpcStatus !== '0') throw new Error(`a held connection's call ended with ${JSON.stringify(answer)}`);
  };
  for (let opened = 0; opened < connections; opened += OPENING) {
    await Promise.all(Array.from({ length: Math.min(OPENING, connections - opened) }, open));
  }
}
