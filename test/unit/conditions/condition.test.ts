import { describe, expect, test } from 'vitest';
import {
  CALL_ATTRIBUTES,
  CALLER_ATTRIBUTES,
  CallAttributes,
  CallerAttributes,
  type Declared,
  MAX_LIST_MEMBERS,
} from '../../../src/conditions/attributes.ts';
import {
  type Activation,
  type Condition,
  type ConditionFailure,
  type ConditionProblem,
  conditionsOf,
  MAX_CONDITION_LENGTH,
  MAX_KEPT_CONDITIONS,
} from '../../../src/conditions/condition.ts';
import { MAX_CONDITION_DEPTH, MAX_CONDITION_NODES } from '../../../src/conditions/environment.ts';
import { timestampOf } from '../../../src/conditions/known-values.ts';

const DECLARED: Declared = {
  claims: { department: 'string', groups: 'strings', level: 'int', verified: 'bool' },
  metadata: ['x-purpose'],
};
const conditions = conditionsOf(DECLARED);

/** 2026-11-24T14:30:15Z, a Tuesday. */
const NOW = Date.UTC(2026, 10, 24, 14, 30, 15) * 1000;

function activation(claims: Record<string, unknown> = {}): Activation {
  const caller = new CallerAttributes();
  Object.assign(caller, { tenant: 'acme', id: 'token:alice', kind: 'token', subject: 'alice', scopes: ['a', 'b'] });
  const call = new CallAttributes();
  Object.assign(call, {
    method: 'inference.GRPCInferenceService/ModelInfer',
    service: 'inference.GRPCInferenceService',
  });
  Object.assign(call, { model: 'fraud-1', address: '10.0.0.1', server_name: 'acme.test', time: timestampOf(NOW) });
  call.metadata = { 'x-purpose': 'nightly' };
  return { caller, call, claims: conditions.claims(new Map(Object.entries(claims))) };
}

function compiled(text: string): Condition {
  const condition = conditions.compile(text);
  if (!condition.ok) throw new Error(`${text}: ${condition.error.message}`);
  return condition.value;
}

const says = (text: string, claims?: Record<string, unknown>): boolean | ConditionFailure =>
  compiled(text).evaluate(activation(claims));

function problemOf(text: string): ConditionProblem {
  const condition = conditions.compile(text);
  if (condition.ok) throw new Error(`${text} is a condition`);
  return condition.error;
}

