/**
 * Colours, on a terminal only: a log file or a pipe gets plain text.
 */
import { styleText } from 'node:util';

export interface Ink {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly accent: (text: string) => string;
  readonly warm: (text: string) => string;
}

type Format = Parameters<typeof styleText>[0];

/** Inks for a terminal (`coloured`) or for plain text. */
export function makeInk(coloured: boolean): Ink {
  const ink = (format: Format) => (text: string) =>
    coloured ? styleText(format, text, { validateStream: false }) : text;
  return {
    bold: ink('bold'),
    dim: ink('dim'),
    good: ink('green'),
    bad: ink(['red', 'bold']),
    accent: ink('cyan'),
    warm: ink('yellow'),
  };
}

/** Without colours. */
export const plainInk: Ink = makeInk(false);
