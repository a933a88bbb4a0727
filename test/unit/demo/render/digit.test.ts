import { describe, expect, it } from 'vitest';
import { captionDigits, renderDigits } from '../../../../src/demo/render/digit.ts';

const row = (pixels: readonly number[]): number[] => [...pixels, ...Array<number>(8 - pixels.length).fill(0)];

describe('renderDigits', () => {
  it('draws a pixel as two characters, darker with its value', () => {
    const [first] = renderDigits([row([0, 4, 8, 12, 16]).concat(Array<number>(56).fill(0))]);
    expect(first).toBe('  ░░▒▒▓▓██');
  });

  it('draws eight lines, digits side by side', () => {
    const full = Array<number>(64).fill(16);
    const lines = renderDigits([full, full]);
    expect(lines).toHaveLength(8);
    expect(lines[7]).toBe(`${'█'.repeat(16)}   ${'█'.repeat(16)}`);
  });

  it('takes a pixel out of range as the nearest in range', () => {
    const [first] = renderDigits([row([-5, 99]).concat(Array<number>(56).fill(0))]);
    expect(first).toBe('  ██');
  });
});

describe('captionDigits', () => {
  it('centres each caption under its digit', () => {
    expect(captionDigits(['ab', 'cd'])).toBe(`${' '.repeat(7)}ab${' '.repeat(7)}   ${' '.repeat(7)}cd`);
  });
});
