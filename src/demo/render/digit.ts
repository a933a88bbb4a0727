/**
 * Handwritten digits as characters: each pixel of 0..16 is a shade, two characters wide because characters are tall.
 */
const SHADES = [' ', '░', '▒', '▓', '█'] as const;
const SIDE = 8;
const MAX_PIXEL = 16;
const GAP = '   ';

/** Draws digits of 8×8 pixels side by side: eight lines. */
export function renderDigits(digits: readonly (readonly number[])[]): string[] {
  return Array.from({ length: SIDE }, (_, row) =>
    digits
      .map((pixels) =>
        pixels
          .slice(row * SIDE, (row + 1) * SIDE)
          .map(shade)
          .join(''),
      )
      .join(GAP)
      .trimEnd(),
  );
}

/** Lines of text under the digits, each centred under its own. */
export function captionDigits(captions: readonly string[]): string {
  const width = SIDE * 2;
  return captions
    .map((caption) => {
      const left = Math.max(0, Math.floor((width - caption.length) / 2));
      return `${' '.repeat(left)}${caption}`.padEnd(width);
    })
    .join(GAP)
    .trimEnd();
}

function shade(pixel: number): string {
  const level = Math.round((Math.min(Math.max(pixel, 0), MAX_PIXEL) / MAX_PIXEL) * (SHADES.length - 1));
  return (SHADES[level] ?? ' ').repeat(2);
}
