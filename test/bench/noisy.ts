/**
 * Noisy neighbours: `npm run bench -- --noisy`. One tenant attacks in each of ten ways at full strength; what does a call of another feel
 * that calls half as often as it may? The same behind Envoy. Quiet times and attacks take turns, as do the two subjects' rounds; of each
 * round the neighbour's p99 under the attack is divided by the median of that subject's quiet ones.
 *
 * The attacker has to run somewhere, and on two cores that is where the neighbour's client and model server are. So each attack is made
 * once more while the neighbour calls its model server directly, past the subject: what its p99 grows by then is not the subject's doing,
 * and taken off. The rows have the ratio with it and without.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../e2e/harness/free-port.ts';
import type { CallTarget } from './caller.ts';
import type { Say } from './contender.ts';
import type { AttackOrder, CallOrder, Felt, Struck } from './neighbour-messages.ts';
import { NOISY_ATTACKS } from './noisy-attacks.ts';
import {
  type NoisyGround,
  type NoisySubject,
  noisyGround,
  startBulkhead,
  TENANT_CALLS_PER_SECOND,
  targetOf,
} from './noisy-ground.ts';
import { OrderedProcess } from './ordered-process.ts';
import { median, type Row, rowOf } from './row.ts';
import { noisyEnvoy } from './subjects/noisy-envoy.ts';

const CONNECTIONS = 4;
const WARM_UP_SECONDS = 4;
const PAUSE_MS = 100;
/** What a call of the neighbour's may take longer, by the ratio of the p99. */
export const NOISY_GOAL = 1.5;

export interface NoisyPlan {
  readonly rounds: number;
  readonly quietSeconds: number;
  readonly attackSeconds: number;
}

export const NOISY_PLANS: Readonly<Record<'full' | 'quick' | 'smoke', NoisyPlan>> = {
  full: { rounds: 7, quietSeconds: 0.8, attackSeconds: 2.5 },
  quick: { rounds: 3, quietSeconds: 0.5, attackSeconds: 1.3 },
  smoke: { rounds: 1, quietSeconds: 0.3, attackSeconds: 0.4 },
};

interface Round {
  readonly subject: NoisySubject['name'];
  readonly attack: string;
  readonly quiet: Felt;
  readonly attacked: Felt;
  readonly struck: Struck;
  /** Past the subject, while the same attack is made on it. */
  readonly past: Felt;
  readonly pastQuiet: Felt;
}

interface Clients {
  readonly caller: OrderedProcess<CallOrder, Felt>;
  readonly attacker: OrderedProcess<AttackOrder, Struck>;
}

