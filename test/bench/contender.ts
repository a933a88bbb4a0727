/**
 * A subject that runs, and was found to answer right.
 */

import type { CallTarget } from './caller.ts';
import { check } from './check.ts';
import type { PreparedGround } from './ground.ts';
import type { LoadTarget } from './load.ts';
import { residentBytes } from './process-cost.ts';
import { type Running, type Subject, subjectName } from './subjects/subject.ts';

export interface Contender {
  readonly subject: Subject;
  readonly running: Running;
  readonly target: LoadTarget;
  /** CPU that it uses without any call, as a share of one core; not counted as a call's. */
  readonly idleShare: number;
}

export type Say = (text: string) => void;

/** Starts a subject and checks its answers. */
export async function contend(
  ground: PreparedGround,
  subject: Subject,
  messageBytes: readonly number[],
  say: Say,
): Promise<Contender> {
  const running = await subject.start(ground);
  try {
    const target = ground.targetOf(subject, running);
    await check(subject, target, messageBytes);
    const megabytes = Math.round(residentBytes(running.pids) / 1e6);
    const memory = running.pids.length === 0 ? '' : `, ${megabytes} MB resident`;
    say(`  ${subjectName(subject).padEnd(34)} answers right on port ${running.port}${memory}`);
    return { subject, running, target, idleShare: 0 };
  } catch (error) {
    await running.stop();
    throw error;
  }
}

/** What goes into a message to the generator. */
export const callTarget = ({ port, tls, serverName, clientPem }: LoadTarget): CallTarget => ({
  port,
  tls,
  serverName,
  clientPem,
});
