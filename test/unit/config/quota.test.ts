/**
 * What may be written about quotas, what it becomes, and what is said of what makes no sense.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { type FoundLine, findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, writeSmall } from '../../fakes/configuration.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

const QUOTA = 'quota:\n  tenant: { calls: 100/s, burst: 200 }\n';
const ORGANISATION = 'organisations:\n  - name: group\n    limits: [{ name: all, calls: 5, window: day }]\n';

/** The small configuration with these limits of its tenant. */
function written(limits: readonly string[], main = '', more = ''): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  const lines = limits.map((one) => `    - ${one}\n`).join('');
  edit(join(directory, 'tenants/acme.yaml'), QUOTA, `${QUOTA}${more}${lines === '' ? '' : `  limits:\n${lines}`}`);
  edit(join(directory, 'bulkhead.yaml'), 'tenants: tenants/\n', `tenants: tenants/\n${main}`);
  return directory;
}

async function loaded(directory: string) {
  const result = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

async function only(limits: readonly string[], main?: string, more?: string): Promise<FoundLine> {
  const { lines } = await findingsOf(written(limits, main, more));
  expect(lines).toHaveLength(1);
  return lines[0] ?? { at: '', message: '', fix: '', severity: 'error' };
}

describe('limits that are written', () => {
  it('become what they say', async () => {
    const directory = written([
      '{ name: daily, calls: 1000, window: day, zone: Europe/Berlin }',
      '{ name: steady, per: caller, rate: 10/s }',
      '{ name: at-once, per: caller, concurrentCalls: 4 }',
      '{ name: hourly, per: caller, calls: 500, window: 1h }',
      '{ name: contract, calls: 1000000, window: total, since: 2026-01-01T00:00:00Z }',
      '{ name: in, per: caller, requestBytes: 10GiB, window: month }',
      '{ name: out, responseBytes: 1KiB, window: total }',
      '{ name: llamas, per: model, models: [llama-*], calls: 7, window: minute }',
    ]);
    const { tenants, organisations } = await loaded(directory);
    expect(tenants[0]?.quota).toEqual({
      perTenant: { callsPerSecond: 100, burst: 200 },
      perCaller: undefined,
      maxConcurrentCalls: undefined,
      limits: [
        {
          name: 'daily',
          level: 'tenant',
          bound: { kind: 'calendar', amount: 1000, unit: 'day', zone: 'Europe/Berlin' },
        },
        { name: 'steady', level: 'caller', bound: { kind: 'rate', callsPerSecond: 10, burst: 10 } },
        { name: 'at-once', level: 'caller', bound: { kind: 'concurrency', calls: 4 } },
        { name: 'hourly', level: 'caller', bound: { kind: 'sliding', amount: 500, lengthMs: 3_600_000 } },
        { name: 'contract', level: 'tenant', bound: { kind: 'total', amount: 1_000_000, sinceSeconds: 1_767_225_600 } },
        {
          name: 'in',
          level: 'caller',
          unit: 'requestBytes',
          bound: { kind: 'calendar', amount: 10 * 1024 ** 3, unit: 'month', zone: 'UTC' },
        },
        {
          name: 'out',
          level: 'tenant',
          unit: 'responseBytes',
          bound: { kind: 'total', amount: 1024, sinceSeconds: 0 },
        },
        {
          name: 'llamas',
          level: 'model',
          models: ['llama-*'],
          bound: { kind: 'calendar', amount: 7, unit: 'minute', zone: 'UTC' },
        },
      ],
    });
    expect(organisations).toEqual([]);
  });

  it('may count tokens and compute time, with how they are found out', async () => {
    const more = [
      '  tokens: { input: { metadata: x-in }, output: { parameter: out }, counting: totals, estimate: { output: 9 } }',
      '  compute: { estimate: 200ms, weights: [{ models: [llama-*], weight: 8.5 }] }',
      '  refund: [UNAVAILABLE, INTERNAL]',
      '',
    ].join('\n');
    const limits = ['inputTokens', 'outputTokens', 'computeSeconds'].map(
      (unit) => `{ name: ${unit.toLowerCase()}, ${unit}: 7, window: day, versions: ['3'], methods: ['*/ModelInfer'] }`,
    );
    const { tenants } = await loaded(written(limits, '', more));
    expect(tenants[0]?.quota).toMatchObject({
      tokens: {
        input: { metadata: 'x-in' },
        output: { parameter: 'out' },
        counting: 'totals',
        estimatedInput: 256,
        estimatedOutput: 9,
      },
      compute: { estimateMs: 200, weights: [{ models: ['llama-*'], weight: 8.5 }] },
      refund: [14, 13],
      limits: ['inputTokens', 'outputTokens', 'computeSeconds'].map((unit) => ({
        unit,
        versions: ['3'],
        methods: ['*/ModelInfer'],
        bound: { kind: 'calendar', amount: 7 },
      })),
    });
  });

  it.each([
    ['  tokens: { output: {} }\n', 'names nothing'],
    ['  tokens: { output: { metadata: a, parameter: b } }\n', 'has metadata and parameter: it is one or the other'],
    ['  compute: { weights: [{ models: [a], weight: 0 }] }\n', 'must be a number from 0.001 to 1000'],
  ])('are refused with %j: %s', async (more, message) => {
    expect(await only([], '', more)).toMatchObject({ message });
  });

  it('must say where tokens are told, unless the model server is vLLM', async () => {
    expect(await only(['{ name: x, outputTokens: 1, window: day }'])).toMatchObject({
      message: 'are counted, and nothing says where the model server tells them',
    });
  });

  it('are none where none are written', async () => {
    const { tenants } = await loaded(written([]));
    expect(tenants[0]?.quota).not.toHaveProperty('limits');
    expect(tenants[0]).not.toHaveProperty('organisation');
  });

  it('may be 16, and not 17', async () => {
    const limits = Array.from({ length: 17 }, (_, n) => `{ name: l${n}, calls: 1, window: day }`);
    expect((await findingsOf(written(limits.slice(1)))).lines).toEqual([]);
    expect(await only(limits)).toMatchObject({ message: 'has more than 16 entries' });
  });
});

describe('an organisation', () => {
  it('gives its limits to the tenants that name it, who change when it does', async () => {
    const directory = written([], ORGANISATION, '  organisation: group\n');
    const loader = new ConfigurationLoader({ environment: {} });
    const main = join(directory, 'bulkhead.yaml');
    const before = await loader.load(main, undefined);
    if (!before.ok) throw new Error(JSON.stringify(before.error));
    const group = { name: 'group', slot: 0, limits: [expect.objectContaining({ name: 'all', level: 'organisation' })] };
    expect(before.value.organisations).toEqual([group]);
    expect(before.value.tenants[0]?.organisation).toEqual(group);
    edit(main, 'calls: 5', 'calls: 6');
    const after = await loader.load(main, before.value);
    if (!after.ok) throw new Error(JSON.stringify(after.error));
    expect(after.value.tenants[0]?.organisation?.limits).toMatchObject([{ bound: { amount: 6 } }]);
    expect(after.value.tenants[0]?.digest).not.toBe(before.value.tenants[0]?.digest);
    // The other way round: a tenant is the same object while nothing of it or of its organisation changes.
    edit(main, 'sample: 50%', 'sample: 40%');
    const same = await loader.load(main, after.value);
    expect(same.ok && same.value.tenants[0]).toBe(after.value.tenants[0]);
  });

  it('keeps its slot, and one that is new gets one that neither generation has', async () => {
    const directory = written([], ORGANISATION);
    const loader = new ConfigurationLoader({ environment: {} });
    const main = join(directory, 'bulkhead.yaml');
    const before = await loader.load(main, undefined);
    if (!before.ok) throw new Error(JSON.stringify(before.error));
    edit(main, 'name: group', 'name: first');
    const after = await loader.load(main, before.value);
    if (!after.ok) throw new Error(JSON.stringify(after.error));
    expect(after.value.organisations).toMatchObject([{ name: 'first', slot: 1 }]);
  });

  it('that is not there is an error, with the one that is meant', async () => {
    expect(await only([], ORGANISATION, '  organisation: gruop\n')).toMatchObject({
      at: 'tenants/acme.yaml:28:17 quota.organisation',
      message: 'the main file has no organisation gruop',
      fix: 'did you mean group?',
    });
    expect(await only([], '', '  organisation: group\n')).toMatchObject({
      fix: 'add it under organisations in the main file',
    });
  });

  it('may be one of 128, and not of 129', async () => {
    const many = (count: number): string =>
      `organisations:\n${Array.from({ length: count }, (_, n) => `  - { name: g${n}, limits: [{ name: a, rate: 1/s }] }\n`).join('')}`;
    expect((await findingsOf(written([], many(128)))).lines).toEqual([]);
    expect(await only([], many(129))).toMatchObject({ message: 'has more than 128 entries' });
  });

  it('must have a name of its own', async () => {
    const twice = `${ORGANISATION}  - name: group\n    limits: [{ name: all, calls: 5, window: day }]\n`;
    expect(await only([], twice)).toMatchObject({ message: 'group stands twice' });
  });
});

describe('a limit that makes no sense', () => {
  it.each([
    ['{ name: x }', 'limits nothing'],
    ['{ name: x, calls: 1, window: day, rate: 1/s }', 'has rate and calls: one limit bounds one thing'],
    ['{ name: x, rate: 1/s, window: day }', 'has no meaning without something that is counted'],
    [
      '{ name: x, tensorElements: 1, calls: 1, window: day }',
      'has calls and tensorElements: one limit bounds one thing',
    ],
    ['{ name: x, tensorElements: 1 }', 'is missing, and tensorElements needs it'],
    ['{ name: x, calls: 1, window: day, methods: [ModelInfer] }', '"ModelInfer" is not a method'],
    ['{ name: x, calls: 1, window: day, versions: [] }', 'is empty'],
    ['{ name: x, responseBytes: 524289GiB, window: day }', 'must be from 1B to 524288GiB'],
    ['{ name: x, responseBytes: 1KiB }', 'is missing, and responseBytes needs it'],
    [
      '{ name: x, responseBytes: 1KiB, calls: 1, window: day }',
      'has calls and responseBytes: one limit bounds one thing',
    ],
    ['{ name: x, calls: 1, window: day, burst: 2 }', 'has no meaning without rate'],
    ['{ name: x, calls: 1, window: 1h, zone: Europe/Berlin }', 'has no meaning without a calendar window'],
    ['{ name: x, calls: 1, window: day, since: 2026-01-01T00:00:00Z }', 'has no meaning without window: total'],
    ['{ name: x, calls: 1 }', 'is missing, and calls needs it'],
    ['{ name: x, calls: 1, window: week }', '"week" is not a window'],
    ['{ name: x, calls: 1, window: 33d }', 'must be from 1s to 32d'],
    ['{ name: x, calls: 1, window: day, zone: Mars/Olympus }', '"Mars/Olympus" is not a time zone'],
    ['{ name: X, calls: 1, window: day }', '"X" is not a name (lower-case letters, digits and hyphens, at most 40)'],
    ['{ name: x, calls: 0, window: day }', 'must be a whole number from 1 to 1000000000000'],
  ])('%s is told: %s', async (limit, message) => {
    const found = await only([limit]);
    expect(found.message).toBe(message);
    expect(found.at).toMatch(/^tenants\/acme\.yaml:29:\d+ quota\.limits\[0\]/);
  });

  it('is one that has another’s name', async () => {
    const limits = ['{ name: x, calls: 1, window: day }', '{ name: x, calls: 2, window: month }'];
    expect(await only(limits)).toMatchObject({ message: 'x stands twice' });
  });
});

describe('limits of the fleet', () => {
  const FLEET = 'fleet: { redis: { addresses: ["127.0.0.1:6379"] } }\n';
  const LIMIT = '{ name: contract, calls: 5, window: month, scope: fleet }';

  it('become what they say', async () => {
    const generation = await loaded(written([LIMIT], FLEET));
    expect(generation.tenants[0]?.quota.limits).toMatchObject([{ name: 'contract', scope: 'fleet' }]);
    expect(generation.fleet).toMatchObject({ namespace: 'bulkhead', localShare: 0.1, leaseMs: 5_000, timeoutMs: 250 });
    expect(generation.fleet?.redis).toMatchObject({ addresses: [{ host: '127.0.0.1', port: 6379 }], cluster: false });
  });

  it('need a place where they are counted, in tenants and in organisations', async () => {
    expect(await only([LIMIT])).toMatchObject({
      at: expect.stringMatching(/^tenants\/acme\.yaml:\d+:\d+ quota\.limits\[0\]\.scope$/),
      message: 'is the fleet’s, and the main file does not say where it counts',
      fix: 'add fleet: { redis: … } to the main file, or remove scope',
    });
    const organisation = `organisations:\n  - name: group\n    limits: [${LIMIT}]\n`;
    expect((await only([], organisation, '  organisation: group\n')).at).toMatch(
      /organisations\[0\]\.limits\[0\]\.scope$/,
    );
  });

  it('are not of calls in progress', async () => {
    const line = await only(['{ name: at-once, concurrentCalls: 5, scope: fleet }'], FLEET);
    expect(line.message).toBe('is not counted over several sidecars: calls in progress are each one’s own');
  });

  it.each([
    ['{ redis: { addresses: [] } }', 'fleet.redis.addresses', 'is empty'],
    ['{ redis: { addresses: ["127.0.0.1"] } }', 'fleet.redis.addresses[0]', '"127.0.0.1" is not a host and a port'],
    ['{ redis: { addresses: ["127.0.0.1:0"] } }', 'fleet.redis.addresses[0]', '0 is not a port'],
    ['{ redis: { addresses: ["127.0.0.1:1"], protocol: 4 } }', 'fleet.redis.protocol', 'is neither 2 nor 3'],
    ['{ redis: { addresses: ["127.0.0.1:1"], username: me } }', 'fleet.redis.username', 'has no password'],
    [
      '{ redis: { addresses: ["127.0.0.1:1"], cluster: true, database: 1 } }',
      'fleet.redis.database',
      'is not 0, and a cluster has no other',
    ],
    [
      '{ redis: { addresses: ["127.0.0.1:1"] }, timeout: 600ms, lease: 1s }',
      'fleet.timeout',
      'is more than half of the lease: one answer that is late, and it is over',
    ],
    [
      '{ redis: { addresses: ["redis.internal:6379"] } }',
      'fleet.redis',
      'sends numbers, and the password, in the clear, and believes whoever answers',
    ],
  ])('say of %s what is wrong', async (fleet, path, message) => {
    const line = await only([], `fleet: ${fleet}\n`);
    expect(line.at.split(' ')[1]).toBe(path);
    expect(line.message).toBe(message);
  });
});

describe('a rate limit service', () => {
  const SERVICE = (more: string) =>
    `  service: { address: "http://127.0.0.1:8081", domain: models, descriptors: [[tenant]]${more} }\n`;

  it('becomes what it says', async () => {
    const generation = await loaded(written([], '', SERVICE('')));
    expect(generation.tenants[0]?.quota.service).toEqual({
      target: 'dns:127.0.0.1:8081',
      display: 'http://127.0.0.1:8081',
      tls: undefined,
      domain: 'models',
      descriptors: [['tenant']],
      timeoutMs: 20,
      whenUnavailable: 'refuse',
    });
  });

  it.each([
    ['{ address: "127.0.0.1:1", domain: m, descriptors: [[tenant]] }', 'address', '"127.0.0.1:1" is not an address'],
    ['{ address: "http://127.0.0.1:1", domain: m, descriptors: [] }', 'descriptors', 'is empty'],
    ['{ address: "http://127.0.0.1:1", domain: m, descriptors: [[]] }', 'descriptors[0]', 'is empty'],
    [
      '{ address: "http://127.0.0.1:1", domain: m, descriptors: [[tenant]], ca: x }',
      'ca',
      'has a meaning for https:// only',
    ],
    [
      '{ address: "http://rls.internal:1", domain: m, descriptors: [[tenant]] }',
      'address',
      'who calls what is told to rls.internal in clear text, and whoever answers is believed',
    ],
  ])('of %s is told what is wrong with it', async (service, key, message) => {
    const line = await only([], '', `  service: ${service}\n`);
    expect(line.at.split(' ')[1]).toBe(`quota.service.${key}`);
    expect(line.message).toBe(message);
  });
});
