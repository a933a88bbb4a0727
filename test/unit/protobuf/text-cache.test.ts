import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TextCache } from '../../../src/protobuf/text-cache.ts';

describe('the text cache', () => {
  it('reads what a UTF-8 decoder reads, again and again, and refuses control characters', () => {
    const cache = new TextCache();
    const texts = fc.string({ unit: 'binary', maxLength: 140 });
    fc.assert(
      fc.property(texts, (text) => {
        const bytes = Buffer.from(`..${text}..`, 'utf8');
        const clean = /[\p{Cc}]/u.test(text) ? undefined : bytes.toString('utf8', 2, bytes.length - 2);
        for (let i = 0; i < 3; i++) expect(cache.read(bytes, 2, bytes.length - 2)).toBe(clean);
      }),
      { numRuns: 3_000 },
    );
  });

  it('refuses what is not UTF-8', () => {
    const cache = new TextCache();
    const broken = ['ff', 'c3', 'c3c3', 'c0af', 'eda080', 'f4908080', '80', 'e282'];
    for (const hex of broken) {
      const bytes = Buffer.from(hex, 'hex');
      expect(cache.read(bytes, 0, bytes.length)).toBeUndefined();
    }
  });
});
