/**
 * The inputs that are kept: each ends as its file says, in whatever pieces it comes. `corpus/README.md` says how to add one.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { engineVerdict, verdictText } from './verdict.ts';

const FOLDER = join(import.meta.dirname, 'corpus');

const inputs = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.txt'))
  .map((name) => {
    const lines = readFileSync(join(FOLDER, name), 'utf8').split('\n');
    const verdict = lines.find((line) => line.startsWith('# verdict: '))?.slice('# verdict: '.length) ?? '';
    const bytes = Buffer.from(lines.filter((line) => !line.startsWith('#')).join(''), 'hex');
    return { name, verdict, bytes };
  });

test('the corpus is there', () => expect(inputs.length).toBeGreaterThan(25));

describe.each(inputs)('$name', ({ verdict, bytes }) => {
  test('ends as it should', async () => {
    expect(verdictText(await engineVerdict([bytes]))).toBe(verdict);
  });

  test('ends so octet by octet, and in any pieces', async () => {
    expect(verdictText(await engineVerdict([...bytes].map((octet) => Uint8Array.of(octet))))).toBe(verdict);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 12 }), async (cuts) => {
        const pieces: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) pieces.push(bytes.subarray(at, (at += cut)));
        pieces.push(bytes.subarray(at));
        expect(verdictText(await engineVerdict(pieces))).toBe(verdict);
      }),
      { numRuns: 20, seed: 20_261_124 },
    );
  });
});
