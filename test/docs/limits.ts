/**
 * Writes `src/manual/limits.md` from the fields themselves, or says that it is stale:
 *
 *     node test/docs/limits.ts --check
 *     node test/docs/limits.ts --write
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AUTHN_LIMITS } from '../../src/authn/limits.ts';
import { jsonSchema } from '../../src/config/json-schema.ts';
import { defaultLimits, type Rate } from '../../src/http2/limits.ts';
import { CONFIGURED_ROWS, CONNECTION_ROWS, type LimitRow, SCHEDULING_ROWS, TENANT_ROWS } from './limit-catalog.ts';
import { AUTHN_ROWS } from './limit-catalog-authn.ts';
import { CONSTANT_ROWS } from './limit-catalog-constants.ts';

const ROOT = join(import.meta.dirname, '../..');
const PAGE = 'src/manual/limits.md';

/** The whole page. Throws when a row names a test, a field or a constant that is not there. */
export function limitsPage(): string {
  const main = jsonSchema('main');
  const tenant = jsonSchema('tenant');
  return [
    '# Every limit',
    'Generated from the fields by `node test/docs/limits.ts --write`; a test fails when it is stale. Each row says what the limit counts, its',
    'default with its unit, the attack that it stops, and the test that tries it at *n* and at *n* + 1. Rates are a burst, then so many',
    'a second; useful frames (they open a stream or carry DATA) and streams that end regularly refill some of them too.',
    '',
    '## One connection: `src/http2/limits.ts`',
    'Exceeding one ends the connection with GOAWAY(ENHANCE_YOUR_CALM) and a refusal on record, `HTTP2_LIMIT_` and its name, unless it says',
    'otherwise. They hold for clients and for model servers alike.',
    table(fieldRows('src/http2/limits.ts', 'ConnectionLimits', defaultLimits, CONNECTION_ROWS)),
    '## Every connection and call: `limits` in the main file',
    table(Object.entries(CONFIGURED_ROWS).map(([key, row]) => schemaRow(main, `limits.${key}`, row))),
    '## Calls that wait for their turn: `scheduling` in the main file',
    table(Object.entries(SCHEDULING_ROWS).map(([key, row]) => schemaRow(main, `scheduling.${key}`, row))),
    '## One tenant: its own file',
    table(Object.entries(TENANT_ROWS).map(([key, row]) => schemaRow(tenant, key, row))),
    '## Authentication, for each tenant and worker: `src/authn/limits.ts`',
    table(fieldRows('src/authn/limits.ts', 'AuthnLimits', AUTHN_LIMITS, AUTHN_ROWS)),
    '## Constants beside what they guard',
    table(CONSTANT_ROWS.map((row) => constantRow(row.file, row.name, row.counts, row))),
  ]
    .join('\n')
    .concat('\n');
}

/** What the page says now. */
export function writtenPage(): string {
  return readFileSync(join(ROOT, PAGE), 'utf8');
}

/** A title is a whole text of the source: a part of one would name a test that is called something else by now. */
const QUOTES = ["'", '"', '`'];

interface Line {
  readonly name: string;
  readonly value: string;
  readonly counts: string;
  readonly row: LimitRow;
}

function table(lines: readonly Line[]): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const rows = lines.map(({ name, value, counts, row }) => {
    const [file, ...titles] = row.test;
    const source = readFileSync(join(ROOT, 'test', file), 'utf8');
    for (const title of titles) {
      if (!QUOTES.some((quote) => source.includes(`${quote}${title}${quote}`)))
        throw new Error(`test/${file} has no test "${title}", which is said to try ${name}`);
    }
    const tests = `\`${file}\`: ${titles.map(cell).join('; ')}`;
    return `| \`${name}\` | ${value} | ${cell(row.attack)} | ${cell(counts)} | ${tests} |`;
  });
  return [
    '',
    '| limit | default | stops | what it counts | tried by (below `test/`) |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function fieldRows<T extends object>(
  file: string,
  type: string,
  defaults: T,
  rows: Readonly<Record<keyof T & string, LimitRow>>,
): readonly Line[] {
  const comments = commentsOf(file, new RegExp(`interface ${type} \\{([\\s\\S]*?)\\n\\}`), /^ {2}readonly (\w+)/);
  return Object.entries<unknown>(defaults as Readonly<Record<string, unknown>>).map(([name, value]) => {
    const row = (rows as Readonly<Record<string, LimitRow>>)[name];
    if (row === undefined) throw new Error(`no row for ${name}`);
    return { name, value: withUnit(name, value), counts: comments.get(name) ?? '', row };
  });
}

