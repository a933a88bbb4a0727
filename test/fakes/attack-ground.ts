/**
 * One attack on one connection of a tenant, while another tenant calls through the same listener: how soon the attacker is
 * gone, what of it reached the model server, what is on record, what it cost in memory, and what the neighbour felt.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'vitest';
import type { RefusalRecord } from '../../src/audit/record.ts';
import type { ConnectionLimits } from '../../src/http2/limits.ts';
import { FakeUpstream } from './fake-upstream.ts';
import { FrameClient } from './frame-client.ts';
import { eventually, HostileGround, INFER, inferRequest } from './hostile-ground.ts';
import type { RawGrpcClient } from './raw-grpc-client.ts';

/** Growth within which memory counts as flat: what the collector leaves to itself varies by about this. */
const FLAT_BYTES = 8 * 1024 * 1024;

export interface Verdict {
  /** From the attack's first byte until GOAWAY or the socket's end; undefined: the attacker was still there. */
  readonly endedMs: number | undefined;
  /** Calls of the attacker that reached the model server. */
  readonly dispatched: number;
  /** Refusals on record for the attacker's tenant and address. */
  readonly refusals: readonly RefusalRecord[];
  /** What the process holds more than before, after a collection. */
  readonly grownBytes: number;
  readonly neighbour: { readonly quiet: Latencies; readonly attacked: Latencies };
}

export interface Latencies {
  readonly calls: number;
  readonly failed: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
}

export interface Attack {
  /** What differs from the engine's limits: for those of time, which a test shortens. */
  readonly limits?: Partial<ConnectionLimits>;
  /** Whether the attacked model server answers; one that hangs keeps each dispatched stream open. Default false. */
  readonly answers?: boolean;
  /** How long the attacker tries at most. Default 2 s. */
  readonly forMs?: number;
  /** Attacks until it has been ended, or `over` says so. */
  run(attacker: FrameClient, over: () => boolean, ground: HostileGround): Promise<void>;
}

/** Tries an attack. */
export async function underAttack(attack: Attack): Promise<Verdict> {
  const spared = await FakeUpstream.start();
  const ground = await HostileGround.start({
    globex: { upstream: spared.config },
    ...(attack.limits === undefined ? {} : { connectionLimits: attack.limits }),
  });
  try {
    if (attack.answers !== true) ground.upstream.answer = () => undefined;
    const neighbour = await ground.client(ground.globex);
    const quiet = await callFor(neighbour, 150);
    const before = heldBytes();
    const attacked = { over: false };
    const calls = callUntil(neighbour, () => attacked.over);
    const endedMs = await strike(attack, ground);
    attacked.over = true;
    const felt = await calls;
    const refusals = (await ground.sidecar.refusals()).filter(
      ({ tenantClaim, peerAddress }) => tenantClaim === 'acme' && peerAddress === '127.0.0.1',
    );
    const dispatched = ground.upstream.calls.length;
    ground.upstream.calls.length = 0;
    const grownBytes = await heldMoreThan(before);
    return { endedMs, dispatched, refusals, grownBytes, neighbour: { quiet, attacked: felt } };
  } finally {
    await ground.stop();
    await spared.stop();
  }
}

/** Repeats a volley, one in each turn of the event loop, for as long as the attack lasts. */
export async function volleys(over: () => boolean, fire: (round: number) => void): Promise<void> {
  for (let round = 0; !over(); round++) {
    fire(round);
    await turn();
  }
}

/** What every attack must end in. `withinMs` is for those that a limit of time ends. */
export function expectSurvived(verdict: Verdict, reason: string | RegExp, withinMs = 1_000): void {
  const { endedMs, dispatched, refusals, grownBytes, neighbour } = verdict;
  expect(endedMs, 'the attacker is gone').toBeLessThan(withinMs);
  expect(dispatched).toBeLessThanOrEqual(100);
  expect(refusals.map((record) => record.reason)).toContainEqual(expect.stringMatching(reason));
  expect(grownBytes).toBeLessThan(FLAT_BYTES);
  expectSpared(neighbour.attacked);
}

/** A neighbour's calls were none the worse. Its p99 is printed, and not asserted: attacker and attacked share a thread here. */
export function expectSpared(felt: Latencies): void {
  expect(felt.calls).toBeGreaterThan(0);
  expect(felt.failed).toBe(0);
  expect(felt.slowestMs).toBeLessThan(1_000);
}

/** One line of evidence. */
export function evidenceOf(name: string, { endedMs, dispatched, refusals, grownBytes, neighbour }: Verdict): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  const reasons = [...new Set(refusals.map(({ reason }) => reason))].join(' ');
  const felt = `p99 ${ms(neighbour.attacked.p99Ms)} of ${neighbour.attacked.calls}, quiet ${ms(neighbour.quiet.p99Ms)}`;
  const ended = endedMs === undefined ? 'not ended' : `ended after ${ms(endedMs)}`;
  return `${name}: ${ended}, ${dispatched} dispatched, ${reasons || 'no refusal'}, ${(grownBytes / 1024).toFixed(0)} KiB; neighbour ${felt}\n`;
}

async function strike(attack: Attack, ground: HostileGround): Promise<number | undefined> {
  const attacker = await FrameClient.connect(ground.access(ground.acme));
  await eventually('both clients', () => ground.sidecar.listener.connections === 2);
  // Both have said their SETTINGS by then, and acknowledged the other's.
  await delay(20);
  const from = performance.now();
  const until = from + (attack.forMs ?? 2_000);
  let endedMs: number | undefined;
  const over = (): boolean => {
    if (endedMs === undefined && (attacker.closed || attacker.goawayCode !== undefined))
      endedMs = performance.now() - from;
    return endedMs !== undefined || performance.now() > until;
  };
  await attack.run(attacker, over, ground);
  while (!over()) await delay(2);
  attacker.close();
  // What the attacker had under way ends with it.
  await delay(20);
  return endedMs;
}

function callFor(client: RawGrpcClient, ms: number): Promise<Latencies> {
  const until = performance.now() + ms;
  return callUntil(client, () => performance.now() > until);
}

async function callUntil(client: RawGrpcClient, over: () => boolean): Promise<Latencies> {
  const took: number[] = [];
  let failed = 0;
  do {
    const from = performance.now();
    const { status } = await client.call(INFER, { chunks: [inferRequest()] });
    took.push(performance.now() - from);
    if (status !== 0) failed++;
    await delay(2);
  } while (!over());
  took.sort((one, other) => one - other);
  const slowestMs = took.at(-1) ?? 0;
  return { calls: took.length, failed, p99Ms: took[Math.floor(took.length * 0.99)] ?? slowestMs, slowestMs };
}

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

/** What is held more than before. The attacker lives here too, and its sockets take a while to let go of what they had queued. */
async function heldMoreThan(before: number): Promise<number> {
  let grown = heldBytes() - before;
  for (let round = 0; round < 20 && grown > FLAT_BYTES / 2; round++) {
    await delay(50);
    grown = Math.min(grown, heldBytes() - before);
  }
  return grown;
}

/** What the process holds after a collection. */
export function heldBytes(): number {
  if (typeof collect === 'function') collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
