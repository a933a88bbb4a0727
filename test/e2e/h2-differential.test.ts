/**
 * Judge: python3-h2, an independent state machine, on the same clients' octets: the corpus, and generated sequences of frames. Both
 * find the same ones valid, and hand the same streams to their users; where they differ, the reason is written here.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Flag, FrameType, PREFACE } from '../../src/http2/frame.ts';
import { plausible } from '../fuzz/frame-sequences.ts';
import { engineVerdict, verdictText } from '../fuzz/verdict.ts';
import { SETTINGS, SETTINGS_ACK } from '../unit/http2/raw-peer.ts';
import { peerSource } from './harness/peer-file.ts';

const CORPUS = join(import.meta.dirname, '../fuzz/corpus');
const ALTSVC = 0xa;
const SEQUENCES = 5_000;
const FRAME_HEADER = 9;

interface Read {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  /** All of it is there. */
  readonly whole: boolean;
}

/** What python3-h2 does otherwise, by what must be in the input for it to show. */
const REASONS: readonly (readonly [why: string, shows: (frames: readonly Read[]) => boolean])[] = [
  [
    'RST_STREAM on an idle stream is a connection error (RFC 9113 §6.4); python3-h2 lets it pass',
    (frames) => frames.some(({ type, id }, at) => type === FrameType.RST_STREAM && !isOpened(id, frames.slice(0, at))),
  ],
  [
    'a stream that was skipped is closed, not idle (§5.1.1), and WINDOW_UPDATE on it is late; python3-h2 takes it for an error',
    (frames) =>
      frames.some(({ type, id }, at) => type === FrameType.WINDOW_UPDATE && isSkipped(id, frames.slice(0, at))),
  ],
  [
    'ALTSVC is unknown to us, and skipped (§5.5); python3-h2 knows it and judges its payload',
    (frames) => frames.some(({ type }) => type === ALTSVC),
  ],
  [
    'who has said GOAWAY may go on with what runs (§6.8); python3-h2 ends at the next frame',
    (frames) => frames.some(({ type }, at) => type === FrameType.GOAWAY && at < frames.length - 1),
  ],
  [
    'we have sent SETTINGS once, and a second acknowledgement is of nothing; python3-h2 ignores it',
    (frames) => frames.filter(({ type, flags }) => type === FrameType.SETTINGS && (flags & Flag.ACK) !== 0).length > 1,
  ],
  [
    'PUSH_PROMISE of a client is an error at once (§8.4); python3-h2 gathers its block first',
    (frames) => frames.some(({ type }) => type === FrameType.PUSH_PROMISE),
  ],
  [
    'a frame is judged by its length at once, and by the rest when it is whole; python3-h2 does the reverse',
    (frames) => frames.some(({ whole }) => !whole),
  ],
];

function isOpened(id: number, before: readonly Read[]): boolean {
  return before.some((frame) => frame.type === FrameType.HEADERS && frame.id === id);
}

function isSkipped(id: number, before: readonly Read[]): boolean {
  const opened = before.filter(({ type }) => type === FrameType.HEADERS).map((frame) => frame.id);
  return id > 0 && !opened.includes(id) && opened.some((other) => other > id);
}

function framesOf(bytes: Buffer): readonly Read[] {
  const frames: Read[] = [];
  for (let at = PREFACE.length; at + FRAME_HEADER <= bytes.length; ) {
    const end = at + FRAME_HEADER + bytes.readUIntBE(at, 3);
    const id = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    frames.push({ type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0, id, whole: end <= bytes.length });
    at = end;
  }
  return frames;
}

function describeFrames(bytes: Buffer): string {
  const frames = framesOf(bytes).map(({ type, id }) => `${type} on ${id}`);
  return `${frames.join(', ')}: ${bytes.toString('hex')}`;
}

function judgeWithPython(inputs: readonly Buffer[]): readonly string[] {
  const input = inputs.map((bytes) => `${bytes.toString('hex')}\n`).join('');
  const options = { input, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 120_000 } as const;
  return execFileSync('/usr/bin/python3', [peerSource('h2_judge.py')], options)
    .trimEnd()
    .split('\n');
}

/** Valid for both with the same streams, or for neither; in what they say of an error they are free (§5.4.2). */
function agree(ours: string, theirs: string): boolean {
  const streams = (verdict: string): string | undefined => VALID.exec(verdict)?.[1];
  return streams(ours) === streams(theirs);
}

/** Nothing was wrong; a connection that its client has ended may be closed. */
const VALID = /^(?:open|GOAWAY NO_ERROR); (opened .*)$/;

/** The inputs on which the two differ without a reason. Says how many there were, and how many differed with one. */
async function unexplained(what: string, inputs: readonly Buffer[]): Promise<readonly string[]> {
  const theirs = judgeWithPython(inputs);
  expect(theirs).toHaveLength(inputs.length);
  const without: string[] = [];
  const counts = new Map<string, number>();
  let valid = 0;
  for (const [index, bytes] of inputs.entries()) {
    const ours = verdictText(await engineVerdict([bytes]));
    const their = theirs[index] ?? '';
    if (VALID.test(ours)) valid++;
    if (!their.startsWith('fault') && agree(ours, their)) continue;
    const [why] = REASONS.find(([, shows]) => shows(framesOf(bytes))) ?? [];
    if (why === undefined) without.push(`ours: ${ours} | theirs: ${their} | ${describeFrames(bytes)}`);
    else counts.set(why, (counts.get(why) ?? 0) + 1);
  }
  const reasons = [...counts].map(([why, count]) => `  ${count} × ${why}\n`).join('');
  process.stdout.write(
    `${what}: ${inputs.length} inputs, ${valid} valid to us; they differ with a reason in\n${reasons}`,
  );
  return without;
}

describe('the engine and python3-h2', () => {
  it('agree on the corpus', async () => {
    const inputs = readdirSync(CORPUS)
      .filter((name) => name.endsWith('.txt'))
      .map((name) => readFileSync(join(CORPUS, name), 'utf8').replaceAll(/^#.*$/gm, '').replaceAll('\n', ''))
      .map((hex) => Buffer.from(hex, 'hex'));
    expect(await unexplained('corpus', inputs)).toEqual([]);
  });

  it('agree on generated sequences of frames', async () => {
    const sequences = fc.sample(fc.array(plausible, { maxLength: 8 }), { numRuns: SEQUENCES, seed: 20_261_124 });
    const inputs = sequences.map((frames) => Buffer.concat([PREFACE, SETTINGS, SETTINGS_ACK, ...frames]));
    expect(await unexplained('generated', inputs)).toEqual([]);
  });
});
