/**
 * A table of text: columns as wide as their widest cell, numbers to the right.
 */
import type { Ink } from './ink.ts';

export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
}

/** Renders the heading and a line for each row. A row without a cell has an empty one there. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], ink: Ink): string[] {
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...rows.map((row) => (row[index] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, index) => {
        const cell = cells[index] ?? '';
        const width = widths[index] ?? 0;
        return align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('   ')
      .trimEnd();
  return [ink.dim(line(columns.map((column) => column.title))), ...rows.map(line)];
}