describe('a condition', () => {
  test.each([
    'caller.tenant == "acme" && caller.kind == "token"',
    "call.model.startsWith('fraud-') && !call.model.endsWith('-2') && call.model.contains('aud')",
    'caller.subject in ["alice", "bob"]',
    '"a" in caller.scopes && !("c" in caller.scopes)',
    'caller.scopes.exists(s, s == "b") && caller.scopes.all(s, size(s) == 1) && caller.scopes.exists_one(s, s == "a")',
    'call.metadata["x-purpose"] == "nightly" && "x-purpose" in call.metadata',
    'call.time > timestamp("2026-01-01T00:00:00Z") && call.time < timestamp("2026-01-01T00:00:00Z") + duration("8760h")',
    'call.time - timestamp("2026-11-24T14:00:00Z") < duration("31m")',
    'call.time.getHours() == 14 && call.time.getMinutes() == 30 && call.time.getSeconds() == 15',
    'call.time.getFullYear() == 2026 && call.time.getMonth() == 10 && call.time.getDate() == 24',
    'call.time.getDayOfMonth() == 23 && call.time.getDayOfWeek() == 2',
    'call.time.getHours("Europe/Berlin") == 15 && call.time.getHours("America/New_York") == 9',
    'call.time.getHours("Asia/Kathmandu") == 20 && call.time.getMinutes("Asia/Kathmandu") == 15',
    'call.time.getDate("Pacific/Kiritimati") == 25 && call.time.getHours("+02:00") == 16',
    'caller.subject == "alice" ? true : false',
    '-1 < 2 && 1 + 2 == 3 && 2 - 3 == -1',
    'call.server_name == "acme.test" && call.address == "10.0.0.1"',
    'call.service == "inference.GRPCInferenceService"',
    'caller.issuer == "" && size(caller.amr) == 0',
    '!has(caller.auth_time) && has(call.model) && !has(call.version)',
    '// a comment\ncaller.subject\n  == "alice"',
  ])('is met: %s', (text) => {
    expect(says(text)).toBe(true);
  });

  test('speaks of claims as they are declared', () => {
    const claims = { department: 'research', groups: ['ml', 'ops'], level: 3, verified: true };
    for (const text of [
      'claims.department == "research"',
      '"ml" in claims.groups',
      'claims.groups.exists(g, g.startsWith("op"))',
      'claims.level >= 3',
      'claims.verified',
      'has(claims.groups)',
    ]) {
      expect(says(text, claims), text).toBe(true);
    }
  });

  test('that reads what is absent is neither met nor not, unless the rest decides', () => {
    for (const text of [
      'claims.department == "x"',
      'claims.department != "x"',
      '!claims.verified',
      'call.version == "1"',
    ]) {
      expect(says(text), text).toMatchObject({ failed: expect.stringMatching(/^No such key: /) });
    }
    expect(says('claims.verified || caller.subject == "alice"')).toBe(true);
    expect(says('claims.verified && caller.subject == "bob"')).toBe(false);
    expect(says('has(claims.verified) && claims.verified')).toBe(false);
  });

  test('that goes through a list which is too long is neither', () => {
    const groups = (count: number): string[] => Array.from({ length: count }, (_, index) => `g${index}`);
    const text = 'claims.groups.exists(g, g == "none")';
    expect(says(text, { groups: groups(MAX_LIST_MEMBERS) })).toBe(false);
    expect(says(text, { groups: groups(MAX_LIST_MEMBERS + 1) })).toEqual({
      failed: `claims.groups has more than ${MAX_LIST_MEMBERS} members`,
    });
  });

  test('knows what it depends on, and what it reads', () => {
    const depends = (text: string): string[] => [...compiled(text).dependsOn].sort((a, b) => a.localeCompare(b));
    expect(depends('caller.subject == "a" && "x" in claims.groups')).toEqual(['caller']);
    expect(depends('call.method == "a"')).toEqual(['caller']);
    expect(depends('call.model == "a"')).toEqual(['model']);
    expect(depends('call.time > timestamp("2026-01-01T00:00:00Z") && caller.acr == "x"')).toEqual(['call', 'caller']);
    expect(depends('"x-purpose" in call.metadata')).toEqual(['call']);
    expect(compiled('"x-purpose" in call.metadata').metadata).toEqual(['x-purpose']);
    expect(compiled('caller.acr == "x" || "g" in claims.groups').attributes).toEqual(['caller.acr', 'claims.groups']);
  });

  test('shows the values that it saw', () => {
    const condition = compiled('"x" in claims.groups || call.metadata["x-purpose"] == "a" || call.version == "1"');
    expect(condition.seen(activation({ groups: ['ml'] }))).toEqual([
      'claims.groups = ["ml"]',
      'call.metadata["x-purpose"] = "nightly"',
      'call.version = absent',
    ]);
  });

  test('is compiled once, for all tenants that declare the same', () => {
    const again = conditionsOf({ claims: { ...DECLARED.claims }, metadata: [...DECLARED.metadata] });
    expect(again.compile('caller.subject == "x"')).toBe(conditions.compile('caller.subject == "x"'));
  });

  test('are kept up to a number, and then made anew', () => {
    const own = conditionsOf({ claims: {}, metadata: ['x-kept'] });
    const text = (index: number): string => `caller.subject == "${index}"`;
    const first = own.compile(text(0));
    for (let index = 1; index < MAX_KEPT_CONDITIONS; index += 1) own.compile(text(index));
    expect(own.compile(text(0))).toBe(first);
    own.compile(text(MAX_KEPT_CONDITIONS));
    expect(own.compile(text(0))).not.toBe(first);
  });

  test('may use every attribute', () => {
    for (const [group, attributes] of Object.entries({ caller: CALLER_ATTRIBUTES, call: CALL_ATTRIBUTES })) {
      for (const [name, { type }] of Object.entries(attributes)) {
        const path = `${group}.${name}`;
        const text = {
          timestamp: `${path} > timestamp("2026-01-01T00:00:00Z")`,
          strings: `"a" in ${path}`,
          string: `${path} == "a"`,
        };
        const use = type === 'texts by name' ? `"x-purpose" in ${path}` : text[type as keyof typeof text];
        expect(conditions.compile(use).ok, use).toBe(true);
      }
    }
  });
});

