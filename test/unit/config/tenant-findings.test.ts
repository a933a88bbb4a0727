/**
 * Every way in which a tenant's file can be wrong, with the place where it is found.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, write, writeSmall } from '../../fakes/configuration.ts';

const root = emptyDirectory();
const template = join(root, 'template');
let made = 0;

beforeAll(() => {
  writeSmall(template);
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

type Spoil = (directory: string) => void;

/** A fresh copy of the small configuration, spoilt. */
function spoilt(spoil: Spoil): string {
  made += 1;
  const directory = join(root, String(made));
  mkdirSync(directory);
  cpSync(template, directory, { recursive: true });
  spoil(directory);
  return directory;
}

/** Replaces a part of acme's file. */
const acme =
  (before: string, after: string): Spoil =>
  (directory) =>
    edit(join(directory, 'tenants/acme.yaml'), before, after);

/** What is wrong, how it comes about, where it is found (in tenants/acme.yaml), what is said, and what would be right. */
type Case = readonly [wrong: string, spoil: Spoil, at: string, message: RegExp, fix: RegExp];

async function expectFinding(severity: 'error' | 'warning', [, spoil, at, message, fix]: Case): Promise<void> {
  const { refused, lines } = await findingsOf(spoilt(spoil));
  expect(refused).toBe(severity === 'error');
  expect(lines).toContainEqual({
    at: `tenants/acme.yaml:${at}`,
    severity,
    message: expect.stringMatching(message),
    fix: expect.stringMatching(fix),
  });
}

test('the small configuration has no finding, so that every finding below comes from what was spoilt', async () => {
  expect(await findingsOf(spoilt(() => undefined))).toEqual({ refused: false, lines: [] });
});

const manyAliases = `a: &a [x]\nb: &b [${'*a,'.repeat(40)}]\nc: &c [${'*b,'.repeat(40)}]\n`;

/** One word in so many places: its anchor, and aliases of it. The small configuration has none. */
const places =
  (count: number): Spoil =>
  (directory) =>
    edit(join(directory, 'tenants/acme.yaml'), 'models: [', `models: [&word one, ${'*word, '.repeat(count - 1)}`);

/** The tenant's file, filled up to so many bytes. */
const fileOf =
  (bytes: number): Spoil =>
  (directory) => {
    const file = join(directory, 'tenants/acme.yaml');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, `${text}#${'x'.repeat(bytes - text.length - 2)}\n`);
  };

describe('a tenant’s file', () => {
  test.each([
    ['places of one anchor', places, 100, /Excessive alias count/],
    ['bytes', fileOf, 4 * 1024 ** 2, /larger than 4 MiB/],
  ] as const)('may have as many %s as the limit says, and not one more', async (_what, spoil, limit, message) => {
    expect((await findingsOf(spoilt(spoil(limit)))).refused).toBe(false);
    const { refused, lines } = await findingsOf(spoilt(spoil(limit + 1)));
    expect(refused).toBe(true);
    expect(lines[0]?.message).toMatch(message);
  });
});