/** Measures both subjects, and prints what the neighbours felt. */
export async function noisyNeighbours(plan: NoisyPlan, say: Say): Promise<readonly Row[]> {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-noisy-'));
  try {
    const ground = await noisyGround(directory);
    const subjects: NoisySubject[] = [];
    try {
      subjects.push(await startBulkhead(ground));
      subjects.push({ name: 'envoy', running: await noisyEnvoy(ground, await freePort()) });
      return report(await measure(ground, subjects, plan), say);
    } finally {
      for (const { running } of subjects) await running.stop();
      await ground.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(
  ground: NoisyGround,
  subjects: readonly NoisySubject[],
  plan: NoisyPlan,
): Promise<readonly Round[]> {
  const program = (name: string): string => join(import.meta.dirname, name);
  const caller = await OrderedProcess.start<CallOrder, Felt>(program('neighbour-caller.ts'), 0);
  const attacker = await OrderedProcess.start<AttackOrder, Struck>(program('neighbour-attacker.ts'), 19);
  const clients: Clients = { caller, attacker };
  try {
    for (const subject of subjects) {
      await Promise.all([
        call(clients, targetOf(ground.neighbour, subject.running), WARM_UP_SECONDS),
        strike(clients, ground, subject, 'call flood', WARM_UP_SECONDS),
      ]);
    }
    const rounds: Round[] = [];
    for (let round = 0; round < plan.rounds; round++) {
      for (const attack of NOISY_ATTACKS.keys()) {
        for (const subject of subjects) {
          const under = async (target: CallTarget): Promise<readonly [Felt, Struck]> => {
            const felt = await Promise.all([
              call(clients, target, plan.attackSeconds),
              strike(clients, ground, subject, attack, plan.attackSeconds),
            ]);
            // What the attack has left to do is not the next quiet time's.
            await sleep(PAUSE_MS);
            return felt;
          };
          const through = targetOf(ground.neighbour, subject.running);
          const quiet = await call(clients, through, plan.quietSeconds);
          const [attacked, struck] = await under(through);
          const pastQuiet = await call(clients, directTarget(ground), plan.quietSeconds);
          const [past] = await under(directTarget(ground));
          rounds.push({ subject: subject.name, attack, quiet, attacked, struck, past, pastQuiet });
        }
      }
    }
    return rounds;
  } finally {
    await caller.stop();
    await attacker.stop();
  }
}

/** The neighbour's model server, with nothing in between. */
const directTarget = ({ neighbour }: NoisyGround): CallTarget => ({
  port: neighbour.backendPort,
  tls: false,
  serverName: neighbour.serverName,
  clientPem: '',
});

const call = (clients: Clients, target: CallTarget, seconds: number): Promise<Felt> =>
  clients.caller.perform({
    target,
    callsPerSecond: TENANT_CALLS_PER_SECOND / 2,
    connections: CONNECTIONS,
    seconds,
  });

const strike = (
  clients: Clients,
  ground: NoisyGround,
  { running }: NoisySubject,
  attack: string,
  seconds: number,
): Promise<Struck> =>
  clients.attacker.perform({
    attack,
    target: targetOf(ground.attacker, running),
    caPem: ground.attacker.caPem,
    seconds,
    pauseMs: PAUSE_MS,
  });

function report(rounds: readonly Round[], say: Say): readonly Row[] {
  const rows: Row[] = [];
  const pastQuietMs = median(rounds.map(({ pastQuiet }) => pastQuiet.p99Ms));
  say(`\nnoisy neighbours: p99 under the attack to p99 in quiet, of a tenant at half of its rate; goal ${NOISY_GOAL}`);
  say(`p99 of the model server without anything in between, in quiet: ${pastQuietMs.toFixed(2)} ms`);
  for (const subject of ['bulkhead', 'envoy'] as const) {
    const own = rounds.filter((round) => round.subject === subject);
    const quietMs = median(own.map(({ quiet }) => quiet.p99Ms));
    say(`\n  ${subject}: quiet p99 ${quietMs.toFixed(2)} ms`);
    say('  attack                p99 ms  the load’s  ratio  (least…most)   failed  how the attacker ended');
    for (const attack of NOISY_ATTACKS.keys()) {
      const felt = ofAttack(
        own.filter((round) => round.attack === attack),
        quietMs,
        pastQuietMs,
      );
      const of = { name: subject, features: 'everything' } as const;
      const row = rowOf(of, attack, 'p99_ratio', felt.ratios);
      rows.push(row, rowOf(of, attack, 'p99_ratio_with_load', felt.withLoad));
      rows.push(rowOf(of, attack, 'failed_calls', felt.failed));
      say(`  ${line(attack, felt, row)}`);
    }
  }
  return rows;
}

interface FeltOfAttack {
  readonly p99Ms: number;
  /** What the attacker's presence on the load's core adds, whoever is attacked. */
  readonly loadMs: number;
  /** Of each round. */
  readonly ratios: readonly number[];
  readonly withLoad: readonly number[];
  readonly failed: readonly number[];
  readonly ends: ReadonlyMap<string, number>;
}

function ofAttack(rounds: readonly Round[], quietMs: number, pastQuietMs: number): FeltOfAttack {
  const loadMs = Math.max(0, median(rounds.map(({ past }) => past.p99Ms)) - pastQuietMs);
  const ends = new Map<string, number>();
  for (const { struck } of rounds) {
    for (const [how, times] of Object.entries(struck.ends)) ends.set(how, (ends.get(how) ?? 0) + times);
  }
  return {
    p99Ms: median(rounds.map(({ attacked }) => attacked.p99Ms)),
    loadMs,
    ratios: rounds.map(({ attacked }) => Math.max(0, attacked.p99Ms - loadMs) / quietMs),
    withLoad: rounds.map(({ attacked }) => attacked.p99Ms / quietMs),
    failed: rounds.map(({ attacked }) => attacked.failed),
    ends,
  };
}

function line(attack: string, { p99Ms, loadMs, failed, ends }: FeltOfAttack, ratio: Row): string {
  return [
    attack.padEnd(20),
    p99Ms.toFixed(2).padStart(7),
    loadMs.toFixed(2).padStart(11),
    `${ratio.median.toFixed(2).padStart(6)}${ratio.median > NOISY_GOAL ? '!' : ' '}`,
    ` (${ratio.min.toFixed(2)}…${ratio.max.toFixed(2)})`.padEnd(14),
    String(failed.reduce((sum, one) => sum + one, 0)).padStart(7),
    ` ${[...ends].map(([how, times]) => `${times} × ${how}`).join(', ')}`,
  ].join(' ');
}
