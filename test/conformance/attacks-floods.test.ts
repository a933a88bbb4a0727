/**
 * Attacks by number: frames that cost the sender nothing (CVE-2019-9511 to 9518, CVE-2024-27316 and the rest of the CONTINUATION
 * flood), and header blocks that cost more to hold than to send.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { Flag, FrameType } from '../../src/http2/frame.ts';
import { HpackEncoder } from '../../src/http2/hpack-encoder.ts';
import { CALL, evidenceOf, expectSurvived, nth, underAttack, volleys } from '../fakes/attack-ground.ts';
import { dataFrame, type FrameClient, frameBytes, headerFrame } from '../fakes/frame-client.ts';

const evidence: string[] = [];
afterAll(() => void process.stdout.write(evidence.join('')));

const EMPTY = Buffer.alloc(0);
const ONE = Buffer.of(0, 0, 0, 1);

interface Flood {
  readonly name: string;
  readonly reason: string | RegExp;
  readonly opening?: readonly Buffer[];
  /** Sent a hundred times in each turn. */
  readonly frame: (index: number) => Buffer;
}

const floods: readonly Flood[] = [
  { name: 'SETTINGS', reason: 'HTTP2_LIMIT_settings', frame: () => frameBytes(FrameType.SETTINGS, 0, 0, EMPTY) },
  {
    name: 'SETTINGS with many entries',
    reason: 'HTTP2_LIMIT_maxSettingsEntries',
    frame: () => frameBytes(FrameType.SETTINGS, 0, 0, Buffer.alloc(6 * 2_000, Buffer.of(0x0f, 0xff, 0, 0, 0, 1))),
  },
  {
    name: 'SETTINGS that change the table size',
    reason: 'HTTP2_LIMIT_settings',
    frame: (index) => frameBytes(FrameType.SETTINGS, 0, 0, Buffer.of(0, 1, 0, 0, index % 16, 0)),
  },
  {
    name: 'PING',
    reason: /^HTTP2_LIMIT_(pings|maxPingStrikes)$/,
    frame: () => frameBytes(FrameType.PING, 0, 0, Buffer.alloc(8)),
  },
  {
    name: 'PING acknowledgements',
    reason: 'HTTP2_LIMIT_pings',
    frame: () => frameBytes(FrameType.PING, Flag.ACK, 0, Buffer.alloc(8)),
  },
  {
    name: 'PRIORITY',
    reason: 'HTTP2_LIMIT_priorities',
    frame: (index) => frameBytes(FrameType.PRIORITY, 0, nth(index), Buffer.alloc(5)),
  },
  {
    name: 'WINDOW_UPDATE of the connection',
    reason: 'HTTP2_LIMIT_windowUpdates',
    frame: () => frameBytes(FrameType.WINDOW_UPDATE, 0, 0, ONE),
  },
  {
    name: 'WINDOW_UPDATE of a stream',
    reason: 'HTTP2_LIMIT_windowUpdates',
    opening: [headerFrame(1, CALL, false)],
    frame: () => frameBytes(FrameType.WINDOW_UPDATE, 0, 1, ONE),
  },
  { name: 'unknown frames', reason: 'HTTP2_LIMIT_unknownFrames', frame: () => frameBytes(0xbe, 0xff, 0, EMPTY) },
  {
    name: 'empty DATA',
    reason: 'HTTP2_LIMIT_emptyData',
    opening: [headerFrame(1, CALL, false)],
    frame: () => dataFrame(1, EMPTY),
  },
  {
    name: 'DATA of nothing but padding',
    reason: 'HTTP2_LIMIT_emptyData',
    opening: [headerFrame(1, CALL, false)],
    frame: () => frameBytes(FrameType.DATA, Flag.PADDED, 1, Buffer.concat([Buffer.of(255), Buffer.alloc(255)])),
  },
  {
    name: 'CONTINUATION without octets',
    reason: 'HTTP2_LIMIT_maxContinuationFrames',
    opening: [frameBytes(FrameType.HEADERS, 0, 1, EMPTY)],
    frame: () => frameBytes(FrameType.CONTINUATION, 0, 1, EMPTY),
  },
  {
    name: 'CONTINUATION at full length',
    reason: 'HTTP2_LIMIT_maxHeaderBlockBytes',
    opening: [frameBytes(FrameType.HEADERS, 0, 1, EMPTY)],
    frame: () => frameBytes(FrameType.CONTINUATION, 0, 1, Buffer.alloc(16_384)),
  },
  {
    name: 'GOAWAY',
    reason: 'HTTP2_LIMIT_goaways',
    opening: [headerFrame(1, CALL, false)],
    frame: () => frameBytes(FrameType.GOAWAY, 0, 0, Buffer.alloc(8)),
  },
  {
    name: 'requests that are malformed',
    reason: 'HTTP2_LIMIT_provokedResets',
    frame: (index) => headerFrame(nth(index), [...CALL, 'connection', 'close'], true),
  },
];