const SYNTAX: readonly Case[] = [
  ['an unclosed list', acme('[acme.test, alt.acme.test]', '[acme.test'), '3:1', /end with a \]/, /correct the YAML/],
  ['a key twice', acme('tenant: acme\n', 'tenant: acme\ntenant: b\n'), '2:1', /tenant stands twice/, /remove one/],
  ['a second document', acme('tenant: acme\n', 'tenant: acme\n---\nx: 1\n'), '2:1', /second document/, /one document/],
  ['a tag', acme('tenant: acme\n', 'tenant: !secret acme\n'), '1:9', /Unresolved tag: !secret/, /correct the YAML/],
  ['an alias of nothing', acme('tenant: acme\n', 'tenant: *x\n'), '1:9', /\*x names no anchor/, /write &x before/],
  ['aliases that multiply', acme('tenant: acme\n', manyAliases), '0:0', /Excessive alias count/, /at most 100 aliases/],
  [
    'a number not read as written',
    acme('[fraud-*]', '[fraud-*]\n    versions: [1.0]'),
    '22:16',
    /number 1$/,
    /"1\.0" in/,
  ],
  ['a key that is no text', acme('tenant: acme\n', 'tenant: acme\n5: x\n'), '2:1', /5 is no key/, /write a name/],
  [
    'a prototype key',
    acme('tenant: acme\n', 'tenant: acme\n__proto__: {}\n'),
    '2:1',
    /"__proto__" is no key/,
    /a name/,
  ],
  ['an empty file', (dir) => write(join(dir, 'tenants/acme.yaml'), ''), '0:0', /is empty/, /write the settings/],
  ['only a comment', (dir) => write(join(dir, 'tenants/acme.yaml'), '# x\n'), '0:0', /is empty/, /write the settings/],
  ['nothing at all', (dir) => write(join(dir, 'tenants/acme.yaml'), '~\n'), '1:1', /no value/, /tenant, clientCa/],
  [
    'bytes that are not UTF-8',
    (dir) => writeFileSync(join(dir, 'tenants/acme.yaml'), Buffer.from([0x61, 0xff])),
    '0:0',
    /is not UTF-8/,
    /readable/,
  ],
  [
    'a file that is too large',
    (dir) => writeFileSync(join(dir, 'tenants/acme.yaml'), `# ${'x'.repeat(4 * 1024 ** 2)}`),
    '0:0',
    /larger than 4 MiB/,
    /remove it/,
  ],
  [
    'a directory of that name',
    (dir) => {
      rmSync(join(dir, 'tenants/acme.yaml'));
      mkdirSync(join(dir, 'tenants/acme.yaml'));
    },
    '0:0',
    /is not a file/,
    /remove it/,
  ],
];

describe('YAML', () => {
  test.each(SYNTAX)('finds %s at its place', (...found) => expectFinding('error', found));
});

const sha = 'sha256: 8a5edab282632443219e051e4ade2d1d5bbc671c781051bf1437897cbdfea0f1';

