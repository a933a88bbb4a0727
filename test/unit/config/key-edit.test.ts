import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { editKeys, type KeyFields } from '../../../src/config/key-edit.ts';

const EXAMPLE = readFileSync(new URL('../../../deploy/example/config/tenants/acme.yaml', import.meta.url), 'utf8');

/** Lines that are only in one of the two, as a reader of a change sees them. */
function change(before: string, after: string): { readonly gone: readonly string[]; readonly come: readonly string[] } {
  const count = (lines: readonly string[], line: string): number => lines.filter((each) => each === line).length;
  const [old, now] = [before.split('\n'), after.split('\n')];
  const only = (lines: readonly string[], others: readonly string[]) =>
    lines.filter((line) => count(lines, line) !== count(others, line));
  return { gone: only(old, now), come: only(now, old) };
}

describe('in the example', () => {
  test('a new key comes after the last one, and nothing else changes', () => {
    const edited = editKeys(EXAMPLE, undefined, { id: 'new', sha256: 'ab', scopes: ['a', 'b,c'] });
    expect(change(EXAMPLE, edited)).toEqual({
      gone: [],
      come: ['  - id: new', '    sha256: ab', '    scopes: [a, "b,c"]'],
    });
    expect(parse(edited).apiKeys.at(-1)).toEqual({ id: 'new', sha256: 'ab', scopes: ['a', 'b,c'] });
    expect(edited.indexOf('- id: new')).toBeLessThan(edited.indexOf('# What may be called'));
  });

  test('a key gets other members in their places, and further ones behind', () => {
    const previous = { sha256: 'cd', expires: '2030-01-01T00:00:00Z' };
    const edited = editKeys(EXAMPLE, 0, { sha256: 'ab', expires: '2031-01-01T00:00:00Z', previous });
    expect(change(EXAMPLE, edited)).toEqual({
      gone: [expect.stringMatching(/^ {4}sha256: 8a5e/), '    expires: 2035-01-01T00:00:00Z'],
      come: [
        '    sha256: ab',
        '    expires: 2031-01-01T00:00:00Z',
        '    previous: { sha256: cd, expires: 2030-01-01T00:00:00Z }',
      ],
    });
    const later = editKeys(edited, 0, { previous: { ...previous, sha256: 'ef' } });
    expect(change(edited, later).come).toEqual(['    previous: { sha256: ef, expires: 2030-01-01T00:00:00Z }']);
  });
});

const added: KeyFields = { id: '123', sha256: 'x' };

describe('a new key', () => {
  test.each([
    ['none before', 'a: 1\n', 'a: 1\napiKeys:\n  - id: "123"\n    sha256: x\n'],
    ['no line end', 'a: 1', 'a: 1\napiKeys:\n  - id: "123"\n    sha256: x\n'],
    ['no indent', 'apiKeys:\n- id: a\n# next\nb: 1\n', 'apiKeys:\n- id: a\n- id: "123"\n  sha256: x\n# next\nb: 1\n'],
    ['a comment behind', 'apiKeys:\n  - id: a # one', 'apiKeys:\n  - id: a # one\n  - id: "123"\n    sha256: x\n'],
    [
      'a comment between',
      'apiKeys:\n  - id: a\n    # of a\n\n# of b\nb: 1\n',
      'apiKeys:\n  - id: a\n  - id: "123"\n    sha256: x\n    # of a\n\n# of b\nb: 1\n',
    ],
  ])('is put where people would: %s', (_name, before, after) => {
    expect(editKeys(before, undefined, added)).toBe(after);
  });

  test.each([
    'apiKeys: [] # none yet\nb: 1\n',
    'apiKeys: # none yet\nb: 1\n',
    'apiKeys: [{ id: a, sha256: b }] # one\nb: 1 # two\n',
    'apiKeys: [\n  { id: a }, # one\n  # two\n]\n',
    'apiKeys:\n  -   id: a # one\n      sha256: b\n  -\n    id: c # two\n',
    'apiKeys:\n  - &one { id: a } # one\n  - *one # two\n',
    'apiKeys:\n  - &one\n    id: a # one\nb: *one # two\n',
    '{ apiKeys: [{ id: a }] } # one\n',
    '--- # one\napiKeys:\n  - id: a\n...\n',
  ])('comes whole into whatever layout, with all comments: %j', (before) => {
    const edited = editKeys(before, undefined, added);
    const old = parse(before);
    expect(parse(edited)).toEqual({ ...old, apiKeys: [...(old.apiKeys ?? []), added] });
    expect(edited.match(/# \w+/g)).toEqual(before.match(/# \w+/g));
  });
});

describe('members of a key', () => {
  test.each([
    'apiKeys: [{ id: a, sha256: b }] # one\nb: 1\n',
    'apiKeys:\n  - id: a\n    sha256: b # one\n    previous:\n      sha256: c\n      expires: d\n# two\nb: 1\n',
    'apiKeys:\n  - sha256: "b" # one\n    id: a\n    # two\n',
    'apiKeys:\n  - sha256: >-\n      b\n    id: a # one\n',
    'apiKeys:\n  - { id: a,\n      sha256: b } # one\n',
    'apiKeys:\n  - previous: {}\n    id: a',
    'apiKeys:\n  - ? sha256\n    : b\n    id: a # one\n',
  ])('are set in whatever layout: %j', (before) => {
    const fields = { sha256: 'q', revoked: true, previous: { sha256: 'z', expires: 'y' } };
    const edited = editKeys(before, 0, fields);
    const { apiKeys, ...rest } = parse(before);
    expect(parse(edited)).toEqual({ ...rest, apiKeys: [{ ...apiKeys[0], ...fields }] });
    expect(edited.match(/# \w+/g)).toEqual(before.match(/# \w+/g));
  });
});