describe('what is no condition', () => {
  test.each<[string, string, RegExp]>([
    ['caler.subject == "a"', '1:1', /there is no caler/],
    ['caller.sub == "a"', '1:1', /there is no caller.sub/],
    ['claims.team == "a"', '1:1', /there is no claims.team/],
    ['true &&\n  claims.team == "a"', '2:3', /there is no claims.team/],
    ['caller.subject == 1', '1:1', /no such overload: string == int/],
    ['caller.subject', '1:1', /is string, not true or false/],
    ['caller', '1:1', /caller alone is no value/],
    ['caller.subject ==', '1:18', /Unexpected token/],
    ['"a', '1:1', /./],
    ['', '1:1', /./],
    ['caller.subject.matches("a+")', '1:1', /no regular expressions/],
    ['matches(caller.subject, "a+")', '1:1', /no function matches/],
    ['claims.groups.map(g, g) == ["a"]', '1:1', /no map/],
    ['claims.groups.filter(g, g == "a") == ["a"]', '1:1', /no filter/],
    ['cel.bind(x, caller.subject, x == x)', '1:1', /no cel.bind/],
    ['claims.groups.exists(a, claims.groups.exists(b, a == b))', '1:25', /exists stands within another/],
    ['["a"].exists(a, a == "a")', '1:1', /for lists that attributes have/],
    ['claims.groups.exists(caller, caller == "a")', '1:22', /caller is taken/],
    ['claims.groups.exists(g, g.x == "a")', '1:25', /no .x of that/],
    ['"a" + caller.subject == "ab"', '1:1', /\+ is not for these/],
    ['duration("1h") + duration("1h") == duration("2h")', '1:1', /\+ is not for these/],
    ['2 * 2 == 4', '1:1', /\* is not for conditions/],
    ['caller.subject < "b"', '1:1', /text has no order/],
    ['{"a": 1}.a == 1', '1:1', /./],
    ['1.5 < 2.5', '1:1', /is no text/],
    ['1u == 1u', '1:1', /is no text/],
    ['b"a" == b"a"', '1:1', /is no text/],
    ['null == null', '1:1', /is no text/],
    ['9223372036854775808 == 1', '1:1', /too large/],
    ['dyn(caller.subject) == 1', '1:1', /no function dyn/],
    ['type(1) == int', '1:1', /no function type/],
    ['call.metadata["authorization"] == "x"', '1:15', /the header authorization is not declared/],
    ['call.metadata["X-Purpose"] == "x"', '1:15', /is not declared/],
    ['call.metadata[caller.subject] == "x"', '1:15', /names no header/],
    ['size(call.metadata) == 0', '1:6', /call.metadata has no size/],
    ['call.metadata == call.metadata', '1:1', /call.metadata has no size/],
    ['caller["subject"] == "a"', '1:1', /caller alone is no value/],
    ['caller.scopes[0] == "a"', '1:1', /only call.metadata has members by name/],
    ['caller.constructor == "a"', '1:1', /there is no caller.constructor/],
    ['claims.__proto__ == "a"', '1:1', /there is no claims.__proto__/],
    ['has(caller.subject)', '1:1', /caller.subject is always there/],
    ['has(call.metadata)', '1:1', /always there/],
    ['has(caller)', '1:1', /has\(\) takes an attribute/],
    ['timestamp(caller.subject) < call.time', '1:11', /takes text that is written out/],
    ['timestamp("soon") < call.time', '1:11', /is no timestamp/],
    ['duration("1y") < duration("1h")', '1:10', /is no duration/],
    ['call.time.getHours("Mars/Olympus") == 1', '1:20', /is no time zone/],
    ['call.time.getDayOfYear() == 1', '1:1', /no getDayOfYear/],
    ['known_timestamp("2026-01-01T00:00:00Z") < call.time', '1:1', /no function known_timestamp/],
    ['caller.subject in caller.subject', '1:19', /is no list/],
    ['"a" in [caller.subject]', '1:9', /no value that is written out/],
    ['google.protobuf.Timestamp == caller.kind', '1:1', /there is no google/],
    ['caller.?subject == "a"', '1:8', /./],
  ])('%j is refused where it is wrong', (text, at, message) => {
    const problem = problemOf(text);
    expect(`${problem.line}:${problem.column}`).toBe(at);
    expect(problem.message).toMatch(message);
    expect(problem.fix).not.toBe('');
  });

  test('what is declared for another tenant', () => {
    const others = conditionsOf({ claims: {}, metadata: [] });
    expect(others.compile('claims.department == "x"').ok).toBe(false);
    expect(others.compile('"x-purpose" in call.metadata').ok).toBe(false);
    expect(conditions.compile('claims.department == "x"').ok).toBe(true);
  });
});

