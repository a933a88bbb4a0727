import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { Finding } from '../../../src/config/finding.ts';
import { areSame, logWarnings, MAX_LOGGED_WARNINGS } from '../../../src/runtime/configuration-warnings.ts';

function logged(count: number): readonly object[] {
  const lines: object[] = [];
  const one: Finding = {
    file: 'tenants/acme.yaml',
    line: 3,
    column: 5,
    path: 'apiKeys[0].id',
    message: 'the API key batch never expires',
    fix: 'add expires',
    severity: 'warning',
  };
  logWarnings(Array(count).fill(one), pino({}, { write: (line) => lines.push(JSON.parse(line)) }));
  return lines;
}

test('each is a line with its place and what would be right', () => {
  expect(logged(1)).toEqual([
    expect.objectContaining({
      level: 40,
      msg: 'configuration: the API key batch never expires',
      file: 'tenants/acme.yaml',
      line: 3,
      path: 'apiKeys[0].id',
      fix: 'add expires',
    }),
  ]);
});

test('as many as the limit are logged one by one, and of more their number', () => {
  expect(logged(MAX_LOGGED_WARNINGS)).toHaveLength(MAX_LOGGED_WARNINGS);
  expect(logged(MAX_LOGGED_WARNINGS + 1)).toHaveLength(MAX_LOGGED_WARNINGS + 1);
  expect(logged(MAX_LOGGED_WARNINGS + 1).at(-1)).toMatchObject({ count: 1 });
});

test('two loads say the same if their warnings do, whichever objects they are', () => {
  const one = { file: 'a.yaml', line: 1, column: 1, path: 'x', message: 'm', fix: 'f', severity: 'warning' } as const;
  expect(areSame([one], [one])).toBe(true);
  expect(areSame([one], [{ ...one }])).toBe(true);
  expect(areSame([one], [{ ...one, line: 2 }])).toBe(false);
  expect(areSame([one], [one, one])).toBe(false);
  expect(areSame([one], [])).toBe(false);
});
