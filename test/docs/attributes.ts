/**
 * The table of attributes in the manual's page on authorization, from what conditions know.
 * `node test/docs/attributes.ts --write` puts it there.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Attribute, CALL_ATTRIBUTES, CALLER_ATTRIBUTES } from '../../src/conditions/attributes.ts';

export const PAGE = fileURLToPath(new URL('../../src/manual/authorization.md', import.meta.url));

const TYPES: Readonly<Record<Attribute['type'], string>> = {
  string: 'string',
  strings: 'list(string)',
  bool: 'bool',
  int: 'int',
  timestamp: 'timestamp',
  'texts by name': 'map(string, string)',
};

const BEGIN = '| attribute | type | what it is |\n|---|---|---|\n';
const END = '| `claims.<name>`';

/** The page with its table as it has to be. */
export function pageWithAttributes(page: string): string {
  const begin = page.indexOf(BEGIN) + BEGIN.length;
  const end = page.indexOf(END);
  if (begin < BEGIN.length || end < begin) throw new Error('the page has no table of attributes');
  return page.slice(0, begin) + rows('caller', CALLER_ATTRIBUTES) + rows('call', CALL_ATTRIBUTES) + page.slice(end);
}

function rows(group: string, attributes: Readonly<Record<string, Attribute>>): string {
  const row = ([name, { type, description }]: readonly [string, Attribute]): string =>
    `| \`${group}.${name}\` | ${TYPES[type]} | ${description} |\n`;
  return Object.entries(attributes).map(row).join('');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const page = pageWithAttributes(readFileSync(PAGE, 'utf8'));
  if (process.argv.includes('--write')) writeFileSync(PAGE, page);
  else process.stdout.write(page);
}
