import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');

/** "`file`: title; title; `file`: title" as pairs. */
function namedTests(cell: string): readonly (readonly [file: string, title: string])[] {
  let file = '';
  return cell.split('; ').map((part) => {
    const [, named, title] = /^(?:`([^`]+)`: )?(.+)$/.exec(part.trim()) ?? [];
    file = named ?? file;
    return [file, title ?? ''];
  });
}

const rows = readFileSync(join(ROOT, 'src/manual/attacks.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && /CVE-|GHSA-|RUSTSEC-/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()));

test('the page of attacks names only tests that there are', () => {
  const missing = rows
    .filter((cells) => cells.length === 7)
    .flatMap((cells) => namedTests(cells[5] ?? ''))
    .filter(
      ([file, title]) =>
        !readFileSync(join(ROOT, 'test', file), 'utf8')
          .replaceAll("\\'", "'")
          .includes(title),
    );
  expect(missing).toEqual([]);
});

test('it has a row for each, with a reason, and none twice under one heading', () => {
  expect(rows.length).toBeGreaterThan(50);
  for (const cells of rows) for (const cell of cells.slice(1, -1)) expect(cell).not.toBe('');
  const ids = rows.map((cells) => cells[1]);
  expect(new Set(ids).size).toBe(ids.length);
});