/** The doc comments of a piece of source, by the name that follows each. Consecutive names share none. */
function commentsOf(file: string, piece: RegExp, name: RegExp): ReadonlyMap<string, string> {
  const source = readFileSync(join(ROOT, file), 'utf8');
  const lines = (piece.exec(source)?.[1] ?? '').split('\n');
  const comments = new Map<string, string>();
  let comment = '';
  for (const line of lines) {
    const found = name.exec(line)?.[1];
    if (found !== undefined) {
      comments.set(found, comment.trim());
      comment = '';
    } else
      comment += ` ${line
        .replace(/^\s*(\/\*\*|\*\/|\*)/, '')
        .replace(/\*\/\s*$/, '')
        .trim()}`;
  }
  return comments;
}

function schemaRow(schema: unknown, path: string, row: LimitRow): Line {
  let at: unknown = schema;
  for (const key of path.split('.')) at = member(member(at, 'properties'), key);
  if (at === undefined) throw new Error(`the schema has no ${path}`);
  const value = member(at, 'default');
  return {
    name: path,
    value: typeof value === 'string' || typeof value === 'number' ? `${value}` : 'none',
    counts: String(member(at, 'description')),
    row,
  };
}

function constantRow(file: string, name: string, counts: string | undefined, row: LimitRow): Line {
  const source = readFileSync(join(ROOT, file), 'utf8');
  const found = new RegExp(`((?:\\/\\*\\*(?:(?!\\*\\/)[\\s\\S])*\\*\\/\\n)?)(?:export )?const ${name} = ([^;]+);`).exec(
    source,
  );
  if (found === null) throw new Error(`${file} has no constant ${name}`);
  const comment = (found[1] ?? '').replace(/^\s*\/?\*+\/?/gm, '').replace(/\*\/\s*$/, '');
  const text = counts ?? comment.replaceAll(/\s+/g, ' ').trim();
  return { name, value: withUnit(name, product(found[2] ?? '')), counts: `${text} (\`${file}\`)`, row };
}

/** The value of `4 * 1024 ** 2` and the like. */
function product(expression: string): number {
  const factors = expression.replaceAll('_', '').split(/\s*(?<!\*)\*(?!\*)\s*/);
  return factors.reduce((total, factor) => {
    const [base, exponent] = factor.split('**').map((part) => Number(part.trim()));
    return total * (base ?? Number.NaN) ** (exponent ?? 1);
  }, 1);
}

function withUnit(name: string, value: unknown): string {
  if (typeof value === 'object' && value !== null) return rateText(value as Rate);
  if (typeof value === 'boolean') return String(value);
  const number = Number(value);
  if (!Number.isFinite(number)) throw new Error(`${name} has no value`);
  if (/Ms$|_MS$/.test(name)) return number >= 1_000 ? `${number / 1_000} s` : `${number} ms`;
  if (!/Bytes$|BYTES$/.test(name)) return number.toLocaleString('en-US');
  if (number >= 1024 ** 2 && number % 1024 ** 2 === 0) return `${number / 1024 ** 2} MiB`;
  return number >= 1024 && number % 1024 === 0 ? `${number / 1024} KiB` : `${number} B`;
}

function rateText({ burst, perSecond, perUsefulFrame, perFinishedStream = 0 }: Rate): string {
  const extra = [
    perUsefulFrame > 0 ? `, ${perUsefulFrame} per useful frame` : '',
    perFinishedStream > 0 ? `, ${perFinishedStream} per finished stream` : '',
  ];
  return `${burst}, then ${perSecond}/s${extra.join('')}`;
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

if (import.meta.main) {
  const page = limitsPage();
  if (process.argv.includes('--write')) writeFileSync(join(ROOT, PAGE), page);
  else if (writtenPage() !== page) {
    process.stderr.write(`${PAGE} is stale: run node test/docs/limits.ts --write\n`);
    process.exitCode = 1;
  }
}
