/**
 * Memory: of a subject that was just started, and of each connection that made one call and then stays quiet. Of the second
 * thousand: with the first comes what a subject takes once, when it gets to work (a young generation, pools, code).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { callTarget, contend, type Say } from './contender.ts';
import type { Generator } from './generator-handle.ts';
import type { PreparedGround } from './ground.ts';
import type { IdlePlan } from './plan.ts';
import { residentBytes } from './process-cost.ts';
import { type Row, rowOf } from './row.ts';
import { type Subject, subjectName } from './subjects/subject.ts';

/** Each round starts the subject anew: what earlier load has left in its heap would hide what connections take. */
export async function idleConnections(
  ground: PreparedGround,
  subjects: readonly Subject[],
  generator: Generator,
  plan: IdlePlan,
  say: Say,
): Promise<readonly Row[]> {
  const rounds = new Map(subjects.map((subject) => [subject, { idle: [] as number[], each: [] as number[] }]));
  for (let round = 0; round < plan.rounds; round++) {
    for (const [subject, { idle, each }] of rounds) {
      const { running, target } = await contend(ground, subject, [100], () => undefined);
      try {
        await sleep(plan.restSeconds * 1000);
        idle.push(residentBytes(running.pids));
        const called = { target: callTarget(target), token: target.token, bodyFile: target.bodyFile(100) };
        const held = async (): Promise<number> => {
          await generator.perform({ kind: 'hold', ...called, connections: plan.connections });
          await sleep(plan.restSeconds * 1000);
          return residentBytes(running.pids);
        };
        const first = await held();
        each.push(((await held()) - first) / plan.connections);
        await generator.perform({ kind: 'release' });
      } finally {
        await running.stop();
      }
    }
  }
  const axis = `${plan.connections} idle connections`;
  say(`\n${axis}: resident memory`);
  say('  subject                  just started, MB    per connection, KB (min…max)');
  return [...rounds].flatMap(([subject, { idle, each }]) => {
    const rows = [rowOf(subject, axis, 'rss_idle', idle), rowOf(subject, axis, 'rss_per_connection', each)] as const;
    const [{ median }, per] = rows;
    const kilobytes = (bytes: number): string => (bytes / 1000).toFixed(1);
    say(
      `  ${subjectName(subject).padEnd(22)} ${(median / 1e6).toFixed(0).padStart(18)} ` +
        `${kilobytes(per.median).padStart(12)} (${kilobytes(per.min)}…${kilobytes(per.max)})`,
    );
    return rows;
  });
}
