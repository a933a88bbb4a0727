/**
 * Attacks that begin work and throw it away: rapid reset (CVE-2023-44487), and the ways to have the server do the resetting
 * (CVE-2025-8671, MadeYouReset). Each is a whole call that reaches the model server, followed by what ends it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { Flag, FrameType } from '../../src/http2/frame.ts';
import { nth, throwaways, wholeCall, word } from '../fakes/attack-frames.ts';
import { evidenceOf, expectSurvived, underAttack, volleys } from '../fakes/attack-ground.ts';
import { dataFrame, frameBytes } from '../fakes/frame-client.ts';

const evidence: string[] = [];
afterAll(() => void process.stdout.write(evidence.join('')));

describe('an attacker that begins calls and throws them away', () => {
  it.each(throwaways)('by %s is gone within a second', async (name, reason, call) => {
    const verdict = await underAttack({
      run: (attacker, over) =>
        volleys(over, (round) => {
          for (let index = 10 * round; index < 10 * (round + 1); index++) attacker.write(call(nth(index)));
        }),
    });
    evidence.push(evidenceOf(name, verdict));
    expectSurvived(verdict, reason);
    expect(verdict.dispatched, 'the attack reaches the model server until it is stopped').toBeGreaterThan(0);
  });

  it.each(throwaways.slice(0, 2))('by %s is gone in the same way when it keeps a pace', async (name, reason, call) => {
    const verdict = await underAttack({
      run: async (attacker, over) => {
        const from = performance.now();
        for (let index = 0; !over(); await delay(3)) {
          // By the clock: on a busy machine a timer alone would be an attack that the limits rightly let live longer.
          for (; index < (performance.now() - from) / 3; index++) attacker.write(call(nth(index)));
        }
      },
    });
    evidence.push(evidenceOf(`${name}, paced`, verdict));
    expectSurvived(verdict, reason);
  });

  it.each(throwaways)('by %s gets no further when everything comes at once', async (name, reason, call) => {
    const verdict = await underAttack({
      run: async (attacker) => {
        attacker.write(...Array.from({ length: 2_000 }, (_, index) => call(nth(index))));
      },
    });
    evidence.push(evidenceOf(`${name}, at once`, verdict));
    expectSurvived(verdict, reason);
  });
});

const misuses: readonly (readonly [string, readonly Buffer[]])[] = [
  ['a stream id that was used', [wholeCall(3), wholeCall(1)]],
  ['a stream id that is even', [wholeCall(2)]],
  ['DATA on an idle stream', [dataFrame(9, Buffer.from('nobody asked'))]],
  ['DATA on stream 0', [dataFrame(0, Buffer.from('nobody asked'))]],
  ['RST_STREAM on an idle stream', [frameBytes(FrameType.RST_STREAM, 0, 9, word(8))]],
  ['WINDOW_UPDATE on an idle stream', [frameBytes(FrameType.WINDOW_UPDATE, 0, 9, word(1))]],
  ['PUSH_PROMISE', [frameBytes(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, word(2))]],
  ['a frame above MAX_FRAME_SIZE', [frameBytes(0xbe, 0, 0, Buffer.alloc(16_385))]],
];

describe('an attacker that misuses stream ids', () => {
  it.each(misuses)('by %s is gone at once', async (name, frames) => {
    const verdict = await underAttack({
      run: async (attacker) => attacker.write(...frames),
    });
    evidence.push(evidenceOf(name, verdict));
    expectSurvived(verdict, 'HTTP2_PROTOCOL_ERROR');
    expect(verdict.dispatched).toBeLessThanOrEqual(1);
  });
});
