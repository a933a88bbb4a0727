import { describe, expect, it } from 'vitest';
import { isMap, type Pair, type ParsedNode, parseDocument } from 'yaml';
import { applyEdits, pairOf, prependToList } from '../../../src/kubernetes/manifest-edit.ts';

/** Puts `{a: 1}` at the front of `holder.list`. */
function prepend(text: string): string | undefined {
  const { contents } = parseDocument(text, { version: '1.1', merge: true });
  const holder = isMap(contents) ? pairOf(contents, 'holder') : undefined;
  if (holder === undefined) throw new Error('no holder');
  const edit = prependToList(text, holder as Pair<ParsedNode, ParsedNode | null>, 'list', [{ a: 1 }]);
  return edit === undefined ? undefined : applyEdits(text, [edit]);
}

describe('prepending to a list of a manifest', () => {
  it.each([
    ['makes the list', 'holder:\n  other: 1\n', 'holder:\n  list:\n    - a: 1\n  other: 1\n'],
    ['keeps the indentation', 'holder:\n      other: 1', 'holder:\n      list:\n        - a: 1\n      other: 1'],
    [
      'leaves comments where they were',
      'holder: # why\n  # of other\n  other: 1 # end\n# last\n',
      'holder: # why\n  list:\n    - a: 1\n  # of other\n  other: 1 # end\n# last\n',
    ],
    [
      'uses a list that is there',
      'holder:\n  list:\n    # first\n    - b: 2\n',
      'holder:\n  list:\n    - a: 1\n    # first\n    - b: 2\n',
    ],
    [
      'uses a list that is not indented',
      'holder:\n  list:\n  - b: 2\n  x: 1\n',
      'holder:\n  list:\n  - a: 1\n  - b: 2\n  x: 1\n',
    ],
    ['keeps Windows line ends', 'holder:\r\n  other: 1\r\n', 'holder:\r\n  list:\r\n    - a: 1\r\n  other: 1\r\n'],
    [
      'goes before a block scalar',
      'holder:\n  text: |+\n    x\n\n\nend: 1\n',
      'holder:\n  list:\n    - a: 1\n  text: |+\n    x\n\n\nend: 1\n',
    ],
    ['keeps an anchor', 'holder: &h\n  b: 1\nx: *h\n', 'holder: &h\n  list:\n    - a: 1\n  b: 1\nx: *h\n'],
    ['fills an empty flow list', 'holder:\n  list: []\n', 'holder:\n  list: [{"a":1}]\n'],
    ['fills an empty value', 'holder:\n  list:\n  b: 1\n', 'holder:\n  list: [{"a":1}]\n  b: 1\n'],
    ['replaces a null', 'holder:\n  list: null # none\n', 'holder:\n  list: [{"a":1}] # none\n'],
    ['replaces a tilde', 'holder:\n  list: ~\n', 'holder:\n  list: [{"a":1}]\n'],
    ['goes into a flow map', 'holder: { b: 1 }\n', 'holder: {"list":[{"a":1}], b: 1 }\n'],
    ['goes into a flow list', 'holder: { list: [{b: 2}] }\n', 'holder: { list: [{"a":1},{b: 2}] }\n'],
    ['goes into compact JSON', '{"holder":{"b":1}}', '{"holder":{"list":[{"a":1}],"b":1}}'],
    [
      'is laid out like the JSON around it',
      '{\n    "holder": {\n        "b": 1\n    }\n}\n',
      '{\n    "holder": {\n        "list": [\n            {\n                "a": 1\n            }\n        ],\n        "b": 1\n    }\n}\n',
    ],
    [
      'is laid out like the JSON list around it',
      '{\n\t"holder": {\n\t\t"list": [\n\t\t\t{"b":2}\n\t\t]\n\t}\n}\n',
      '{\n\t"holder": {\n\t\t"list": [\n\t\t\t{\n\t\t\t\t"a": 1\n\t\t\t},\n\t\t\t{"b":2}\n\t\t]\n\t}\n}\n',
    ],
  ])('%s', (_, before, after) => {
    expect(prepend(before)).toBe(after);
  });

  it('gives up on what is no list', () => {
    expect(prepend('holder:\n  list: text\n')).toBeUndefined();
    expect(prepend('holder:\n  list:\n    b: 1\n')).toBeUndefined();
    expect(prepend('holder: text\n')).toBeUndefined();
  });
});

describe('carrying out edits', () => {
  it('goes by offset, and by order at one offset', () => {
    const edits = [
      { offset: 4, length: 1, insert: 'X' },
      { offset: 0, length: 0, insert: '1' },
      { offset: 0, length: 0, insert: '2' },
    ];
    expect(applyEdits('abcdef', edits)).toBe('12abcdXf');
  });
});
