/**
 * Whatever stands in a file, it is a configuration or it has findings; nothing is thrown, and nothing takes long.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { findingsOf } from '../../fakes/config-findings.ts';
import { emptyDirectory, SMALL_MAIN, SMALL_TENANT, writeSmall } from '../../fakes/configuration.ts';

const directory = emptyDirectory();
beforeAll(() => {
  writeSmall(directory);
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Loads with this text in the tenant's and in the main file, one after the other. */
async function answersTo(text: string): Promise<void> {
  for (const [file, good] of [
    ['tenants/acme.yaml', SMALL_TENANT],
    ['bulkhead.yaml', SMALL_MAIN],
  ] as const) {
    writeFileSync(join(directory, file), text);
    const { refused, lines } = await findingsOf(directory);
    writeFileSync(join(directory, file), good);
    const errors = lines.filter((line) => line.severity === 'error');
    expect(refused).toBe(errors.length > 0);
    for (const line of lines) {
      expect(line.message).not.toBe('');
      expect(line.fix).not.toBe('');
      expect(line.at).toMatch(/^[a-z/.]+:\d+:\d+/);
    }
  }
}

describe('any text', () => {
  test('that is random has findings', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => answersTo(text)),
      { numRuns: 150 },
    );
  });

  test('that is YAML of any value has findings', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), (value) => answersTo(stringify(value))),
      { numRuns: 150 },
    );
  });

  test('that is a good file with one value replaced has findings or is good', async () => {
    const keys = [...SMALL_TENANT.matchAll(/: ?([^\n]*)$/gm)].map((match) => match.index);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...keys), fc.jsonValue({ maxDepth: 2 }), async (at, value) => {
        const end = SMALL_TENANT.indexOf('\n', at);
        await answersTo(`${SMALL_TENANT.slice(0, at)}: ${JSON.stringify(value)}${SMALL_TENANT.slice(end)}`);
      }),
      { numRuns: 150 },
    );
  });

  test.each([
    ['deep nesting', '['.repeat(20_000)],
    ['deep mappings', Array.from({ length: 2_000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
    ['a long key', `${'a'.repeat(200_000)}: 1`],
    ['many keys', Array.from({ length: 20_000 }, (_, index) => `k${index}: ${index}`).join('\n')],
    ['many anchors', Array.from({ length: 5_000 }, (_, index) => `k${index}: &a${index} x`).join('\n')],
  ])('with %s has findings soon', async (_, text) => {
    const before = performance.now();
    await answersTo(text);
    expect(performance.now() - before).toBeLessThan(10_000);
  });
});
