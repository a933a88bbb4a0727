/**
 * Judges: nghttp2 and python3-h2, independent state machines, on the same octets in both roles: hand-written cases, the corpus, and
 * generated sequences of frames. All find the same ones valid, and hand the same streams to their users; where they differ, the
 * reason is written in `harness/http2-case-differences.ts` or `harness/http2-sequence-differences.ts`. FUZZ_RUNS makes it longer.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plausible, plausibleAnswer } from '../fuzz/frame-sequences.ts';
import { clientVerdict, clientVerdictText, engineVerdict, verdictText } from '../fuzz/verdict.ts';
import { caseDifferences } from './harness/http2-case-differences.ts';
import { cases, inputOf } from './harness/http2-cases.ts';
import { framesOf, type JudgeName, judgeWith, type Role } from './harness/http2-judge.ts';
import { sequenceDifferences } from './harness/http2-sequence-differences.ts';

const CORPUS = join(import.meta.dirname, '../fuzz/corpus');
/** How many sequences the short run tries; as many as FUZZ_RUNS says, with a seed of their own, the long one. */
const LONG_RUNS = Number(process.env['FUZZ_RUNS'] ?? 0);
const SEQUENCES = LONG_RUNS > 0 ? { numRuns: LONG_RUNS } : { numRuns: 5_000, seed: 20_261_124 };
const JUDGES: readonly JudgeName[] = ['nghttp2', 'python3-h2'];
const ROLES: readonly Role[] = ['server', 'client'];

/** Nothing was wrong; a connection that its peer has ended may be closed. */
const VALID = /^(?:open|closed|GOAWAY NO_ERROR); ((?:opened|answered) .*)$/;

/** Valid for both with the same streams, or for neither; in what they say of an error they are free (RFC 9113 §5.4). */
function agree(ours: string, theirs: string): boolean {
  return !theirs.startsWith('fault') && VALID.exec(ours)?.[1] === VALID.exec(theirs)?.[1];
}

/** The same to the last word: nghttp2 has the same codes for the same errors. */
function agreeExactly(ours: string, theirs: string): boolean {
  return ours.replace(/^GOAWAY NO_ERROR/, 'closed') === theirs.replace(/^GOAWAY NO_ERROR/, 'closed');
}

async function engineSays(role: Role, bytes: Buffer): Promise<string> {
  return role === 'server'
    ? verdictText(await engineVerdict([bytes]))
    : clientVerdictText(await clientVerdict([bytes]));
}

/** The inputs on which the two differ without a reason. Says how many there were, and how many differed with one. */
async function unexplained(judge: JudgeName, role: Role, inputs: readonly Buffer[]): Promise<readonly string[]> {
  const theirs = judgeWith(judge, role, inputs);
  expect(theirs).toHaveLength(inputs.length);
  const without: string[] = [];
  const counts = new Map<string, number>();
  let valid = 0;
  for (const [index, bytes] of inputs.entries()) {
    const ours = await engineSays(role, bytes);
    const their = theirs[index] ?? '';
    if (VALID.test(ours)) valid++;
    if (agree(ours, their)) continue;
    const frames = framesOf(role, bytes);
    const reason = sequenceDifferences.find((one) => one.judge === judge && one.shows(frames, role));
    const said = frames.map(({ type, id }) => `${type} on ${id}`).join(', ');
    if (reason === undefined) without.push(`ours: ${ours} | theirs: ${their} | ${said}: ${bytes.toString('hex')}`);
    else counts.set(reason.why, (counts.get(reason.why) ?? 0) + 1);
  }
  const reasons = [...counts].map(([why, count]) => `  ${count} × ${why}\n`).join('');
  process.stdout.write(
    `${judge}, as ${role}: ${inputs.length} inputs, ${valid} valid to us; they differ with a reason in\n${reasons}`,
  );
  return without;
}

describe.each(JUDGES)('the engine and %s', (judge) => {
  it.each(ROLES)('agree on hand-written cases as %s, but for those with a reason', async (role) => {
    const named = Object.entries(cases[role]).map(([name, frames]) => ({ name, bytes: inputOf(role, frames) }));
    const bytes = named.map((one) => one.bytes);
    const theirs = judgeWith(judge, role, bytes);
    const compare = judge === 'nghttp2' ? agreeExactly : agree;
    const differing: string[] = [];
    for (const [index, one] of named.entries())
      if (!compare(await engineSays(role, one.bytes), theirs[index] ?? '')) differing.push(one.name);
    const withReason = caseDifferences.filter((one) => one.judge === judge).flatMap((one) => one[role] ?? []);
    expect(differing.sort()).toEqual(withReason.sort());
    expect(named.length).toBeGreaterThan(135);
  });

  it('agree on the corpus', async () => {
    const inputs = readdirSync(CORPUS)
      .filter((name) => name.endsWith('.txt'))
      .map((name) => readFileSync(join(CORPUS, name), 'utf8').replaceAll(/^#.*$/gm, '').replaceAll('\n', ''))
      .map((hex) => Buffer.from(hex, 'hex'));
    expect(await unexplained(judge, 'server', inputs)).toEqual([]);
  });

  it.each(ROLES)('agree on generated sequences of frames as %s', async (role) => {
    const frame = role === 'server' ? plausible : plausibleAnswer;
    const sequences = fc.sample(fc.array(frame, { maxLength: 8 }), SEQUENCES);
    const inputs = sequences.map((frames) => inputOf(role, frames));
    expect(await unexplained(judge, role, inputs)).toEqual([]);
  });
});
