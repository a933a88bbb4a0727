/**
 * What the attacker of the neighbour's bench does: each attack of the attack table that goes over the wire, as it is with the limits as
 * they are by default. What a limit of minutes would end is held for as long as the bench looks.
 */
import type { HeaderBlock } from '../../src/http2/contract.ts';
import { Flag, FrameType } from '../../src/http2/frame.ts';
import { bombs, CALL, floods, nth, throwaways, wholeCall, word } from '../fakes/attack-frames.ts';
import { dataFrame, frameBytes, headerFrame } from '../fakes/frame-client.ts';
import { inferRequest } from '../fakes/hostile-ground.ts';

export type BenchAttack =
  /** A volley in each turn of the event loop, until it is ended. */
  | { readonly kind: 'volleys'; readonly opening: readonly Buffer[]; begin(): (round: number) => readonly Buffer[] }
  /** Something is begun and not finished; every 20 ms a little more of it may come. */
  | {
      readonly kind: 'patience';
      readonly opening: readonly Buffer[];
      readonly reads: boolean;
      readonly more?: (round: number) => Buffer;
    }
  /** Connections, so many at once, one after the other: full handshakes, with a certificate or without. */
  | { readonly kind: 'handshakes'; readonly certificate: boolean; readonly atOnce: number }
  /** Calls, so many at once on each connection, as fast as they are answered. */
  | {
      readonly kind: 'calls';
      readonly connections: number;
      readonly atOnce: number;
      readonly message: Buffer;
      head(serverName: string): HeaderBlock;
    }
  /** So many connections at once that say no more than these bytes. */
  | { readonly kind: 'silence'; readonly connections: number; readonly beginning: Buffer };

const STREAMS = 90;
const calls = Array.from({ length: STREAMS }, (_, index) => wholeCall(nth(index)));
const noWindow = frameBytes(FrameType.SETTINGS, 0, 0, Buffer.concat([Buffer.of(0, 4), word(0)]));
const half = inferRequest().subarray(0, 6);
const halves = Array.from({ length: STREAMS }, (_, index) =>
  Buffer.concat([headerFrame(nth(index), CALL, false), dataFrame(nth(index), half)]),
);

const volleys = (begin: () => (round: number) => readonly Buffer[], opening: readonly Buffer[] = []): BenchAttack => ({
  kind: 'volleys',
  opening,
  begin,
});

/** By name, in the order in which they are tried. */
export const BENCH_ATTACKS: ReadonlyMap<string, BenchAttack> = new Map<string, BenchAttack>([
  ...throwaways.map(([name, , call]): [string, BenchAttack] => [
    name,
    volleys(() => (round) => Array.from({ length: 10 }, (_, index) => call(nth(10 * round + index)))),
  ]),
  ...floods.map(({ name, frame, opening }): [string, BenchAttack] => [
    `flood: ${name}`,
    volleys(() => (round) => Array.from({ length: 100 }, (_, index) => frame(100 * round + index)), opening),
  ]),
  ...bombs.map(({ name, begin }): [string, BenchAttack] => [`header blocks that grow ${name}`, volleys(begin)]),
  [
    'headers without END_STREAM',
    volleys(
      () => (round) => Array.from({ length: 50 }, (_, index) => headerFrame(nth(50 * round + index), CALL, false)),
    ),
  ],
  ['90 calls whose windows stay shut', { kind: 'patience', opening: [noWindow, ...calls], reads: true }],
  [
    '90 calls whose windows are dribbled open',
    {
      kind: 'patience',
      opening: [noWindow, ...calls],
      reads: true,
      more: (round) => frameBytes(FrameType.WINDOW_UPDATE, 0, nth(round % STREAMS), word(1)),
    },
  ],
  ['a socket that is not read', { kind: 'patience', opening: calls, reads: false }],
  [
    'a header block, octet by octet',
    {
      kind: 'patience',
      opening: [frameBytes(FrameType.HEADERS, Flag.END_STREAM, 1, Buffer.alloc(0))],
      reads: true,
      more: () => frameBytes(FrameType.CONTINUATION, 0, 1, Buffer.of(0x82)),
    },
  ],
  [
    '90 messages, octet by octet',
    {
      kind: 'patience',
      opening: halves,
      reads: true,
      more: (round) => dataFrame(nth(round % STREAMS), Buffer.of(0x64)),
    },
  ],
  [
    '200 handshakes that are not finished',
    { kind: 'silence', connections: 200, beginning: Buffer.of(22, 3, 1, 2, 0, 1) },
  ],
  ['handshakes, one after the other', { kind: 'handshakes', certificate: true, atOnce: 1 }],
  ['handshakes without a certificate', { kind: 'handshakes', certificate: false, atOnce: 1 }],
]);
