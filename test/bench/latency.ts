/**
 * What a subject adds to the latency of a call, at a rate that all of them can take: open loop, in rounds that take turns.
 */
import { type Contender, callTarget, type Say } from './contender.ts';
import type { Generator } from './generator-handle.ts';
import type { Latencies, Order } from './generator-messages.ts';
import type { LatencyPlan } from './plan.ts';
import { median, type Row, rowOf } from './row.ts';
import { subjectName } from './subjects/subject.ts';

/** Above it the generator, not the subject, decides what is measured. */
const MAX_SENT_LATE_MICROS = 300;
const ATTEMPTS = 3;
const STEP = 100;

interface Rounds {
  readonly p50: number[];
  readonly p99: number[];
  readonly late: number[];
  failed: number;
}

/** Half of what the slowest can do on one core, from its CPU per call where calls hardly share a turn. */
export function halfLoad(rows: readonly Row[], maxCallsPerSecond: number): number {
  const costs = rows.filter((row) => row.metric === 'cpu_per_call' && row.axis === '10x1').map((row) => row.median);
  const half = costs.length === 0 ? maxCallsPerSecond : 5e5 / Math.max(...costs);
  return Math.max(STEP, Math.floor(Math.min(half, maxCallsPerSecond) / STEP) * STEP);
}

/** Measures all contenders; one of them must be `direct`, from which the others' added latency counts. */
export async function latency(
  contenders: readonly Contender[],
  generator: Generator,
  plan: LatencyPlan,
  callsPerSecond: number,
  say: Say,
): Promise<readonly Row[]> {
  const rounds = new Map<Contender, Rounds>(contenders.map((one) => [one, { p50: [], p99: [], late: [], failed: 0 }]));
  const { connections, warmUpSeconds, seconds } = plan;
  for (let round = 0; round < plan.rounds; round++) {
    for (const [{ target }, measured] of rounds) {
      const spec = { token: target.token, bodyFile: target.bodyFile(100), connections, callsPerSecond };
      const order = { kind: 'open-loop', target: callTarget(target), ...spec, warmUpSeconds, seconds } as const;
      const result = await undisturbed(generator, order);
      measured.p50.push(result.p50);
      measured.p99.push(result.p99);
      measured.late.push(result.sentLateP99);
      measured.failed += result.failed;
    }
  }
  return report(rounds, callsPerSecond, say);
}

/** Measures, and again when the generator itself was held up: it says nothing of the subject. Returns the least disturbed. */
async function undisturbed(generator: Generator, order: Order): Promise<Latencies> {
  let best: Latencies | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const result = await generator.perform(order);
    if (result === undefined) throw new Error('the generator did not say what it measured');
    if (best === undefined || result.sentLateP99 < best.sentLateP99) best = result;
    if (best.sentLateP99 <= MAX_SENT_LATE_MICROS) break;
  }
  if (best === undefined) throw new Error('nothing was measured');
  return best;
}

function report(rounds: ReadonlyMap<Contender, Rounds>, callsPerSecond: number, say: Say): readonly Row[] {
  const base = [...rounds].find(([{ subject }]) => subject.name === 'direct')?.[1];
  if (base === undefined) throw new Error('latency is measured without a direct call to compare with');
  const axis = `open loop ${callsPerSecond}/s`;
  const [directP50, directP99] = [median(base.p50), median(base.p99)];
  say(`\n${axis}: latency from the scheduled time, µs; what the subject adds to a direct call`);
  say('  subject                     p50       p99     added p50   added p99  (min…max)');
  const rows: Row[] = [];
  for (const [{ subject }, { p50, p99, late, failed }] of rounds) {
    const added50 = rowOf(
      subject,
      axis,
      'added_p50',
      p50.map((value) => value - directP50),
    );
    const added99 = rowOf(
      subject,
      axis,
      'added_p99',
      p99.map((value) => value - directP99),
    );
    rows.push(rowOf(subject, axis, 'latency_p50', p50), rowOf(subject, axis, 'latency_p99', p99));
    if (subject.name !== 'direct') rows.push(added50, added99);
    const number = (value: number, width: number): string => value.toFixed(0).padStart(width);
    say(
      `  ${subjectName(subject).padEnd(22)} ${number(median(p50), 8)}  ${number(median(p99), 8)}` +
        `  ${number(added50.median, 12)}${number(added99.median, 12)}  (${number(added99.min, 0)}…${number(added99.max, 0)})`,
    );
    if (failed > 0) throw new Error(`${failed} calls of ${subjectName(subject)} failed at ${callsPerSecond}/s`);
    if (median(late) > MAX_SENT_LATE_MICROS) {
      say(`    the generator itself was late by ${median(late).toFixed(0)} µs (p99): the machine is not quiet`);
    }
  }
  return rows;
}
