import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { YamlDocument, type YamlReader } from '../../../src/config/document.ts';
import type { ValuePath } from '../../../src/config/finding.ts';
import { readPlainYaml } from '../../../src/config/plain-yaml.ts';

/** All that a text says, and where: by either reader the same. */
function account(text: string, reader: YamlReader): unknown {
  const document = new YamlDocument('tenants/acme.yaml', text, reader);
  const { value, findings } = document.read();
  if (value === undefined) return { value, findings };
  const places = pathsOf(value, []).map((path) => [
    path,
    document.position({ path }),
    document.position({ path, at: 'key' }),
    document.position({ path: [...path, 'absent'] }),
    document.position({ path: [...path, 7] }),
  ]);
  document.release();
  const again = document.position({ path: [] });
  return { value, findings, places, again, has: [document.has('a'), document.has('tenant'), document.has('absent')] };
}

function pathsOf(value: unknown, path: ValuePath): readonly ValuePath[] {
  if (typeof value !== 'object' || value === null) return [path];
  const members = Object.entries(value).map(([key, member]) => [Array.isArray(value) ? Number(key) : key, member]);
  return [path, ...members.flatMap(([step, member]) => pathsOf(member, [...path, step]))];
}

function agree(text: string): boolean {
  const ours = account(text, 'any');
  const theirs = account(text, 'library');
  // `toStrictEqual` takes a key named constructor for a class.
  if (!isDeepStrictEqual(ours, theirs)) expect(JSON.stringify(ours), text).toBe(JSON.stringify(theirs));
  return readPlainYaml(text) !== undefined;
}

const NAMES = [
  'a',
  'tenant',
  'apiKeys',
  'sha256',
  'x-y',
  'a.b/C',
  'A_1',
  'true',
  'null',
  'yes',
  'constructor',
  'toString',
];
const PIECES = [
  'acme',
  'spiffe://acme/*',
  '100/s',
  '64MiB',
  '127.0.0.1:0',
  'a:b',
  'a#b',
  "it's",
  'x y',
  'e',
  '-x',
  '=',
  'ü',
  '…',
];
const WORDS = [
  ...PIECES,
  ...[
    '0',
    '1',
    '-1',
    '+1',
    '-0',
    '007',
    '1.5',
    '1.50',
    '.5',
    '5.',
    '1e3',
    '1e21',
    '0x10',
    '0o7',
    '12e9',
    '99999999999999999999',
  ],
  ...[
    'true',
    'False',
    'TRUE',
    'yes',
    'on',
    'null',
    'Null',
    '~',
    '.inf',
    '-.INF',
    '.nan',
    '.NaN',
    'NaN',
    '~x',
    '.x',
    '+',
    '-',
    '...',
    '---',
  ],
  ...[
    '"*"',
    "'x'",
    '"a: b"',
    "'a # b'",
    '""',
    "''",
    '"a\\"b"',
    "'it''s'",
    '"a',
    '[a',
    '{',
    '*x',
    '&x y',
    '!t x',
    '|',
    '>-',
    '@x',
    '`x',
    '%x',
    '?',
    '? x',
  ],
  ...['a: b', 'a:', ': a', 'a #b', '#', '<<', '__proto__', 'a,b', 'a]b', '2026-01-01', '2026-01-01T00:00:00Z'],
];

interface Style {
  pick(limit: number): number;
}

/** A document as somebody may have written it, with slips. `pick` decides everything. */
class Writer {
  readonly #style: Style;
  readonly #slips: number;
  #names = 0;

  /** One of so many decisions is a slip. */
  constructor(style: Style, slips: number) {
    this.#style = style;
    this.#slips = slips;
  }

  document(): string {
    return `${this.#comment(0)}${this.#map(0, 3)}${this.#one(['', '\n', '# end', '...\n', '---\na: b\n'], 3)}`;
  }

