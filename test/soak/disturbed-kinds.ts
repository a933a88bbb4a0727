/**
 * The kinds of calls of the soak that do not come to a good end: given up, late, never read, or refused.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BOUND_MS, type Kind, letter, type Manner, open } from './kinds.ts';
import type { SeededRandom } from './random.ts';

const KIB = 1024;
const CANCEL = 8;
const DEADLINE_EXCEEDED = 4;

/** Gives up at some point of its life, which may be before or after its end. */
export const cancelled: Kind = async (caller) => {
  const { random } = caller;
  const points = ['at once', 'unsaid', 'mid message', 'waiting', 'at the headers', 'mid answer'] as const;
  const point = random.pick(points);
  const manner: Manner = { selfCut: 'stream', allowed: [0], mayBeUnsent: point === 'at once' };
  const { call, talk } = open(caller, `cancelled ${point}`, manner, { streaming: true });
  const wanted = letter(caller, call, {
    requestBytes: random.size(KIB, 512 * KIB),
    answers: point === 'mid answer' ? 16 : 2,
    answerBytes: 64 * KIB,
    delayMs: point === 'waiting' ? random.int(100, 600) : 0,
  });
  await giveUp(point, random, {
    part: () => talk.sendPart(wanted, random.next()),
    whole: () => talk.send(wanted, random.int(1, 5)),
    headers: () => talk.headers(),
    answered: () => talk.answered(random.int(1, 6)),
  });
  talk.cancel();
  return talk.ended;
};

interface Steps {
  part(): Promise<void>;
  whole(): Promise<void>;
  headers(): Promise<void>;
  answered(): Promise<void>;
}

async function giveUp(point: string, random: SeededRandom, steps: Steps): Promise<void> {
  if (point === 'at once') return;
  await sleep(random.int(1, 20));
  if (point === 'unsaid') return;
  if (point === 'mid message') {
    await steps.part();
    await sleep(random.int(0, 30));
    return;
  }
  await steps.whole();
  if (point === 'waiting') await sleep(random.int(0, 100));
  else if (point === 'at the headers') await steps.headers();
  else await steps.answered();
}

/** The model server takes longer than the call may. */
export const late: Kind = async (caller) => {
  const { random } = caller;
  const timeoutMs = random.int(5, 400);
  const headers = { 'grpc-timeout': `${timeoutMs}m` };
  // A connection's window that others fill holds back the status of a call that was answered in part: then it is cut.
  const manner = { allowed: [DEADLINE_EXCEEDED], allowedResets: [CANCEL] };
  const { call, talk } = open(caller, 'late', manner, { streaming: true, headers });
  // Sometimes answers have come before.
  if (random.chance(0.4)) await talk.send(letter(caller, call, {}));
  await talk.send(letter(caller, call, { index: 1, requestBytes: random.size(8, 64 * KIB), delayMs: 10_000 }));
  if (random.chance(0.5)) talk.finish();
  return talk.ended;
};

/** Never reads, and is cut when its time is over: with a status if that still gets through, else with its stream. */
export const neverReader: Kind = async (caller) => {
  const { random } = caller;
  const timeoutMs = random.int(1_000, 3_000);
  const headers = { 'grpc-timeout': `${timeoutMs}m` };
  const manner = { allowed: [DEADLINE_EXCEEDED], allowedResets: [CANCEL] };
  const { call, talk } = open(caller, 'never reads', manner, { streaming: true, paused: true, headers });
  await talk.send(letter(caller, call, { answers: 16, answerBytes: 256 * KIB }));
  talk.finish();
  await sleep(timeoutMs + 1_500);
  // node:http2 tells of a stream's end only to who reads it.
  talk.read();
  return talk.ended;
};

/** One way to be refused. */
interface Refusal {
  readonly name: string;
  readonly statuses: readonly number[];
  readonly path?: string;
  readonly model?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const SERVICE = '/inference.GRPCInferenceService';
const REFUSALS: readonly [Refusal, ...Refusal[]] = [
  { name: 'another’s model', statuses: [7], model: 'secret' },
  { name: 'a method without a role', statuses: [7], path: `${SERVICE}/RepositoryIndex` },
  { name: 'no such method', statuses: [12], path: `${SERVICE}/Nonsense` },
  { name: 'a bad timeout', statuses: [3], headers: { 'grpc-timeout': '5x' } },
  { name: 'a bad encoding', statuses: [12], headers: { 'grpc-encoding': 'snappy' } },
  { name: 'a bad token', statuses: [16], headers: { authorization: 'Bearer ab.cd.ef' } },
  { name: 'a bad key', statuses: [16], headers: { 'x-api-key': 'bk_nobody_nothing' } },
];

/** Does what it may not. */
export const refused: Kind = async (caller) => {
  const { random } = caller;
  const { name, statuses, ...how } = random.pick(REFUSALS);
  const { call, talk } = open(caller, `refused: ${name}`, { allowed: statuses }, { streaming: false, ...how });
  await talk.send(letter(caller, call, { requestBytes: random.size(8, 8 * KIB) }));
  talk.finish();
  return talk.ended;
};

/** Presses against its quota: each call is served or told to come later. */
export const overQuota: Kind = async (caller) => {
  const burst = Array.from({ length: 12 }, async () => {
    const { call, talk } = open(caller, 'over quota', { allowed: [0, 8] }, { streaming: false });
    await talk.send(letter(caller, call, { delayMs: 20 }));
    talk.finish();
    return talk.ended;
  });
  await Promise.all(burst);
  await sleep(caller.random.int(100, 500));
};

/** Its connection breaks in the middle of several calls. */
export const broken: Kind = async (caller) => {
  const { random, line } = caller;
  const calls = Array.from({ length: random.int(1, 4) }, async () => {
    const manner: Manner = { selfCut: 'connection', allowed: [0] };
    const { call, talk } = open(caller, 'connection cut', manner, { streaming: true, boundMs: BOUND_MS });
    for (let index = 0; index < 8 && !talk.over; index++) {
      await talk.send(letter(caller, call, { index, requestBytes: random.size(8, 32 * KIB), delayMs: 10 }));
    }
    talk.finish();
    return talk.ended;
  });
  await sleep(random.int(0, 80));
  line.cut();
  await Promise.all(calls);
};
