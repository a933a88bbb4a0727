/**
 * Conditions agree with another implementation of CEL (@bufbuild/cel, which passes the language's conformance tests): on generated expressions
 * of the subset, over generated calls, with every attribute there or absent. `FUZZ_RUNS` is how many, in tens.
 */
import { celEnv, isCelError, parse, plan } from '@bufbuild/cel';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CallAttributes, CallerAttributes } from '../../src/conditions/attributes.ts';
import { type Activation, conditionsOf } from '../../src/conditions/condition.ts';
import { timestampOf } from '../../src/conditions/known-values.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 400) * 10;

const conditions = conditionsOf({
  claims: { department: 'string', groups: 'strings', level: 'int', verified: 'bool' },
  metadata: ['x-a', 'x-b'],
});
const other = celEnv();

const TEXTS = ['', 'a', 'b', 'ab', 'alice', 'research', 'x-a', 'é', '🜛', 'a"b\\', 'line\nbreak'] as const;
const text = fc.constantFrom(...TEXTS);
const quoted = text.map((value) => JSON.stringify(value));
const number = fc.constantFrom('0', '1', '2', '3', '-1', '14', '9223372036854775807');
const zone = fc.constantFrom(
  '',
  '"UTC"',
  '"Europe/Berlin"',
  '"America/St_Johns"',
  '"Asia/Kathmandu"',
  '"Pacific/Apia"',
);
const instant = fc.constantFrom(
  '2026-01-01T00:00:00Z',
  '2026-03-29T01:00:00Z',
  '2026-10-25T00:59:59Z',
  '2027-06-30T23:59:59.5Z',
);
const span = fc.constantFrom('1s', '90m', '-1h', '1.5s', '8760h', '0s', '250ms');

const texts = fc.oneof(
  quoted,
  fc.constantFrom(
    'caller.subject',
    'caller.acr',
    'claims.department',
    'call.model',
    'call.version',
    'call.metadata["x-a"]',
    'call.metadata["x-b"]',
  ),
);
const lists = fc.constantFrom('caller.scopes', 'caller.amr', 'claims.groups');
const times = fc.oneof(
  fc.constantFrom('call.time', 'caller.auth_time'),
  instant.map((at) => `timestamp("${at}")`),
);
const spans = fc.oneof(
  span.map((length) => `duration("${length}")`),
  fc.tuple(times, times).map(([one, two]) => `(${one} - ${two})`),
);
const moved = fc.oneof(
  times,
  fc.tuple(times, fc.constantFrom('+', '-'), span).map(([at, op, by]) => `(${at} ${op} duration("${by}"))`),
);
const part = fc.constantFrom(
  'getFullYear',
  'getMonth',
  'getDate',
  'getDayOfMonth',
  'getDayOfWeek',
  'getHours',
  'getMinutes',
  'getSeconds',
);
const numbers = fc.oneof(
  number,
  fc.constant('claims.level'),
  fc.oneof(texts, lists).map((of) => `size(${of})`),
  fc.tuple(moved, part, zone).map(([at, name, where]) => `${at}.${name}(${where})`),
  fc
    .tuple(number, fc.constantFrom('+', '-'), fc.constant('claims.level'))
    .map(([one, op, two]) => `(${one} ${op} ${two})`),
);
const order = fc.constantFrom('<', '<=', '>', '>=', '==', '!=');
const equality = fc.constantFrom('==', '!=');
const member = fc.oneof(
  fc.tuple(fc.constantFrom('startsWith', 'endsWith', 'contains'), quoted).map(([name, of]) => `m.${name}(${of})`),
  fc.tuple(equality, texts).map(([op, of]) => `m ${op} ${of}`),
);

const leaf = fc.oneof(
  fc.tuple(texts, equality, texts).map(([one, op, two]) => `${one} ${op} ${two}`),
  fc.tuple(numbers, order, numbers).map(([one, op, two]) => `${one} ${op} ${two}`),
  fc.tuple(moved, order, moved).map(([one, op, two]) => `${one} ${op} ${two}`),
  fc.tuple(spans, order, spans).map(([one, op, two]) => `${one} ${op} ${two}`),
  fc.tuple(lists, equality, lists).map(([one, op, two]) => `${one} ${op} ${two}`),
  fc
    .tuple(texts, fc.constantFrom('startsWith', 'endsWith', 'contains'), texts)
    .map(([on, name, of]) => `${on}.${name}(${of})`),
  fc.tuple(texts, lists).map(([one, list]) => `${one} in ${list}`),
  fc
    .tuple(texts, fc.array(quoted, { minLength: 1, maxLength: 4 }))
    .map(([one, list]) => `${one} in [${list.join(', ')}]`),
  fc
    .tuple(numbers, fc.array(number, { minLength: 1, maxLength: 4 }))
    .map(([one, list]) => `${one} in [${list.join(', ')}]`),
  fc
    .tuple(lists, fc.constantFrom('exists', 'all', 'exists_one'), member)
    .map(([list, name, of]) => `${list}.${name}(m, ${of})`),
  fc.constantFrom('claims.verified', 'true', 'false', '"x-a" in call.metadata', '"x-b" in call.metadata'),
  fc
    .constantFrom(
      'claims.department',
      'claims.groups',
      'claims.level',
      'claims.verified',
      'call.model',
      'call.version',
      'caller.auth_time',
    )
    .map((of) => `has(${of})`),
);

