/**
 * The main file: what it becomes, and every way in which it can be wrong.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_USAGE, type Generation } from '../../../src/config/generation.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import type { Environment } from '../../../src/config/telemetry.ts';
import { createCa, issueClient } from '../../../src/identity/issue.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, SMALL_MAIN, write, writeSmall } from '../../fakes/configuration.ts';

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

function spoilt(spoil: Spoil): string {
  made += 1;
  const directory = join(root, String(made));
  mkdirSync(directory);
  cpSync(template, directory, { recursive: true });
  spoil(directory);
  return directory;
}

const main =
  (before: string, after: string): Spoil =>
  (directory) =>
    edit(join(directory, 'bulkhead.yaml'), before, after);
const added = (text: string): Spoil => main(SMALL_MAIN, SMALL_MAIN + text);
const inTelemetry = (text: string): Spoil => main('  traces: { sample: 50% }\n', text);

async function loaded(spoil: Spoil, environment: Environment = {}): Promise<Generation> {
  const result = await new ConfigurationLoader({ environment }).load(join(spoilt(spoil), 'bulkhead.yaml'), undefined);
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

describe('what may be fetched', () => {
  test('is from public addresses, and from those that are named', async () => {
    expect((await loaded(added(''))).fetching).toEqual({ allowAddresses: [] });
    const named = await loaded(added('fetching: { allowAddresses: [10.0.0.0/8, "fd00::/8"] }\n'));
    expect(named.fetching).toEqual({ allowAddresses: ['10.0.0.0/8', 'fd00::/8'] });
  });

  test.each(['169.254.169.254', '224.0.0.0/4', '0.0.0.0', '"fe80::/10"'])('is never from %s', async (range) => {
    const { refused, lines } = await findingsOf(spoilt(added(`fetching: { allowAddresses: [${range}] }\n`)));
    expect(refused).toBe(true);
    expect(lines.map((line) => line.message)).toEqual(['names an address that nothing is ever fetched from']);
  });
});

describe('what is left away', () => {
  test('has its default', async () => {
    const generation = await loaded(main('  traces: { sample: 50% }\n', '  serviceName: edge\n'));
    expect(generation.limits).toEqual({
      handshakeTimeoutMs: 10_000,
      maxConnections: 10_000,
      maxConnectionsPerTenant: 5_000,
      maxConnectionsPerAddress: 5_000,
      maxHandshakes: 1_000,
      handshakeShare: 0.2,
      coolOffMs: 1_000,
      idleTimeoutMs: 900_000,
      maxConnectionAgeMs: undefined,
      maxConnectionAgeGraceMs: undefined,
      keepalive: { minTimeMs: 5_000, permitWithoutCalls: true },
      maxDeadlineMs: undefined,
      maxConcurrentStreams: 256,
      maxHeaderListBytes: 16_384,
      streamWindowBytes: 262_144,
      connectionWindowBytes: 1_048_576,
      maxMessageBytes: 1024 ** 3,
      maxInflatedBytes: 64 * 1024 ** 2,
      // A part of this machine's memory.
      maxHeldBytes: expect.any(Number),
      workerHeapBytes: 1024 ** 3,
    });
    expect(generation.workers).toBe(Math.min(availableParallelism(), 4));
    expect(generation.telemetry).toEqual({ serviceName: 'edge', otlp: undefined, traceSampleRatio: 1 });
    expect(generation.shutdown.drainTimeoutMs).toBe(30_000);
    expect(generation.log.level).toBe('info');
    expect(generation.listener).toEqual({ address: '127.0.0.1', port: 8443, minTlsVersion: 'TLSv1.3' });
    expect(generation.audit).toMatchObject({ segmentBytes: 64 * 1024 ** 2, maxBytes: 1024 ** 3, whenFull: 'refuse' });
    expect(generation.usage).toEqual({ hourlyDays: 35, dailyDays: 400, maxRows: 1_000 });
    expect(generation.usage).toEqual(DEFAULT_USAGE);
  });
});

describe('what is written', () => {
  test('is in the generation, in the units of its names', async () => {
    const generation = await loaded((directory) => {
      write(
        join(directory, 'bulkhead.yaml'),
        `listen: { address: "[::1]:0", minTlsVersion: TLSv1.2 }
admin: { address: 127.0.0.1:0 }
workers: 3
limits: { handshakeTimeout: 500ms, maxHeaderList: 8KiB, streamWindow: 64KiB, connectionWindow: 64KiB }
audit: { directory: /tmp/audit, segmentSize: 1MiB, maxSize: 2MiB, whenFull: drop }
usage: { keepHourly: 36h, keepDaily: 7d, maxRows: 20 }
telemetry: { traces: { sample: 12.5% }, usage: {}, otlp: { endpoint: "http://127.0.0.1:4318" } }
shutdown: { drainTimeout: 5m }
log: { level: debug }
tenants: ./tenants
`,
      );
    });
    expect(generation).toMatchObject({
      number: 1,
      listener: { address: '::1', port: 0, minTlsVersion: 'TLSv1.2' },
      workers: 3,
      limits: { handshakeTimeoutMs: 500, maxHeaderListBytes: 8192, streamWindowBytes: 65_536 },
      audit: { directory: '/tmp/audit', segmentBytes: 1024 ** 2, maxBytes: 2 * 1024 ** 2, whenFull: 'drop' },
      usage: { hourlyDays: 1, dailyDays: 7, maxRows: 20 },
      telemetry: { traceSampleRatio: 0.125, usageIntervalMs: 60_000 },
      shutdown: { drainTimeoutMs: 300_000 },
      log: { level: 'debug' },
    });
  });
});

type Case = readonly [wrong: string, spoil: Spoil, at: string, message: RegExp, fix: RegExp];

const otlp = (text: string): Spoil => inTelemetry(`  otlp:\n${text}`);

const WRONG: readonly Case[] = [
  [
    'a host name to listen on',
    main('127.0.0.1:8443', 'localhost:8443'),
    '1:20 listen.address',
    /not an IP address/,
    /0\.0\.0\.0:8443/,
  ],
  [
    'a port too high',
    main('127.0.0.1:8443', '127.0.0.1:65536'),
    '1:20 listen.address',
    /not an IP address and a/,
    /8443/,
  ],
  ['bare IPv6', main('127.0.0.1:8443', '"::1:8443"'), '1:20 listen.address', /not an IP address and a port/, /8443/],
  [
    'an old TLS',
    main(':8443 }', ':8443, minTlsVersion: TLSv1.1 }'),
    '1:51 listen.minTlsVersion',
    /"TLSv1\.1" is not/,
    /TLSv1\.[23]/,
  ],
  [
    'one port for two things',
    main('127.0.0.1:9901', '127.0.0.1:8443'),
    '2:19 admin.address',
    /tenants’ port/,
    /another/,
  ],
  ['no workers', added('workers: 0\n'), '8:10 workers', /from 1 to 64/, /from 1 to 64/],
  ['too many workers', added('workers: 65\n'), '8:10 workers', /from 1 to 64/, /from 1 to 64/],
  ['workers in words', added('workers: all\n'), '8:10 workers', /"all" is not a number of workers/, /auto/],
  ['an unknown level', added('log: { level: warning }\n'), '8:15 log.level', /"warning" is not known/, /mean warn\?/],
  [
    'an audit log too small',
    main('directory: audit', 'directory: audit\n  maxSize: 100MiB'),
    '5:12 audit.maxSize',
    /two segments/,
    /twice/,
  ],
  [
    'usage metrics that go nowhere',
    inTelemetry('  usage: { interval: 10s }\n'),
    '6:3 telemetry.usage',
    /nothing says where to/,
    /telemetry\.otlp\.endpoint/,
  ],
  ['usage kept for less than a day', added('usage: { keepHourly: 23h }\n'), '8:22 usage.keepHourly', /from 1d/, /35d/],
  ['usage in no rows', added('usage: { maxRows: 0 }\n'), '8:19 usage.maxRows', /from 1 to 10000/, /from 1 to 10000/],
  [
    'a grace without an age',
    added('limits: { maxConnectionAgeGrace: 5m }\n'),
    '8:11 limits.maxConnectionAgeGrace',
    /without maxConnectionAge/,
    /add maxConnectionAge/,
  ],
  [
    'a connection window too small',
    added('limits: { streamWindow: 2MiB }\n'),
    '8:9 limits.connectionWindow',
    /less than limits\.streamW/,
    /least/,
  ],
  ['more than all', main('50%', '101%'), '6:21 telemetry.traces.sample', /from 0% to 100%/, /100%/],
  ['a ratio without sign', main('50%', '0.5'), '6:21 telemetry.traces.sample', /0\.5 is not a percentage/, /100%/],
  ['no tenants', main('tenants: tenants/\n', ''), '1:1 tenants', /is missing/, /Directory/],
  [
    'a missing directory',
    main('tenants: tenants/', 'tenants: nobody'),
    '7:10 tenants',
    /nobody does not exist/,
    /directory/,
  ],
  [
    'a file as directory',
    main('tenants: tenants/', 'tenants: bulkhead.yaml'),
    '7:10 tenants',
    /no directory/,
    /directory/,
  ],
  ['an unknown key', added('limit: {}\n'), '8:1 limit', /not a known key/, /did you mean limits\?/],
  [
    'OTLP without endpoint',
    otlp('    protocol: grpc\n'),
    '7:5 telemetry.otlp',
    /no endpoint/,
    /OTEL_EXPORTER_OTLP_ENDPOINT/,
  ],
  [
    'an endpoint that is no URL',
    otlp('    endpoint: collector:4317\n'),
    '7:15 telemetry.otlp.endpoint',
    /not an http/,
    /http:\/\/host/,
  ],
  [
    'a path for gRPC',
    otlp('    endpoint: http://c:4317/v1\n    protocol: grpc\n'),
    '7:15 telemetry.otlp.endpoint',
    /path/,
    /host:port/,
  ],
  [
    'a password in the endpoint',
    otlp('    endpoint: http://a:b@c:4318\n'),
    '7:15 telemetry.otlp.endpoint',
    /password/,
    /headers/,
  ],
  [
    'another protocol',
    otlp('    endpoint: http://c:4318\n    protocol: http/json\n'),
    '8:15 telemetry.otlp.protocol',
    /"http\/json"/,
    /http\/protobuf/,
  ],
  [
    'a CA for clear text',
    otlp('    endpoint: http://c:4318\n    ca: x.pem\n'),
    '8:5 telemetry.otlp.ca',
    /https:\/\/ only/,
    /remove/,
  ],
  [
    'a missing CA',
    otlp('    endpoint: https://c:4318\n    ca: x.pem\n'),
    '8:9 telemetry.otlp.ca',
    /does not exist/,
    /path/,
  ],
  [
    'a header name that is none',
    otlp('    endpoint: http://c:4318\n    headers: { "a b": c }\n'),
    '8:16 telemetry.otlp.headers.a b',
    /name/,
    /header name/,
  ],
];

describe('what is wrong', () => {
  test.each(WRONG)('finds %s at its place', async (_, spoil, at, message, fix) => {
    const { refused, lines } = await findingsOf(spoilt(spoil));
    expect(refused).toBe(true);
    expect(lines).toContainEqual({
      at: `bulkhead.yaml:${at}`,
      severity: 'error',
      message: expect.stringMatching(message),
      fix: expect.stringMatching(fix),
    });
  });

  test('a main file that is not there is said so', async () => {
    const { lines } = await findingsOf(spoilt((directory) => rmSync(join(directory, 'bulkhead.yaml'))));
    expect(lines).toEqual([
      {
        at: 'bulkhead.yaml:0:0',
        message: 'does not exist',
        fix: 'name the main file with --config',
        severity: 'error',
      },
    ]);
  });

  test('the value of a header is not repeated: it is a secret', async () => {
    const { refused, lines } = await findingsOf(
      spoilt(otlp('    endpoint: http://c:4318\n    headers: { k: 12345 }\n')),
    );
    expect(refused).toBe(true);
    expect(lines[0]?.at).toBe('bulkhead.yaml:8:19 telemetry.otlp.headers.k');
    expect(JSON.stringify(lines)).not.toContain('12345');
  });

  test('findings of the tenants are there beside those of the main file', async () => {
    const { lines } = await findingsOf(
      spoilt((directory) => {
        added('limit: {}\n')(directory);
        edit(join(directory, 'tenants/acme.yaml'), '1MiB', '1MB');
      }),
    );
    expect(lines.map((line) => line.at)).toEqual(['bulkhead.yaml:8:1 limit', 'tenants/acme.yaml:28:14 byteAccount']);
  });
});

describe('the tenants’ directory', () => {
  test('without a tenant is a warning', async () => {
    const { refused, lines } = await findingsOf(spoilt((directory) => rmSync(join(directory, 'tenants/acme.yaml'))));
    expect(refused).toBe(false);
    expect(lines.map((line) => [line.at, line.message])).toEqual([
      ['bulkhead.yaml:7:10 tenants', 'tenants holds no tenant’s file: every connection will be refused'],
    ]);
  });

  test('with a .yml file is a warning, since it is not read', async () => {
    const { refused, lines } = await findingsOf(spoilt((directory) => write(join(directory, 'tenants/b.yml'), '')));
    expect(refused).toBe(false);
    expect(lines.map((line) => [line.at, line.fix])).toEqual([['bulkhead.yaml:7:10 tenants', 'rename it to b.yaml']]);
  });

  test('may have hidden and other files, which are not read', async () => {
    const { lines } = await findingsOf(
      spoilt((directory) => {
        write(join(directory, 'tenants/.b.yaml.swp'), 'x');
        write(join(directory, 'tenants/.b.yaml'), 'x');
        write(join(directory, 'tenants/README.md'), 'x');
      }),
    );
    expect(lines).toEqual([]);
  });
});

describe('OpenTelemetry’s environment', () => {
  const environment = {
    OTEL_SERVICE_NAME: 'from-environment',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4317/',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20b, other=c',
  };

  test('is used where the file says nothing', async () => {
    const { telemetry } = await loaded(() => undefined, environment);
    expect(telemetry).toEqual({
      serviceName: 'from-environment',
      otlp: {
        protocol: 'grpc',
        endpoint: 'http://collector:4317',
        headers: { 'api-key': 'a b', other: 'c' },
        caPem: undefined,
        clientCertificate: undefined,
        timeoutMs: 10_000,
      },
      traceSampleRatio: 0.5,
    });
  });

  test('gives way to the file, key by key', async () => {
    const file =
      '  serviceName: from-file\n  otlp: { endpoint: "http://other:4317", headers: { k: v }, timeout: 1s }\n';
    const { telemetry } = await loaded(inTelemetry(file), environment);
    expect(telemetry.serviceName).toBe('from-file');
    expect(telemetry.otlp).toMatchObject({
      endpoint: 'http://other:4317',
      protocol: 'grpc',
      headers: { k: 'v' },
      timeoutMs: 1000,
    });
  });

  test('is unset where it is empty', async () => {
    const { telemetry } = await loaded(() => undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_SERVICE_NAME: '' });
    expect(telemetry).toMatchObject({ serviceName: 'bulkhead', otlp: undefined });
  });

  test.each([
    ['OTEL_EXPORTER_OTLP_PROTOCOL', { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }, /"http\/json" is not supported/],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector' }, /not an http/],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'secret' }, /key=value/],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'k=secret%zz' }, /key=value/],
    ['OTEL_EXPORTER_OTLP_HEADERS', { OTEL_EXPORTER_OTLP_HEADERS: 'k=secret%0d%0a' }, /key=value/],
  ])('has its findings under %s', async (name, change, message) => {
    const { refused, lines } = await findingsOf(
      spoilt(() => undefined),
      { environment: { ...environment, ...change } },
    );
    expect(refused).toBe(true);
    expect(lines.map((line) => line.at)).toEqual([`environment:0:0 ${name}`]);
    expect(lines[0]?.message).toMatch(message);
    expect(JSON.stringify(lines)).not.toContain('secret');
  });

  test('on the other protocol’s port is a warning', async () => {
    const { refused, lines } = await findingsOf(
      spoilt(() => undefined),
      {
        environment: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4317' },
      },
    );
    expect(refused).toBe(false);
    expect(lines[0]?.message).toBe('port 4317 is usually OTLP over grpc, but the protocol is http/protobuf');
  });
});

test('the collector’s CA and our certificate for it are read', async () => {
  const ca = createCa({ commonName: 'collector CA', days: 365 });
  const client = issueClient(ca, { commonName: 'bulkhead', days: 365 });
  const { telemetry } = await loaded((directory) => {
    write(join(directory, 'otlp/ca.pem'), ca.certPem);
    write(join(directory, 'otlp/client.pem'), client.certPem);
    write(join(directory, 'otlp/key.pem'), client.keyPem);
    const files = 'ca: otlp/ca.pem, clientCertificate: { chain: otlp/client.pem, key: otlp/key.pem }';
    inTelemetry(`  otlp: { endpoint: "https://c:4318", ${files} }\n`)(directory);
  });
  expect(telemetry.otlp?.caPem).toBe(ca.certPem);
  expect(telemetry.otlp?.clientCertificate).toEqual({ chainPem: client.certPem, keyPem: client.keyPem });
});