describe('an expression that is meant to cost much', () => {
  const compiles = (text: string): boolean => conditions.compile(text).ok;

  test('has a longest', () => {
    const text = (length: number): string => `true //${' '.repeat(length - 7)}`;
    expect(compiles(text(MAX_CONDITION_LENGTH))).toBe(true);
    expect(problemOf(text(MAX_CONDITION_LENGTH + 1)).message).toMatch(/longer than 2048/);
    expect(problemOf('('.repeat(10_000_000)).message).toMatch(/longer than 2048/);
  });

  test('has so many parts', () => {
    // Each has four: an attribute and its base, a value, and a comparison; what joins them is one more.
    const parts = (count: number): string => Array.from({ length: count }, () => 'caller.acr=="a"').join('||');
    let most = 1;
    while (compiles(parts(most + 1))) most += 1;
    expect(most).toBe(Math.floor((MAX_CONDITION_NODES + 1) / 5));
    expect(problemOf(parts(most + 1)).message).toMatch(/maxAstNodes/);
  });

  test('is nested so deep', () => {
    const nested = (depth: number): string => `${'('.repeat(depth)}true${')'.repeat(depth)}`;
    let most = 1;
    while (most < 1000 && compiles(nested(most + 1))) most += 1;
    expect(most).toBe(MAX_CONDITION_DEPTH - 1);
    expect(problemOf(nested(most + 1)).message).toMatch(/maxDepth/);
    expect(problemOf(`${'!'.repeat(1000)}true`).message).toMatch(/max(Depth|AstNodes)/);
    expect(problemOf(`${'-'.repeat(1000)}1 == 1`).message).toMatch(/max(Depth|AstNodes)/);
    expect(problemOf(`${'true?'.repeat(100)}true${':true'.repeat(100)}`).message).toMatch(/max(Depth|AstNodes)/);
    expect(problemOf(`"a" in ${'['.repeat(1000)}`).message).toMatch(/maxDepth|Unexpected/);
  });

  test('is run in the time of its length, with the longest lists', () => {
    const wide = Array.from({ length: 14 }, (_, index) => `g.contains("${'x'.repeat(20)}${index}")`).join(' || ');
    const condition = compiled(`claims.groups.exists(g, ${wide})`);
    const groups = Array.from({ length: MAX_LIST_MEMBERS }, () => 'x'.repeat(30));
    const on = activation({ groups });
    condition.evaluate(on);
    const begin = process.cpuUsage();
    for (let round = 0; round < 10; round += 1) expect(condition.evaluate(on)).toBe(false);
    const { user } = process.cpuUsage(begin);
    // About 0.5 ms each; a thousand times as much is what this is to find.
    expect(user / 10).toBeLessThan(200_000);
  });
});