const { expression } = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'expression' },
    leaf,
    fc
      .tuple(tie('expression'), fc.constantFrom('&&', '||'), tie('expression'))
      .map(([one, op, two]) => `(${one} ${op} ${two})`),
    tie('expression').map((of) => `!(${of})`),
    fc
      .tuple(tie('expression'), tie('expression'), tie('expression'))
      .map(([one, two, three]) => `(${one} ? ${two} : ${three})`),
  ),
}));

const optional = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(of, { nil: undefined });
const list = fc.array(text, { maxLength: 4 });
const world = fc.record({
  subject: text,
  acr: text,
  scopes: list,
  amr: list,
  authTimeMs: optional(fc.integer({ min: 1_700_000_000_000, max: 1_800_000_000_000 })),
  model: optional(fc.constantFrom('a', 'ab', 'fraud-1')),
  version: optional(fc.constantFrom('1', '3')),
  timeMs: fc.oneof(
    fc.integer({ min: 1_760_000_000_000, max: 1_830_000_000_000 }),
    instant.map((at) => Date.parse(at)),
  ),
  headerA: optional(text),
  headerB: optional(text),
  department: optional(text),
  groups: optional(list),
  level: optional(fc.integer({ min: -3, max: 20 })),
  verified: optional(fc.boolean()),
});
type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

function ours(source: string, of: World): boolean | 'error' {
  const caller = new CallerAttributes();
  Object.assign(caller, { subject: of.subject, acr: of.acr, scopes: of.scopes, amr: of.amr });
  if (of.authTimeMs !== undefined) caller.auth_time = timestampOf(of.authTimeMs * 1000);
  const call = new CallAttributes();
  Object.assign(call, { model: of.model, version: of.version, time: timestampOf(of.timeMs * 1000) });
  call.metadata = { 'x-a': of.headerA, 'x-b': of.headerB };
  const { department, groups, level, verified } = of;
  const claims = Object.entries({ department, groups, level, verified }).filter(([, value]) => value !== undefined);
  const activation: Activation = { caller, call, claims: conditions.claims(new Map(claims)) };
  const compiled = conditions.compile(source);
  if (!compiled.ok) throw new Error(`${source}: ${compiled.error.message}`);
  const value = compiled.value.evaluate(activation);
  return typeof value === 'boolean' ? value : 'error';
}

function theirs(source: string, of: World): boolean | 'error' {
  const there = (values: Record<string, unknown>): Map<string, unknown> =>
    new Map(Object.entries(values).filter(([, value]) => value !== undefined));
  const time = (ms: number | undefined): unknown => (ms === undefined ? undefined : timestampFromMs(ms));
  const { subject, acr, scopes, amr, model, version, department, groups, verified } = of;
  const value: unknown = plan(
    other,
    parse(source),
  )({
    caller: there({ subject, acr, scopes, amr, auth_time: time(of.authTimeMs) }),
    call: there({ model, version, time: time(of.timeMs), metadata: there({ 'x-a': of.headerA, 'x-b': of.headerB }) }),
    claims: there({ department, groups, verified, level: of.level === undefined ? undefined : BigInt(of.level) }),
    // Maps are what it takes for CEL's maps.
  } as never);
  return isCelError(value) ? 'error' : value === true;
}

test('a condition says what another implementation of CEL says', () => {
  const seen = { true: 0, false: 0, error: 0 };
  fc.assert(
    fc.property(expression, world, (source, of) => {
      // Longer ones are refused, which is another test's matter.
      fc.pre(conditions.compile(source).ok);
      const said = ours(source, of);
      seen[`${said}`] += 1;
      expect(`${source} → ${said}`).toBe(`${source} → ${theirs(source, of)}`);
    }),
    { numRuns: RUNS, seed: 20_261_124, maxSkipsPerRun: 10 },
  );
  // All three are common, or little was compared.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(RUNS / 20);
});

test('what is made of characters at random is refused, or a condition; never anything else', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'caller',
      'call',
      'claims',
      '.',
      '[',
      ']',
      '(',
      ')',
      '"',
      '&&',
      '||',
      '!',
      '?',
      ':',
      'in',
      '==',
      '{',
      '}',
      '\\',
      '+',
      '-',
      '0',
      '1u',
      '.?',
      'has',
      'exists',
      ',',
      'x',
      ' ',
      '\n',
      '//',
      'r"',
      'b"',
      "'''",
    ),
    fc.string({ maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const compiled = conditions.compile(pieces.join(''));
      if (compiled.ok) return;
      expect(compiled.error.message).not.toBe('');
      expect(compiled.error.line).toBeGreaterThan(0);
      expect(compiled.error.column).toBeGreaterThan(0);
    }),
    { numRuns: RUNS, seed: 7 },
  );
});
