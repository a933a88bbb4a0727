/**
 * The kinds of calls of the soak that are let through and come to their end: unary and streaming, small and large, read at once and
 * slowly, and those that the model server ends early.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Conversation, type ConversationOptions } from './conversation.ts';
import type { Ledger, SoakCall, Via } from './ledger.ts';
import type { Letter, Noise } from './letter.ts';
import type { Line } from './line.ts';
import type { SeededRandom } from './random.ts';

/** Who calls, over which line, with what randomness. */
export interface Caller {
  readonly ledger: Ledger;
  readonly noise: Noise;
  readonly random: SeededRandom;
  readonly line: Line;
  readonly tenant: string;
  readonly via: Via;
  /** A line of the caller's own, whose responses begin with this window. Undefined when there is none to be had. */
  open(windowBytes: number): Promise<Line | undefined>;
  /** Credentials. */
  readonly headers: Readonly<Record<string, string>>;
}

/** One call, or a few that belong together; resolves when they are over. Never rejects for what the system does. */
export type Kind = (caller: Caller) => Promise<unknown>;

export const INFER = '/inference.GRPCInferenceService/ModelInfer';
export const STREAM_INFER = '/inference.GRPCInferenceService/ModelStreamInfer';
const KIB = 1024;
const MIB = 1024 * KIB;
/** No call of the soak needs so long, on however busy a machine. */
export const BOUND_MS = 60_000;

export interface Manner {
  readonly allowed?: readonly number[];
  readonly allowedResets?: readonly number[];
  readonly selfCut?: SoakCall['selfCut'];
  readonly mayBeUnsent?: boolean;
}

/** Begins a call: in the ledger, and on its line. */
export function open(
  caller: Caller,
  kind: string,
  manner: Manner,
  how: Partial<ConversationOptions> & { readonly streaming: boolean },
): { readonly call: SoakCall; readonly talk: Conversation } {
  const { ledger, noise, line, tenant, via } = caller;
  const call = ledger.begin({ kind, tenant, via, allowed: [0], ...manner });
  const talk = new Conversation({
    ledger,
    noise,
    line,
    call,
    path: how.streaming ? STREAM_INFER : INFER,
    boundMs: BOUND_MS,
    ...how,
    headers: { ...caller.headers, ...how.headers },
  });
  return { call, talk };
}

export function letter(caller: Caller, call: SoakCall, changes: Partial<Letter>): Letter {
  return {
    tenant: caller.tenant,
    call: call.id,
    index: 0,
    requestBytes: 64,
    answers: 1,
    answerBytes: 64,
    delayMs: 0,
    fail: 0,
    gzipAnswer: false,
    ...changes,
  };
}

export const unarySmall: Kind = async (caller) => {
  const { random } = caller;
  const { call, talk } = open(caller, 'unary small', {}, { streaming: false });
  const answerBytes = random.size(16, 4 * KIB);
  await talk.send(letter(caller, call, { requestBytes: random.size(16, 4 * KIB), answerBytes }));
  talk.finish();
  return talk.ended;
};

export const unaryLarge: Kind = async (caller) => {
  const { random } = caller;
  const { call, talk } = open(caller, 'unary large', {}, { streaming: false });
  const answerBytes = random.size(64 * KIB, 4 * MIB);
  const wanted = letter(caller, call, { requestBytes: random.size(64 * KIB, 4 * MIB), answerBytes });
  await talk.send(wanted, random.int(1, 9));
  talk.finish();
  return talk.ended;
};

export const unaryGzip: Kind = async (caller) => {
  const { random } = caller;
  const headers = { 'grpc-encoding': 'gzip', 'grpc-accept-encoding': 'identity,gzip' };
  const { call, talk } = open(caller, 'unary gzip', {}, { streaming: false, headers });
  const wanted = letter(caller, call, {
    requestBytes: random.size(KIB, MIB),
    answerBytes: random.size(KIB, MIB),
    gzipAnswer: random.chance(0.7),
  });
  await talk.send(wanted, random.int(1, 4), random.chance(0.8));
  talk.finish();
  return talk.ended;
};

export const streaming: Kind = async (caller) => {
  const { random } = caller;
  const { call, talk } = open(caller, 'streaming', {}, { streaming: true });
  const messages = random.size(2, 120);
  const inTurns = random.chance(0.5);
  const pauseMs = random.pick([0, 0, 2, 20]);
  let answers = 0;
  for (let index = 0; index < messages && !talk.over; index++) {
    const wanted = { index, requestBytes: random.size(8, 16 * KIB), answerBytes: random.size(8, 16 * KIB) };
    answers += 1;
    await talk.send(letter(caller, call, wanted));
    if (inTurns) await talk.answered(answers);
    if (pauseMs > 0) await sleep(random.int(0, pauseMs));
    if (random.chance(0.01)) await sleep(random.int(200, 1_000));
  }
  talk.finish();
  return talk.ended;
};

/** Says everything, half-closes, and hears the answers long after. */
export const halfClosed: Kind = async (caller) => {
  const { random } = caller;
  const { call, talk } = open(caller, 'half-closed', {}, { streaming: true });
  const messages = random.int(1, 6);
  for (let index = 0; index < messages; index++) {
    const wanted = {
      index,
      requestBytes: random.size(8, 64 * KIB),
      answers: random.int(1, 4),
      delayMs: random.int(20, 250),
    };
    await talk.send(letter(caller, call, wanted));
  }
  talk.finish();
  return talk.ended;
};

/** The model server ends the call while its client is still speaking. */
export const earlyEnd: Kind = async (caller) => {
  const { random } = caller;
  const status = random.pick([3, 5, 9, 10]);
  const { call, talk } = open(caller, 'early end', { allowed: [status] }, { streaming: true });
  const failsAt = random.int(0, 4);
  for (let index = 0; index < 30 && !talk.over; index++) {
    const fail = index === failsAt ? status : 0;
    await talk.send(letter(caller, call, { index, requestBytes: random.size(8, 64 * KIB), fail }));
    if (random.chance(0.3)) await sleep(random.int(0, 10));
  }
  talk.finish();
  return talk.ended;
};

/**
 * Reads nothing for a while, then goes on, a little at a time: by its windows, which are shut at first and widened by SETTINGS. (What
 * node:http2 reads of a stream that is paused and resumed, it now and then forgets to give back.)
 */
export const slowReader: Kind = async (caller) => {
  const { random } = caller;
  const line = await caller.open(0);
  if (line === undefined) return;
  const { call, talk } = open({ ...caller, line }, 'slow reader', {}, { streaming: true });
  const wanted = { answers: random.int(4, 12), answerBytes: random.size(32 * KIB, 512 * KIB) };
  await talk.send(letter(caller, call, wanted));
  talk.finish();
  await sleep(random.int(200, 3_000));
  for (let windowBytes = random.size(KIB, 64 * KIB); windowBytes < 8 * MIB && !talk.over; windowBytes *= 4) {
    line.widen(windowBytes);
    await sleep(random.int(50, 500));
  }
  await talk.ended;
  line.close();
};