describe('an attacker that floods', () => {
  it.each(floods)('with $name is gone within a second', async ({ name, reason, opening, frame }) => {
    const verdict = await underAttack({
      run: (attacker, over) => {
        attacker.write(...(opening ?? []));
        return volleys(over, (round) => {
          attacker.write(...Array.from({ length: 100 }, (_, index) => frame(100 * round + index)));
        });
      },
    });
    evidence.push(evidenceOf(name, verdict));
    expectSurvived(verdict, reason);
  });
});

/** A header block out of a state that the attacker keeps, unlike `headerFrame`. */
function bomb(attacker: FrameClient, index: number, encoder: HpackEncoder): void {
  // 4,000 octets once, and then one octet each time that they are named: 128 fields make 512 KB of a block of 140 bytes.
  const field = ['x-bomb', 'b'.repeat(3_900)];
  const block = [...CALL, ...Array.from({ length: 110 }, () => field).flat()];
  const into = Buffer.alloc(encoder.bound(block));
  const payload = into.subarray(0, encoder.encode(block, into, 0));
  for (let from = 0; from < payload.length; from += 16_000) {
    const last = from + 16_000 >= payload.length;
    const type = from === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
    const flags = (last ? Flag.END_HEADERS : 0) | (from === 0 ? Flag.END_STREAM : 0);
    attacker.frame(type, flags, nth(index), payload.subarray(from, from + 16_000));
  }
}

/** Names the same field of the dynamic table again and again (RFC 7541 §6.1), which no encoder would index at that length. */
function indexedBomb(index: number): Buffer {
  const call = Buffer.concat(
    CALL.map((text, at) => Buffer.concat([at % 2 === 0 ? Buffer.of(0) : EMPTY, literal(text)])),
  );
  const large = Buffer.concat([Buffer.of(0x40), literal('x'), literal('b'.repeat(3_900))]);
  const fields = Buffer.concat([call, large, Buffer.alloc(10_000, 0x80 | 62)]);
  return frameBytes(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, nth(index), fields);
}

function literal(text: string): Buffer {
  const length =
    text.length < 127 ? Buffer.of(text.length) : Buffer.concat([Buffer.of(127), varint(text.length - 127)]);
  return Buffer.concat([length, Buffer.from(text)]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.of(...bytes, rest);
}

describe('an attacker whose header blocks grow', () => {
  it('by naming one field ten thousand times (HPACK bomb) is gone within a second', async () => {
    const verdict = await underAttack({
      run: (attacker, over) =>
        volleys(over, (round) => {
          for (let index = 10 * round; index < 10 * (round + 1); index++) attacker.write(indexedBomb(index));
        }),
    });
    evidence.push(evidenceOf('HPACK bomb', verdict));
    expectSurvived(verdict, 'HTTP2_LIMIT_provokedResets');
    expect(verdict.dispatched).toBe(0);
  });

  it('by sending many large fields is gone within a second', async () => {
    const encoder = new HpackEncoder(4_096);
    const verdict = await underAttack({
      run: (attacker, over) => volleys(over, (round) => bomb(attacker, round, encoder)),
    });
    evidence.push(evidenceOf('large fields', verdict));
    expectSurvived(verdict, /^HTTP2_LIMIT_/);
    expect(verdict.dispatched).toBe(0);
  });

  it('into streams without end (headers without END_STREAM) is gone within a second', async () => {
    const verdict = await underAttack({
      run: (attacker, over) =>
        volleys(over, (round) => {
          for (let index = 50 * round; index < 50 * (round + 1); index++) {
            attacker.write(headerFrame(nth(index), CALL, false));
          }
        }),
    });
    evidence.push(evidenceOf('headers without END_STREAM', verdict));
    expectSurvived(verdict, 'HTTP2_LIMIT_provokedResets');
    expect(verdict.dispatched).toBe(0);
  });
});
