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

/** The rows of a page's tables, as cells. */
function rowsOf(page: string): readonly (readonly string[])[] {
  return readFileSync(join(ROOT, page), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()));
}

/** A test's source, with the table of attacks if it takes its titles from there. */
function titlesOf(file: string): string {
  const source = readFileSync(join(ROOT, 'test', file), 'utf8');
  const table = source.includes(`/${ATTACKS}'`) ? readFileSync(join(ROOT, 'test/fakes', ATTACKS), 'utf8') : '';
  return (source + table).replaceAll("\\'", "'");
}

const ATTACKS = 'attack-frames.ts';
const PAGES = ['src/manual/attacks.md', 'test/conformance/README.md'];

/** A title is a whole text of the source: a part of one would name a test that is called something else by now. */
const QUOTES = ["'", '"', '`'];

test.each(PAGES)('%s names only tests that there are', (page) => {
  const named = rowsOf(page)
    .map((cells) => cells.at(-2) ?? '')
    .filter((cell) => /^`[^`]+\.test\.ts`: /.test(cell))
    .flatMap(namedTests);
  const isThere = (source: string, title: string): boolean =>
    QUOTES.some((quote) => source.includes(`${quote}${title}${quote}`));
  const missing = named.filter(([file, title]) => !isThere(titlesOf(file), title));
  expect(named.length).toBeGreaterThan(50);
  expect(missing).toEqual([]);
});

test('the page of attacks has a row for each, with a reason, and none twice', () => {
  const rows = rowsOf('src/manual/attacks.md').filter((cells) => /CVE-|GHSA-|RUSTSEC-/.test(cells[1] ?? ''));
  expect(rows.length).toBeGreaterThan(50);
  for (const cells of rows) for (const cell of cells.slice(1, -1)) expect(cell).not.toBe('');
  const ids = rows.map((cells) => cells[1]);
  expect(new Set(ids).size).toBe(ids.length);
});
