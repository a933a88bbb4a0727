/**
 * CPU per call under a closed loop: warm-up, then rounds in which all subjects take turns, so that a slow minute of the machine
 * hits everyone.
 */
import type { Contender, Say } from './contender.ts';
import { type Axis, load } from './load.ts';
import type { Plan, WarmUp } from './plan.ts';
import { cpuSeconds, settled } from './process-cost.ts';
import { type Row, rowOf } from './row.ts';

interface Rounds {
  readonly micros: number[];
  readonly perSecond: number[];
}

/** Measures all contenders on one axis. `nameOf` names the row's axis, when contenders differ in more than the subject. */
export async function cpuPerCall(
  contenders: readonly Contender[],
  axis: Axis,
  plan: Plan,
  nameOf: (contender: Contender) => string = () => axis.name,
): Promise<readonly Row[]> {
  const rounds = new Map<Contender, Rounds>();
  for (const contender of contenders) {
    await warmUp(contender, axis, plan.warmUp);
    await settled(contender.running.pids, plan.settleStepMs, contender.idleShare);
    rounds.set(contender, { micros: [], perSecond: [] });
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const [contender, { micros, perSecond }] of rounds) {
      const { pids } = contender.running;
      let [before, startedAt] = [0, 0];
      const { calls, seconds } = await load(contender.target, axis, plan.seconds, () => {
        [before, startedAt] = [cpuSeconds(pids), performance.now()];
      });
      await settled(pids, plan.settleStepMs, contender.idleShare);
      const idle = (contender.idleShare * (performance.now() - startedAt)) / 1000;
      micros.push(((cpuSeconds(pids) - before - idle) * 1e6) / calls);
      perSecond.push(calls / seconds);
    }
  }
  return [...rounds].flatMap(([contender, { micros, perSecond }]) => {
    const name = nameOf(contender);
    const rate = rowOf(contender.subject, name, 'calls_per_second', perSecond);
    // Without a proxy there is nothing whose CPU could be counted.
    return contender.running.pids.length === 0
      ? [rate]
      : [rowOf(contender.subject, name, 'cpu_per_call', micros), rate];
  });
}

async function warmUp({ subject, target }: Contender, axis: Axis, bounds: WarmUp): Promise<void> {
  if (!subject.warmsUp) {
    await load(target, axis, bounds.nativeSeconds);
    return;
  }
  const { calls, seconds } = await load(target, axis, bounds.seconds);
  const left = Math.min((bounds.calls - calls) / (calls / seconds), bounds.maxSeconds - seconds);
  if (left > 0) await load(target, axis, left);
}

/** Prints an axis as a table, with ratios to HAProxy and to Envoy with everything on. */
export function printCpuPerCall(axis: string, rows: readonly Row[], say: Say): void {
  const ofAxis = rows.filter((row) => row.axis === axis);
  const cpu = (subject: string, features: string): Row | undefined =>
    ofAxis.find((row) => row.metric === 'cpu_per_call' && row.subject === subject && row.features === features);
  const bases = [cpu('haproxy', 'relay')?.median, cpu('envoy', 'everything')?.median];
  say(`\n${axis}`);
  say('  subject                 CPU µs per call (min…max)     calls/s   × HAProxy  × Envoy, everything');
  for (const rate of ofAxis.filter((row) => row.metric === 'calls_per_second')) {
    const name = rate.subject === 'direct' ? 'direct' : `${rate.subject} ${rate.features}`;
    line(name, cpu(rate.subject, rate.features), rate, bases, say);
  }
}

/** Prints axes on which one subject is compared with itself; ratios are to the first. */
export function printVariants(title: string, rows: readonly Row[], say: Say): void {
  const base = rows.find((row) => row.metric === 'cpu_per_call')?.median;
  say(`\n${title}`);
  say('                          CPU µs per call (min…max)     calls/s   × the first');
  for (const rate of rows.filter((row) => row.metric === 'calls_per_second')) {
    const cost = rows.find((row) => row.metric === 'cpu_per_call' && row.axis === rate.axis);
    line(rate.axis, cost, rate, [base], say);
  }
}

function line(name: string, cost: Row | undefined, rate: Row, bases: readonly (number | undefined)[], say: Say): void {
  const spread = cost === undefined ? '' : `  (${cost.min.toFixed(1)}…${cost.max.toFixed(1)})`;
  const ratios = bases.map((base) =>
    (cost === undefined || base === undefined ? '' : (cost.median / base).toFixed(2)).padStart(12),
  );
  const micros = cost === undefined ? '–' : cost.median.toFixed(1);
  say(
    `  ${name.padEnd(22)} ${micros.padStart(8)}${spread}`.padEnd(52) +
      rate.median.toFixed(0).padStart(10) +
      ratios.join(''),
  );
}
