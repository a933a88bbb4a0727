/** Keepalive enforcement as gRPC A8 has it: which PINGs count, and what the one too many is answered with. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { FrameType } from '../../../src/http2/frame.ts';
import { type ConnectionLimits, defaultLimits } from '../../../src/http2/limits.ts';
import { PingStrikes } from '../../../src/http2/ping-strikes.ts';
import { eventually, REQUEST } from './loopback.ts';
import { frame, RawPeer } from './raw-peer.ts';

const PING = frame(FrameType.PING, 0, 0, Buffer.alloc(8));
const SECOND = 1_000_000;
const strikes = (limits: Partial<ConnectionLimits>): PingStrikes =>
  new PingStrikes({ ...defaultLimits, pingMinIntervalMs: 10_000, ...limits });

describe('PINGs of a client', () => {
  test('may come at the least interval, for ever', () => {
    const counter = strikes({});
    for (let at = 0; at < 100; at++) expect(counter.allows(at * 10 * SECOND, 1)).toBe(true);
  });

  test('may come a microsecond sooner as often as there may be strikes, and not once more', () => {
    const tooSoon = (maxPingStrikes: number): number => {
      const counter = strikes({ maxPingStrikes });
      let count = -1;
      for (let at = 0; counter.allows(at, 1); at += 9_999_999) count++;
      return count;
    };
    expect([0, 1, 2, 7].map(tooSoon)).toEqual([0, 1, 2, 7]);
  });

  test('may come sooner twice, and not a third time', () => {
    const counter = strikes({});
    const answers = [0, 9.999999, 19.999998, 29.999997].map((at) => counter.allows(at * SECOND, 1));
    expect(answers).toEqual([true, true, true, false]);
  });

  test('start afresh when something was sent to it', () => {
    const counter = strikes({});
    for (let at = 0; at < 100; at++) {
      counter.sent();
      expect(counter.allows(at, 1)).toBe(true);
      expect(counter.allows(at, 1)).toBe(true);
      expect(counter.allows(at, 1)).toBe(true);
    }
    expect(counter.allows(100, 1)).toBe(false);
  });

  test.each([
    [true, [true, true, true, true, true]],
    [false, [true, true, true, false, false]],
  ])('without streams may come as often when that is permitted (%s), else every two hours', (permitted, expected) => {
    const counter = strikes({ pingsWithoutStreams: permitted });
    expect([0, 10, 20, 30, 40].map((at) => counter.allows(at * SECOND, 0))).toEqual(expected);
    const patient = strikes({ pingsWithoutStreams: permitted });
    for (let at = 0; at < 10; at++) expect(patient.allows(at * 7_200 * SECOND, 0)).toBe(true);
  });

  test('are not looked at where no interval is set', () => {
    const counter = strikes({ pingMinIntervalMs: 0 });
    for (let at = 0; at < 1_000; at++) expect(counter.allows(0, 0)).toBe(true);
  });
});

describe('the PING that is one too many', () => {
  const limits = { pingMinIntervalMs: 10_000 };
  const pings = async (peer: RawPeer, count: number): Promise<void> => {
    for (let index = 0; index < count; index++) peer.say(PING);
    await delay(20);
  };

  test('is answered with the text that gRPC clients know', async () => {
    const peer = RawPeer.server({ limits });
    await eventually(() => peer.heard.length > 2);
    await pings(peer, 3);
    expect(peer.goawayCode).toBe(undefined);
    await pings(peer, 1);
    expect(peer.goawayCode).toBe(ErrorCode.ENHANCE_YOUR_CALM);
    expect(peer.goawayDebug).toBe('too_many_pings');
    expect(peer.owner.ends).toMatchObject([{ kind: 'protocol', limit: 'maxPingStrikes' }]);
  });

  test('is so also in a flood', async () => {
    const peer = RawPeer.server({ limits: { pings: { burst: 5, perSecond: 0, perUsefulFrame: 0 } } });
    await eventually(() => peer.heard.length > 2);
    await pings(peer, 6);
    expect([peer.goawayCode, peer.goawayDebug]).toEqual([ErrorCode.ENHANCE_YOUR_CALM, 'too_many_pings']);
  });

  test('is none between two answers: the client measures the bandwidth', async () => {
    const peer = RawPeer.server({ limits });
    await eventually(() => peer.heard.length > 2);
    for (let index = 0; index < 10; index++) {
      peer.say(peer.headers(index * 2 + 1, REQUEST, true));
      await eventually(() => peer.owner.streams.length === index + 1);
      peer.owner.streams[index]?.stream.sendHeaders([':status', '200'], true);
      await pings(peer, 2);
    }
    expect(peer.goawayCode).toBe(undefined);
    peer.socket.destroy();
  });

  test('leaves other reasons without a text', async () => {
    const peer = RawPeer.server({});
    await eventually(() => peer.heard.length > 2);
    peer.say(frame(FrameType.PING, 0, 1, Buffer.alloc(8)));
    await eventually(() => peer.goawayCode !== undefined);
    expect([peer.goawayCode, peer.goawayDebug]).toEqual([ErrorCode.PROTOCOL_ERROR, '']);
  });
});