  #chance(of: number): boolean {
    return this.#style.pick(of) === 0;
  }

  /** One of these; the first `good` of them are no slips. */
  #one(all: readonly string[], good: number): string {
    const limit = this.#chance(this.#slips) ? all.length : good;
    return all[this.#style.pick(limit)] ?? '';
  }

  #name(): string {
    this.#names += 1;
    return this.#one(NAMES, 7) + (this.#chance(this.#slips) ? '' : String(this.#names));
  }

  #word(): string {
    return this.#one(WORDS, PIECES.length + 3);
  }

  #comment(indent: number): string {
    if (!this.#chance(6)) return '';
    return `${' '.repeat(this.#chance(2) ? indent : this.#style.pick(6))}${this.#one(['# a comment: [x\n', '\n', '   \n', '#\n', '#x\n', '\t\n'], 5)}`;
  }

  #end(): string {
    return this.#one(['\n', '\n', ' \n', ' # why\n', '  #\n', '#x\n', '\t\n', '\r\n', ''], 5) + this.#comment(0);
  }

  #gap(): string {
    return this.#one([' ', ' ', '  ', '', '\t'], 3);
  }

  #shift(): number {
    return this.#chance(this.#slips) ? this.#style.pick(4) - 1 : 2;
  }

  #map(indent: number, depth: number): string {
    return this.#members(indent, depth, () => `${this.#name()}:${this.#value(indent, depth, true)}`);
  }

  #list(indent: number, depth: number): string {
    return this.#members(indent, depth, () => `-${this.#item(indent, depth)}`);
  }

  #members(indent: number, _depth: number, member: () => string): string {
    const count = this.#style.pick(4) + 1;
    const margin = ' '.repeat(Math.max(0, indent));
    return Array.from({ length: count }, (_, index) => (index === 0 ? '' : margin) + member()).join('');
  }

  /** What stands in a list: perhaps a mapping or a list that begins on the line of the dash. */
  #item(indent: number, depth: number): string {
    if (depth > 0 && this.#chance(2))
      return ` ${this.#chance(4) ? this.#list(indent + 2, depth - 1) : this.#map(indent + 2, depth - 1)}`;
    return this.#value(indent, depth, false);
  }

  #value(indent: number, depth: number, ofMap: boolean): string {
    if (depth > 0 && this.#chance(2)) {
      const inner = ofMap && this.#chance(3) ? indent : indent + this.#shift();
      const margin = ' '.repeat(Math.max(0, inner));
      const isList = (ofMap && inner === indent) || this.#chance(2);
      return `${this.#end()}${margin}${isList ? this.#list(inner, depth - 1) : this.#map(inner, depth - 1)}`;
    }
    return `${this.#gap()}${this.#chance(3) ? this.#flow(2) : this.#word()}${this.#end()}`;
  }

  #flow(depth: number): string {
    const item = (): string => (depth > 0 && this.#chance(4) ? this.#flow(depth - 1) : this.#word());
    const isMap = this.#chance(2);
    const items = Array.from({ length: this.#style.pick(4) }, () =>
      isMap ? `${this.#name()}:${this.#gap()}${item()}` : item(),
    );
    const pad = this.#one(['', ' ', '  ', '\n  '], 3);
    const body = `${pad}${items.join(this.#one([', ', ',', ' , ', ',\n   ', ' '], 3))}${this.#one(['', ',', ' ,'], 1)}${pad}`;
    return isMap ? `{${body}}` : `[${body}]`;
  }
}

