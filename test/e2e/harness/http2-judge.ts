/**
 * Other HTTP/2 state machines, as `peers/http2_judge.py` asks them: their verdicts on what a client or a server says.
 */
import { execFileSync } from 'node:child_process';
import { PREFACE } from '../../../src/http2/frame.ts';
import { peerSource } from './peer-file.ts';

export type JudgeName = 'python3-h2' | 'nghttp2';
export type Role = 'server' | 'client';

/** A frame as its header has it. */
export interface FrameSeen {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
  /** All of it is there. */
  readonly whole: boolean;
}

const FRAME_HEADER = 9;

/** One verdict per input, each as `verdictText` or `clientVerdictText` says it. */
export function judgeWith(judge: JudgeName, role: Role, inputs: readonly Buffer[]): readonly string[] {
  const input = inputs.map((bytes) => `${bytes.toString('hex')}\n`).join('');
  const options = { input, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 120_000 } as const;
  return execFileSync('/usr/bin/python3', [peerSource('http2_judge.py'), judge, role], options)
    .trimEnd()
    .split('\n');
}

/** The frames of an input; those that the judged role `server` hears follow the preface. */
export function framesOf(role: Role, bytes: Buffer): readonly FrameSeen[] {
  const frames: FrameSeen[] = [];
  for (let at = role === 'server' ? PREFACE.length : 0; at + FRAME_HEADER <= bytes.length; ) {
    const end = at + FRAME_HEADER + bytes.readUIntBE(at, 3);
    const id = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    const payload = bytes.subarray(at + FRAME_HEADER, end);
    frames.push({ type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0, id, payload, whole: end <= bytes.length });
    at = end;
  }
  return frames;
}
