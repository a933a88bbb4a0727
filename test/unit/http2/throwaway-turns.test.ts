/** Streams that are begun and thrown away are done in slices, so that the thread's other connections get their turns. */
import { expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { FrameType, PREFACE } from '../../../src/http2/frame.ts';
import { eventually, REQUEST } from './loopback.ts';
import { frame, PING, RawPeer, SETTINGS, SETTINGS_ACK, word } from './raw-peer.ts';

/** As many as one TLS record has room for. */
const STREAMS = 70;

const thrownAway = (peer: RawPeer, index: number): Buffer[] => [
  peer.headers(2 * index + 1, REQUEST, true),
  frame(FrameType.RST_STREAM, 0, 2 * index + 1, word(ErrorCode.CANCEL)),
];
const kept = (peer: RawPeer, index: number): Buffer[] => [peer.headers(2 * index + 1, REQUEST, true)];

/** What the server had begun of `peer`'s streams when it began the neighbour's, which came in the same turn behind them. */
async function begunBeforeNeighbour(strike: typeof kept): Promise<{ atNeighbour: number; inTheEnd: number }> {
  const peer = new RawPeer('server');
  const neighbour = new RawPeer('server');
  let atNeighbour = -1;
  neighbour.owner.answer = () => {
    atNeighbour = peer.owner.streams.length;
  };
  const attack = Array.from({ length: STREAMS }, (_, index) => strike(peer, index)).flat();
  peer.say(PREFACE, SETTINGS, SETTINGS_ACK, ...attack);
  neighbour.say(PREFACE, SETTINGS, SETTINGS_ACK, neighbour.headers(1, REQUEST, true));
  await eventually(() => peer.owner.streams.length === STREAMS && atNeighbour >= 0);
  return { atNeighbour, inTheEnd: peer.owner.streams.length };
}

test('of streams that are thrown away ten are done before it is others’ turn, and the rest after it', async () => {
  expect(await begunBeforeNeighbour(thrownAway)).toEqual({ atNeighbour: 10, inTheEnd: STREAMS });
});

test('streams that are meant are all begun in the turn in which they come', async () => {
  expect(await begunBeforeNeighbour(kept)).toEqual({ atNeighbour: STREAMS, inTheEnd: STREAMS });
});

test('what comes in further pieces stays in its order, and an end of the connection forgets what is left', async () => {
  const peer = new RawPeer('server');
  const attack = Array.from({ length: STREAMS }, (_, index) => thrownAway(peer, index)).flat();
  peer.say(PREFACE, SETTINGS, SETTINGS_ACK, ...attack);
  const whole = Buffer.concat([...kept(peer, STREAMS), ...kept(peer, STREAMS + 1)]);
  for (let at = 0; at < whole.length; at += 7) peer.say(whole.subarray(at, at + 7));
  await eventually(() => peer.connection.openStreams === 2);
  expect(peer.owner.streams).toHaveLength(STREAMS + 2);

  const cut = new RawPeer('server');
  cut.owner.answer = () => {
    if (cut.owner.streams.length === 15) {
      queueMicrotask(() => cut.connection.destroy(ErrorCode.NO_ERROR, 'the test ends it'));
    }
  };
  cut.say(PREFACE, SETTINGS, SETTINGS_ACK, ...attack);
  await cut.owner.ended;
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(cut.owner.streams).toHaveLength(20);
});

test('of a peer that broke the rules nothing more is read, of one that is asked to go everything', async () => {
  const flood = new RawPeer('server', { limits: { pings: { burst: 3, perSecond: 0, perUsefulFrame: 0 } } });
  flood.say(PREFACE, SETTINGS, SETTINGS_ACK, PING, PING, PING);
  await eventually(() => flood.of(FrameType.PING).length === 3);
  expect(flood.engineSocket.isPaused()).toBe(false);
  flood.say(PING);
  await flood.owner.ended;
  await eventually(() => flood.of(FrameType.GOAWAY).length === 1);
  flood.say(Buffer.alloc(64 * 1024));
  expect(flood.engineSocket.isPaused()).toBe(true);

  const asked = RawPeer.server();
  await eventually(() => asked.of(FrameType.SETTINGS).length > 0);
  asked.connection.destroy(ErrorCode.NO_ERROR, 'the test ends it');
  expect(asked.engineSocket.isPaused()).toBe(false);
});
