/** What a tenant's connections have read beyond the tenant's share of the turn is done in later ones, behind what others have read. */
import { expect, test } from 'vitest';
import { PREFACE } from '../../../src/http2/frame.ts';
import { TurnShare } from '../../../src/kernel/turn-share.ts';
import { eventually, REQUEST } from './loopback.ts';
import { RawPeer, SETTINGS, SETTINGS_ACK } from './raw-peer.ts';

const CALLS = 60;

/**
 * Two connections of one tenant bring so many calls each, of which each takes a millisecond, and another tenant's brings one in the same
 * turn. Gives how many had begun when that one did, and in what order they were done.
 */
async function begunBeforeNeighbour(share: TurnShare | undefined, clock: { now: number }) {
  const options = share === undefined ? {} : { share };
  const peers = [new RawPeer('server', options), new RawPeer('server', options)];
  const neighbour = new RawPeer('server', share === undefined ? {} : { share: new TurnShare(10, () => clock.now) });
  const begun: number[] = [];
  let atNeighbour = -1;
  peers.forEach((peer, index) => {
    peer.owner.answer = () => {
      begun.push(index);
      clock.now += 1;
    };
  });
  neighbour.owner.answer = () => {
    atNeighbour = begun.length;
  };
  for (const peer of peers) {
    const calls = Array.from({ length: CALLS }, (_, index) => peer.headers(2 * index + 1, REQUEST, true));
    peer.say(PREFACE, SETTINGS, SETTINGS_ACK, ...calls);
  }
  neighbour.say(PREFACE, SETTINGS, SETTINGS_ACK, neighbour.headers(1, REQUEST, true));
  await eventually(() => begun.length === 2 * CALLS && atNeighbour >= 0);
  return { atNeighbour, begun };
}

test('a tenant has what its share has room for done before it is others’ turn, and the rest after it', async () => {
  const clock = { now: 0 };
  const { atNeighbour, begun } = await begunBeforeNeighbour(new TurnShare(10, () => clock.now), clock);
  expect(atNeighbour).toBe(10);
  // Its two connections take turns in what is left: the first one’s rest had to wait before the other’s came.
  expect(begun.slice(0, 40)).toEqual([0, 0, 1, 0].flatMap((peer) => Array.from({ length: 10 }, () => peer)));
});

test('without a share all of it is done in the turn in which it comes', async () => {
  expect((await begunBeforeNeighbour(undefined, { now: 0 })).atNeighbour).toBe(2 * CALLS);
});