const SCHEMA: readonly Case[] = [
  ['a missing key', acme('tenant: acme\n', ''), '1:1 tenant', /is missing/, /tenant: acme/],
  [
    'a missing file name',
    acme('  key: ../pki/acme/server-key.pem\n', ''),
    '4:3 certificate.key',
    /missing/,
    /PEM file/,
  ],
  ['a misspelt key', acme('clientCa:', 'client_ca:'), '6:1 client_ca', /not a known key/, /did you mean clientCa\?/],
  [
    'fewer connections at most than at least',
    acme('  address: http://127.0.0.1:8001\n', '  address: http://127.0.0.1:8001\n  minConnections: 5\n'),
    '31:19 upstream.minConnections',
    /more than maxConnections/,
    /at most maxConnections/,
  ],
  [
    'a circuit that closes sooner than it opens',
    acme(
      '  address: http://127.0.0.1:8001\n',
      '  address: http://127.0.0.1:8001\n  circuit: { openTime: 2s, maxOpenTime: 1s }\n',
    ),
    '31:41 upstream.circuit.maxOpenTime',
    /less than openTime/,
    /at least openTime/,
  ],
  [
    'a health check that waits longer than its interval',
    acme(
      '  address: http://127.0.0.1:8001\n',
      '  address: http://127.0.0.1:8001\n  healthCheck: { interval: 1s, timeout: 1001ms }\n',
    ),
    '31:41 upstream.healthCheck.timeout',
    /more than interval/,
    /at most interval/,
  ],
  [
    'a misspelt key of a health check',
    acme('  address: http://127.0.0.1:8001\n', '  address: http://127.0.0.1:8001\n  healthCheck: { intervall: 1s }\n'),
    '31:18 upstream.healthCheck.intervall',
    /not a known key/,
    /mean interval\?/,
  ],
  [
    'a health check that never gives up',
    acme(
      '  address: http://127.0.0.1:8001\n',
      '  address: http://127.0.0.1:8001\n  healthCheck: { unhealthyThreshold: 0 }\n',
    ),
    '31:38 upstream.healthCheck.unhealthyThreshold',
    /from 1 to 100/,
    /a number from 1/,
  ],
  ['a misspelt inner key', acme('burst:', 'brust:'), '27:27 quota.tenant.brust', /not a known key/, /mean burst\?/],
  [
    'a key of another place',
    acme('byteAccount:', 'connectTimeout: 2s\nbyteAccount:'),
    '28:1 connectTimeout',
    /known key/,
    /under upstream/,
  ],
  [
    'a key of no place',
    acme('byteAccount:', 'colour: red\nbyteAccount:'),
    '28:1 colour',
    /known key/,
    /known here: tenant/,
  ],
  ['a tenant id in capitals', acme('tenant: acme', 'tenant: Acme'), '1:9 tenant', /"Acme" is not a tenant id/, /acme/],
  ['a number as id', acme('tenant: acme', 'tenant: 7'), '1:9 tenant', /7 is not a tenant id/, /example acme/],
  [
    'a wildcard server name',
    acme('[acme.test,', '["*.test",'),
    '2:15 serverNames[0]',
    /not a DNS name/,
    /without wildcard/,
  ],
  [
    'an address as server name',
    acme('[acme.test,', '[127.0.0.1,'),
    '2:15 serverNames[0]',
    /not a DNS name/,
    /DNS name/,
  ],
  ['no server name', acme('[acme.test, alt.acme.test]', '[]'), '2:14 serverNames', /nothing says/, /add serverNames/],
  [
    'a list that is none',
    acme('[acme.test, alt.acme.test]', 'acme.test'),
    '2:14 serverNames',
    /not a list/,
    /\[a, b\]/,
  ],
  ['a size without unit', acme('1MiB', '1000000'), '28:14 byteAccount', /1000000 is not a size/, /unit \(B, KiB/],
  ['a size in another unit', acme('1MiB', '1MB'), '28:14 byteAccount', /"1MB" is not a size/, /example 64MiB/],
  ['a size below its least', acme('1MiB', '262143B'), '28:14 byteAccount', /from 256KiB to 1024GiB/, /size/],
  [
    'a value left away',
    acme('byteAccount: 1MiB', 'byteAccount:'),
    '28:13 byteAccount',
    /has no value/,
    /remove the key/,
  ],
  [
    'a skew without unit',
    acme('[ES256]', '[ES256]\n    clockSkew: 30'),
    '15:16 issuers[0].clockSkew',
    /30 is not a dur/,
    /30s/,
  ],
  [
    'a skew above its most',
    acme('[ES256]', '[ES256]\n    clockSkew: 301s'),
    '15:16 issuers[0].clockSkew',
    /to 5m/,
    /30s/,
  ],
  ['a rate without period', acme('100/s', '100'), '27:20 quota.tenant.calls', /100 is not a rate/, /example 100\/s/],
  ['a rate of nothing', acme('100/s', '0/s'), '27:20 quota.tenant.calls', /"0\/s" is not a rate/, /100\/s/],
  ['a burst of nothing', acme('burst: 200', 'burst: 0'), '27:34 quota.tenant.burst', /from 1 to/, /a number from 1/],
  [
    'an audience that is no text',
    acme('audience: bulkhead', 'audience: [5]'),
    '11:16 issuers[0].audience[0]',
    /5 is not an aud/,
    /quotes/,
  ],
  [
    'a symmetric algorithm',
    acme('[ES256]', '[HS256]'),
    '14:18 issuers[0].algorithms[0]',
    /"HS256" is not known/,
    /RS256/,
  ],
  ['no algorithm', acme('[ES256]', '[none]'), '14:18 issuers[0].algorithms[0]', /"none" is not known/, /ES256/],
  [
    'an unknown credential',
    acme('[token,', '[tokens,'),
    '8:10 accept[0]',
    /"tokens" is not known/,
    /did you mean token\?/,
  ],
  [
    'a role without a name',
    acme('- name: predictor\n    methods', '- methods'),
    '19:5 roles[0].name',
    /is missing/,
    /Name of/,
  ],
  [
    'a method that is none',
    acme('ModelInfer]', 'Model Infer]'),
    '20:27 roles[0].methods[1]',
    /not a method/,
    /ModelInfer/,
  ],
  [
    'a certificate name that is none',
    acme('subjects: [alice]', 'certificates: [alice]'),
    '24:20 bindings[0].certificates[0]',
    /certificate’s name/,
    /spiffe:/,
  ],
  [
    'a time without zone',
    acme('2035-01-01T00:00:00Z', '2030-01-01'),
    '16:27 apiKeys[0].expires',
    /not a time/,
    /RFC 3339/,
  ],
  [
    'a day that is none',
    acme('2035-01-01T00:00:00Z', '2031-02-29T00:00:00Z'),
    '16:27 apiKeys[0].expires',
    /not a time/,
    /2030/,
  ],
  [
    'a service that is none',
    acme('upstream:\n', 'services: [a/b]\nupstream:\n'),
    '29:12 services[0]',
    /not a service/,
    /package/,
  ],
];

describe('the schema', () => {
  test.each(SCHEMA)('finds %s at its place', (...found) => expectFinding('error', found));

  test('a secret in the place of its hash is not repeated', async () => {
    const { lines } = await findingsOf(spoilt(acme(sha, 'sha256: bk_batch_hunter2')));
    expect(lines.map((line) => line.at)).toEqual(['tenants/acme.yaml:17:13 apiKeys[0].sha256']);
    expect(JSON.stringify(lines)).not.toContain('hunter2');
  });

  test('of very many mistakes 200 are listed and the others counted', async () => {
    const extra = (count: number): Spoil =>
      acme('tenant: acme\n', `tenant: acme\n${Array.from({ length: count }, (_, index) => `k${index}: 1\n`).join('')}`);
    expect((await findingsOf(spoilt(extra(200)))).lines.length).toBe(200);
    const { lines } = await findingsOf(spoilt(extra(201)));
    expect(lines.length).toBe(201);
    expect(lines[0]).toMatchObject({
      at: 'tenants/acme.yaml:0:0',
      message: 'has 1 more findings, which are not listed',
    });
  });

  test('everything that is wrong in a file is found at once', async () => {
    const { lines } = await findingsOf(
      spoilt((directory) => {
        acme('tenant: acme', 'tenant: Acme')(directory);
        acme('100/s', '100')(directory);
        acme('1MiB', '1MB')(directory);
      }),
    );
    expect(lines.map((line) => line.at)).toEqual([
      'tenants/acme.yaml:1:9 tenant',
      'tenants/acme.yaml:27:20 quota.tenant.calls',
      'tenants/acme.yaml:28:14 byteAccount',
    ]);
  });
});

const noIssuer = (directory: string): void => {
  const file = join(directory, 'tenants/acme.yaml');
  edit(
    file,
    'issuers:\n  - issuer: https://login.acme.test\n    audience: bulkhead\n    jwks:\n      file: ../jwks/acme.json\n    algorithms: [ES256]\n',
    '',
  );
};

const REFERENCES: readonly Case[] = [
  [
    'a method that the service has not',
    acme('ModelInfer]', 'ModelInfr]'),
    '20:27 roles[0].methods[1]',
    /no method ModelInfr/,
    /ModelInfer\?/,
  ],
  [
    'a method of an unknown service',
    acme('ModelInfer]', 'a.B/C]'),
    '20:27 roles[0].methods[1]',
    /service a\.B is not/,
    /services/,
  ],
  [
    'a role twice',
    acme('bindings:', '  - name: predictor\n    methods: [ServerLive]\nbindings:'),
    '22:11 roles[1].name',
    /twice/,
    /rename/,
  ],
  [
    'a binding to no role',
    acme('role: predictor', 'role: predicter'),
    '23:11 bindings[0].role',
    /no role predicter/,
    /mean predictor/,
  ],
  [
    'a binding to no key',
    acme('keys: [batch]', 'keys: [bach]'),
    '25:12 bindings[0].keys[0]',
    /no API key bach/,
    /mean batch/,
  ],
  [
    'a binding of nobody',
    acme('    subjects: [alice]\n    keys: [batch]\n', ''),
    '23:5 bindings[0]',
    /to nobody/,
    /name subjects/,
  ],
  ['subjects without issuers', noIssuer, '18:15 bindings[0].subjects', /no issuers/, /add the issuer/],
  ['tokens without issuers', noIssuer, '8:10 accept[0]', /no issuers/, /add an issuer/],
  [
    'a key id twice',
    acme('roles:', `  - id: batch\n    ${sha}\nroles:`),
    '18:9 apiKeys[1].id',
    /stands twice/,
    /of its own/,
  ],
  [
    'an issuer twice',
    acme(
      'apiKeys:',
      '  - issuer: https://login.acme.test\n    audience: b\n    jwks: { file: ../jwks/acme.json }\napiKeys:',
    ),
    '15:13 issuers[1].issuer',
    /twice/,
    /a list/,
  ],
  [
    'a server name twice',
    acme('alt.acme.test', 'ACME.test'),
    '2:26 serverNames[1]',
    /acme\.test stands twice/,
    /remove one/,
  ],
  [
    'another trust domain',
    acme('subjects: [alice]', 'certificates: [spiffe://other.example/x]'),
    '24:20 bindings[0].certificates[0]',
    /trust domain acme/,
    /correct one/,
  ],
  [
    'a DNS name under a trust domain',
    acme('subjects: [alice]', 'certificates: ["dns:a.test"]'),
    '24:20 bindings[0].certificates[0]',
    /dns:a\.test is no SPIFFE id/,
    /remove trustDomain/,
  ],
  [
    'the read service passed through',
    acme('upstream:\n', 'services: [inference.GRPCInferenceService]\nupstream:\n'),
    '29:12 services[0]',
    /unread/,
    /remove it/,
  ],
];

describe('what names something else', () => {
  test.each(REFERENCES)('finds %s at its place', (...found) => expectFinding('error', found));

  test('API keys that are accepted and not there are found', async () => {
    const { lines } = await findingsOf(
      spoilt((directory) => {
        acme(`apiKeys:\n  - { id: batch, expires: 2035-01-01T00:00:00Z,\n    ${sha} }\n`, '')(directory);
        acme('    keys: [batch]\n', '')(directory);
      }),
    );
    expect(lines.map((line) => [line.at, line.fix])).toEqual([
      ['tenants/acme.yaml:8:17 accept[1]', 'add one under apiKeys, or remove api-key'],
    ]);
  });
});

const UPSTREAM: readonly Case[] = [
  [
    'an address without scheme',
    acme('http://127.0.0.1:8001', '127.0.0.1:8001'),
    '30:12 upstream.address',
    /not an address/,
    /http:\/\/host:port/,
  ],
  [
    'an address without port',
    acme('http://127.0.0.1:8001', 'http://triton'),
    '30:12 upstream.address',
    /not an addr/,
    /host:port/,
  ],
  [
    'an address with a path',
    acme('127.0.0.1:8001', '127.0.0.1:8001/v2'),
    '30:12 upstream.address',
    /not an address/,
    /host:port/,
  ],
  [
    'a port that is none',
    acme('127.0.0.1:8001', '127.0.0.1:65536'),
    '30:12 upstream.address',
    /65536 is not a port/,
    /65535/,
  ],
  ['half an address', acme('127.0.0.1:8001', '127.0.1:8001'), '30:12 upstream.address', /not an address/, /host:port/],
  [
    'a relative socket',
    acme('http://127.0.0.1:8001', 'unix:run/x.sock'),
    '30:12 upstream.address',
    /absolute/,
    /unix:\/path/,
  ],
  [
    'a socket too long',
    acme('http://127.0.0.1:8001', `unix:/${'x'.repeat(107)}`),
    '30:12 upstream.address',
    /107 bytes/,
    /shorter/,
  ],
  [
    'a CA without TLS',
    acme('127.0.0.1:8001', '127.0.0.1:8001\n  ca: x.pem'),
    '31:3 upstream.ca',
    /https:\/\/ only/,
    /remove it/,
  ],
];

const PROTOCOLS: readonly Case[] = [
  [
    'a protocol that is none',
    acme('bindings:', 'protocols: [tfserving]\nbindings:'),
    '22:13 protocols[0]',
    /"tfserving" is not known/,
    /tensorflow-serving/,
  ],
  [
    'a protocol twice',
    acme('bindings:', 'protocols: [triton, triton]\nbindings:'),
    '22:21 protocols[1]',
    /triton stands twice/,
    /remove one/,
  ],
  [
    'two protocols that give a service different numbers',
    acme('bindings:', 'protocols: [kserve, triton]\nbindings:'),
    '22:21 protocols[1]',
    /kserve and triton give the same service different numbers/,
    /keep the one/,
  ],
  [
    'a protocol whose requests name no model, without a model',
    acme('bindings:', 'protocols: [triton, vllm]\nbindings:'),
    '22:12 protocols',
    /vllm name no model/,
    /model: NAME/,
  ],
  ['a model that no protocol needs', acme('bindings:', 'model: llama\nbindings:'), '22:8 model', /no meaning/, /vllm/],
  [
    'a service of a protocol among those that pass unread',
    acme('bindings:', 'services: [tensorflow.serving.PredictionService]\nbindings:'),
    '22:12 services[0]',
    /cannot be passed through unread/,
    /add tensorflow-serving to protocols/,
  ],
  [
    'a method of a protocol that the server does not speak',
    acme('ModelInfer]', 'tensorflow.serving.PredictionService/Predict]'),
    '20:27 roles[0].methods[1]',
    /PredictionService is not known/,
    /add tensorflow-serving to protocols/,
  ],
  [
    'a misspelt method of a protocol',
    acme(
      '    models: [fraud-*]\nbindings:',
      '    models: [fraud-*]\n  - { name: tfs, methods: [tensorflow.serving.PredictionService/Predikt], models: ["*"] }\nprotocols: [triton, tensorflow-serving]\nbindings:',
    ),
    '22:28 roles[1].methods[0]',
    /has no method Predikt/,
    /mean Predict\?/,
  ],
];

describe('the protocols', () => {
  test.each(PROTOCOLS)('finds %s at its place', (...found) => expectFinding('error', found));
});

describe('the upstream', () => {
  test.each(UPSTREAM)('finds %s at its place', (...found) => expectFinding('error', found));
});

const WARNINGS: readonly Case[] = [
  [
    'a role that nobody has',
    acme('bindings:', '  - name: spare\n    methods: [ServerLive]\nbindings:'),
    '22:11 roles[1].name',
    /nobody has the role spare/,
    /binding/,
  ],
  [
    'a role without models',
    acme('    models: [fraud-*]\n', ''),
    '19:5 roles[0]',
    /no models: it allows none/,
    /models/,
  ],
  [
    'all methods at once',
    acme('ModelInfer]', 'inference.GRPCInferenceService/*]'),
    '20:27 roles[0].methods[1]',
    /RepositoryModelLoad/,
    /one by one/,
  ],
  [
    'clear text to another host',
    acme('127.0.0.1:8001', 'triton:8001'),
    '30:12 upstream.address',
    /in clear text/,
    /https/,
  ],
];

describe('what is allowed and odd', () => {
  test.each(WARNINGS)('warns of %s at its place', (...found) => expectFinding('warning', found));
});