describe('plain YAML', () => {
  test.each([
    'a: b',
    'a: b\n',
    '# c\n\na: b # d\n',
    'a:\n- b\n- c: d\n  e: f\n-\n  - g\nh: 1\n',
    'a: # why\n  # x\n  b: [x, "y", {z: 1}]\n',
    '- a\n- - b\n  - c\n',
    'a: [ ]\nb: { }\n',
    'a: {b: c, d: [e]}   # f\n',
  ])('is read: %j', (text) => {
    expect(agree(text)).toBe(true);
  });

  test.each([
    ...[
      '',
      '\n',
      '# nothing\n',
      'a',
      'a:',
      'a:\n',
      'a: b\na: c\n',
      'a: b\n c\n',
      'a: b: c\n',
      ' a: b\n',
      'a: b\n---\nc: d\n',
      '%YAML 1.2\n---\na: b\n',
    ],
    ...[
      'a:\tb\n',
      'a: "b\\n"\n',
      'a: &x b\nc: *x\n',
      'a: |\n  b\n',
      'a: [b,\n c]\n',
      '"a": b\n',
      '? a\n: b\n',
      '1: a\n',
      'null: a\n',
      'a: 1.10\n',
      'a: b\r\n',
    ],
    ...[
      '__proto__: a\n',
      'a: [b\n',
      'a: {b}\n',
      'a: b\n- c\n',
      'a: !x b\n',
      `${'['.repeat(50)}${']'.repeat(50)}\n`,
      `${'- '.repeat(50)}a\n`,
      '\ufeffa: b\n',
      'a: b\u2028c\n',
    ],
    ...[
      `a: { ${'k'.repeat(2000)}: 1 }\n`,
      'a: [b]c\n',
      'a: "b"c\n',
      'a: [x #y\n]\n',
      'a:\n  - b\n  c: d\n',
      'a: ~\n',
      'a: [b: c]\n',
      'a: [,]\n',
      'a: [b,]\n',
      'a: 12e9\n',
      'a: -\n',
      'a: b\n...\n',
    ],
  ])('is left to the library where it is not: %j', (text) => {
    expect(agree(text)).toBe(false);
  });

  test.each([1, 3, 30, 1000])(
    'means what the library says, at the same places, with one slip in %i decisions',
    (slips) => {
      let plain = 0;
      let all = 0;
      fc.assert(
        fc.property(fc.infiniteStream(fc.noBias(fc.nat())), (decisions) => {
          const style: Style = { pick: (limit) => Number(decisions.next().value) % limit };
          plain += agree(new Writer(style, slips).document()) ? 1 : 0;
          all += 1;
        }),
        { numRuns: 1000, seed: slips },
      );
      // Otherwise little was compared.
      if (slips >= 30) expect(plain / all).toBeGreaterThan(slips === 30 ? 0.2 : 0.8);
    },
  );

  test('says of a tenant’s file with one character wrong what the library says', () => {
    let plain = 0;
    fc.assert(
      fc.property(
        fc.noBias(fc.nat(TENANT.length - 1)),
        fc.constantFrom(...' :-[]{}#"\'\n,&*|>x0.~\t'.split('')),
        fc.boolean(),
        (at, character, inserted) => {
          const text = `${TENANT.slice(0, at)}${character}${TENANT.slice(inserted ? at : at + 1)}`;
          plain += agree(text) ? 1 : 0;
        },
      ),
      { numRuns: 1500, seed: 1 },
    );
    expect(plain).toBeGreaterThan(500);
  });
});

const TENANT = `# Acme's.
tenant: acme
serverNames: [acme.models.example, "acme.example"]
certificate: { chain: ../pki/acme.pem, key: ../pki/acme-key.pem }
clientCa: ../pki/acme-ca.pem   # of the platform
issuers:
  - issuer: https://login.acme.example
    audience: bulkhead
    jwks:
      file: ../jwks/acme.json
    algorithms: [ES256]
apiKeys:
  - { id: batch, sha256: 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0 }

roles:
- name: predictor
  methods: [ModelInfer, ModelReady]
  models: ["*", 'fraud-*']
bindings:
- role: predictor
  subjects:
    # both of them
    - alice
    - bob
quota:
  tenant: { calls: 100/s, burst: 200 }
  concurrentCalls: 64
upstream:
  address: http://127.0.0.1:8001
`;

test.each(['x', '.', 'e', ''])(
  'digits without end, and %j behind them, are read once and not once for each of them',
  (end) => {
    const digits = '1'.repeat(60_000);
    const from = performance.now();
    readPlainYaml(`a: ${digits}${end}\nb: ${digits}.${digits}${end}\n`);
    // A thousandth of that is usual; each with each took some seconds.
    expect(performance.now() - from).toBeLessThan(1_000);
  },
);
