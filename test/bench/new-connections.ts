/**
 * What a new connection costs: a full handshake (no session is resumed), one call, and the end.
 */
import type { Contender, Say } from './contender.ts';
import { connectAll } from './load.ts';
import type { ConnectionsPlan, Plan } from './plan.ts';
import { cpuSeconds, settled } from './process-cost.ts';
import { type Row, rowOf } from './row.ts';
import { subjectName } from './subjects/subject.ts';

const AXIS = 'new connections';

/** Connections before anything counts, where there is a JIT. */
const WARM_UP_BURSTS = 10;

/** Measures all contenders in rounds that take turns. */
export async function newConnections(
  contenders: readonly Contender[],
  { burst, seconds }: ConnectionsPlan,
  plan: Plan,
  say: Say,
): Promise<readonly Row[]> {
  const rounds = new Map(contenders.map((one) => [one, { micros: [] as number[], perSecond: [] as number[] }]));
  for (const { subject, target } of contenders) {
    const bursts = subject.warmsUp && plan.name !== 'smoke' ? WARM_UP_BURSTS : 1;
    for (let i = 0; i < bursts; i++) await connectAll(target, burst);
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const [{ running, target }, { micros, perSecond }] of rounds) {
      const before = cpuSeconds(running.pids);
      let connections = 0;
      let spent = 0;
      for (const end = performance.now() + seconds * 1000; connections === 0 || performance.now() < end; ) {
        spent += await connectAll(target, burst);
        connections += burst;
      }
      await settled(running.pids, plan.settleStepMs);
      micros.push(((cpuSeconds(running.pids) - before) * 1e6) / connections);
      perSecond.push(connections / spent);
    }
  }
  say(`\n${AXIS}: full handshakes, ${burst} at once, one call each`);
  say('  subject                 CPU µs per connection      connections/s');
  return [...rounds].flatMap(([{ subject, running }, { micros, perSecond }]) => {
    const rate = rowOf(subject, AXIS, 'connections_per_second', perSecond);
    const cost = running.pids.length === 0 ? undefined : rowOf(subject, AXIS, 'cpu_per_connection', micros);
    const costText =
      cost === undefined ? '–' : `${cost.median.toFixed(0)}  (${cost.min.toFixed(0)}…${cost.max.toFixed(0)})`;
    say(`  ${subjectName(subject).padEnd(22)} ${costText.padStart(20)}${rate.median.toFixed(0).padStart(15)}`);
    return cost === undefined ? [rate] : [cost, rate];
  });
}
