import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { readRecords } from '../../../src/audit/reader.ts';
import { verifyDirectory } from '../../../src/audit/verify.ts';
import { Supervisor } from '../../../src/runtime/supervisor.ts';
import { until } from '../../e2e/harness/until.ts';
import { EGRESS_MAIN, emptyDirectory, SMALL_MAIN, writeClientPki, writeSmall } from '../../fakes/configuration.ts';
import { OtlpSink } from '../../fakes/otlp-sink.ts';

/** Threads are started, on a machine that may have other things to do. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly settings?: readonly string[];
}

let directory: string;
let mainFile: string;
let supervisor: Supervisor;
let adminPort: number;
let lines: Line[];
const servers: Server[] = [];

beforeEach(() => {
  directory = emptyDirectory();
  mainFile = writeSmall(directory);
  lines = [];
});

afterEach(async () => {
  await supervisor.stop('the test has ended');
  for (const server of servers.splice(0)) server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Starts with the small configuration, on any ports, and these keys of the main file. */
async function start(main: object, text = SMALL_MAIN): Promise<void> {
  writeFileSync(mainFile, text);
  edit({ workers: 1, admin: { address: '127.0.0.1:0' }, ...main });
  const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) });
  const created = await Supervisor.create({ mainFile, version: '0.0.0', log });
  if (!created.ok) throw new Error(JSON.stringify(created.error));
  supervisor = created.value;
  ({ adminPort } = await supervisor.start());
}

/** Changes keys of the main file; undefined removes one. */
function edit(main: Readonly<Record<string, unknown>>): void {
  const before: object = parse(readFileSync(mainFile, 'utf8'));
  writeFileSync(mainFile, stringify({ ...before, ...main }));
}

async function reload(main: Readonly<Record<string, unknown>>): Promise<void> {
  edit(main);
  await supervisor.reload('the test');
}

function accepted(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const say = (answer: boolean) => (): void => {
      resolve(answer);
      socket.destroy();
    };
    socket.once('connect', say(true));
    socket.once('error', say(false));
  });
}

/** A port that somebody has, until the test gives it back. */
async function takenPort(): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function freePort(): Promise<number> {
  const port = await takenPort();
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  return port;
}

async function events(): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const stored of readRecords(join(directory, 'audit'), {})) {
    if ('record' in stored && stored.record.type === 'event') found.push(stored.record.event);
  }
  return found;
}

describe('the metrics', () => {
  it('keep nothing of a tenant that was leaving while somebody looked', async () => {
    await start({ listen: { address: '127.0.0.1:0' } });
    const strange = async (): Promise<readonly string[]> => {
      const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`);
      return (await response.text()).split('\n').filter((line) => line.includes('_other'));
    };
    const tenants = supervisor.generation.tenants.map(({ id }) => id);
    // So it is in the middle of a change: what is counted is of the next generation, what is looked at of this one.
    supervisor.metrics.setTenants([]);
    expect(await strange()).not.toEqual([]);
    supervisor.metrics.setTenants(tenants);
    expect(await strange()).toEqual([]);
  });
});

describe('the tenants’ port', () => {
  it('stays when any port is asked for again, and moves when another is', async () => {
    await start({ listen: { address: '127.0.0.1:0' } });
    const { port } = supervisor;
    await reload({ listen: { address: '127.0.0.1:0', minTlsVersion: 'TLSv1.2' } });
    expect([supervisor.generation.number, supervisor.port]).toEqual([2, port]);
    // The one that it has, by name.
    await reload({ listen: { address: `127.0.0.1:${port}` } });
    expect([supervisor.generation.number, supervisor.port]).toEqual([3, port]);
    await reload({ listen: { address: '127.0.0.1:0' } });
    expect(supervisor.port).not.toBe(port);
    expect([await accepted(supervisor.port ?? 0), await accepted(port ?? 0)]).toEqual([true, false]);
    // The same, for all addresses of the machine.
    const anywhere = supervisor.port;
    await reload({ listen: { address: `0.0.0.0:${anywhere}` } });
    expect([supervisor.port, supervisor.pool.listen?.address, await accepted(anywhere ?? 0)]).toEqual([
      anywhere,
      '0.0.0.0',
      true,
    ]);
    expect(lines.filter(({ level }) => level > 30)).toEqual([]);
  });

  it('that is taken has the whole change refused, and said', async () => {
    await start({ listen: { address: '127.0.0.1:0' } });
    const { port } = supervisor;
    const taken = await takenPort();
    await reload({ workers: 2, listen: { address: `127.0.0.1:${taken}` } });
    expect(supervisor.findings).toMatchObject([
      { file: mainFile, path: 'listen.address', message: expect.stringContaining('EADDRINUSE'), severity: 'error' },
    ]);
    expect([supervisor.generation.number, supervisor.port, await accepted(port ?? 0)]).toEqual([1, port, true]);
    await until('one worker', () => (supervisor.pool.workers.length === 1 ? true : undefined), 30_000);
    expect(await events()).toContain('configuration_refused');
    expect(supervisor.metrics.render()).toMatch(/^bulkhead_config_reload_failures_total [1-9]/m);
    expect(lines.filter(({ level }) => level === 50).map(({ msg }) => msg)).toContain(
      'the changed configuration is refused; the last good one stays',
    );
    // What is asked for next is judged by itself.
    await reload({ listen: { address: '127.0.0.1:0' } });
    expect([supervisor.generation.number, supervisor.generation.workers, supervisor.findings]).toEqual([2, 2, []]);
  });

  it('comes and goes beside egress', async () => {
    writeClientPki(directory, 'acme');
    const egress = parse(EGRESS_MAIN.replace('127.0.0.1:9001', `127.0.0.1:${await freePort()}`)).egress;
    await start({ egress }, 'audit: { directory: audit }\n');
    expect(supervisor.port).toBe(undefined);
    await reload({ listen: { address: '127.0.0.1:0' }, tenants: 'tenants/' });
    const { port } = supervisor;
    expect([supervisor.findings, await accepted(port ?? 0)]).toEqual([[], true]);
    await reload({ listen: undefined, tenants: undefined });
    expect([supervisor.port, await accepted(port ?? 0)]).toEqual([undefined, false]);
  });
});

describe('the number of workers', () => {
  it('follows the configuration, with all of them listening', async () => {
    await start({ listen: { address: '127.0.0.1:0' } });
    await reload({ workers: 3 });
    expect([supervisor.pool.listening, supervisor.generation.workers]).toEqual([3, 3]);
    await reload({ workers: 1 });
    await until('one worker', () => (supervisor.pool.workers.length === 1 ? true : undefined), 30_000);
    await until(
      'their leave',
      async () => {
        return (await events()).filter((event) => event === 'worker_retired').length === 2 ? true : undefined;
      },
      30_000,
    );
    expect(lines.filter(({ level }) => level > 30)).toEqual([]);
    await supervisor.stop('the test');
    expect(await verifyDirectory(join(directory, 'audit'))).toMatchObject({ ok: true });
  });

  it('beyond what there is room for is refused', async () => {
    await start({ listen: { address: '127.0.0.1:0' } });
    await reload({ workers: 19 });
    expect(supervisor.findings).toMatchObject([{ path: 'workers', message: expect.stringContaining('18 workers') }]);
    expect([supervisor.generation.workers, supervisor.pool.listening]).toEqual([1, 1]);
  });
});

describe('the admin port', () => {
  it('moves, and stays when it cannot', async () => {
    await start({ listen: { address: '127.0.0.1:0' } });
    const next = await freePort();
    await reload({ admin: { address: `127.0.0.1:${next}` } });
    expect([await accepted(next), await accepted(adminPort)]).toEqual([true, false]);
    const taken = await takenPort();
    await reload({ admin: { address: `127.0.0.1:${taken}` } });
    expect(supervisor.findings).toMatchObject([{ path: 'admin.address' }]);
    expect(await accepted(next)).toBe(true);
    await reload({ admin: { address: `0.0.0.0:${next}` } });
    expect([supervisor.findings, await accepted(next)]).toEqual([[], true]);
  });

  it('that cannot be had at another address with the same port is opened again where it was', async () => {
    await start({ listen: { address: '127.0.0.1:0' } });
    const next = await freePort();
    await reload({ admin: { address: `127.0.0.1:${next}` } });
    // Nobody has this address: it is for documentation (RFC 5737).
    await reload({ admin: { address: `192.0.2.1:${next}` } });
    expect(supervisor.findings).toMatchObject([
      { path: 'admin.address', message: expect.stringContaining('192.0.2.1') },
    ]);
    expect(await accepted(next)).toBe(true);
  });
});

describe('telemetry', () => {
  const sinks: OtlpSink[] = [];
  const sink = async (): Promise<{ readonly endpoint: string; readonly seen: () => readonly unknown[] }> => {
    const made = new OtlpSink();
    sinks.push(made);
    const endpoint = await made.listenHttp();
    return { endpoint, seen: () => made.logs.map(({ attributes }) => attributes['bulkhead.event']) };
  };
  afterEach(async () => {
    for (const made of sinks.splice(0)) await made.close();
  });

  it('goes to another collector without loss, and to none', async () => {
    const [first, second] = [await sink(), await sink()];
    const telemetry = (endpoint: string, sample = '50%'): object => ({
      telemetry: { traces: { sample }, otlp: { endpoint } },
    });
    await start({ listen: { address: '127.0.0.1:0' }, ...telemetry(first.endpoint) });
    await until('the start', () => (first.seen().includes('start') ? true : undefined), 30_000);
    await reload({ ...telemetry(second.endpoint) });
    // At the latest by then everything has arrived, at one or the other.
    await until(
      'the change',
      () => {
        return [...first.seen(), ...second.seen()].includes('configuration_applied') ? true : undefined;
      },
      30_000,
    );
    const changes = (): number => lines.filter(({ msg }) => msg.startsWith('telemetry goes')).length;
    await until('the change', () => (changes() === 1 ? true : undefined), 30_000);
    // The share that is traced needs no other thread.
    await reload({ ...telemetry(second.endpoint, '20%') });
    await until('the second', () => (second.seen().includes('configuration_applied') ? true : undefined), 30_000);
    expect(changes()).toBe(1);
    await reload({ telemetry: { traces: { sample: '20%' } } });
    await until('the end', () => (changes() === 2 ? true : undefined), 30_000);
    expect(supervisor.telemetry.status).toBe(undefined);
    await supervisor.stop('the test');
    // Nothing twice and nothing lost of what came before there was no collector.
    const seen = [...first.seen(), ...second.seen()];
    expect(seen.filter((event) => event === 'configuration_applied').length).toBeGreaterThanOrEqual(2);
    expect(seen.filter((event) => event === 'start')).toHaveLength(1);
  });
});

describe('what waits for the next start', () => {
  it('is said with each change, and with none that has come into force', async () => {
    await start({ listen: { address: '127.0.0.1:0' } });
    const warned = (): readonly (readonly string[] | undefined)[] =>
      lines.filter(({ level }) => level === 40).map(({ settings }) => settings);
    await reload({ audit: { directory: 'elsewhere' }, limits: { workerHeap: '512MiB', handshakeTimeout: '5s' } });
    expect(warned()).toEqual([['audit', 'limits.handshakeTimeout', 'limits.workerHeap']]);
    expect(supervisor.generation.audit.directory).toBe(join(directory, 'audit'));
    await reload({ workers: 2, limits: undefined });
    expect(warned().slice(1)).toEqual([['audit']]);
    expect(supervisor.pool.listening).toBe(2);
  });

  it('is not the level of the log', async () => {
    await start({ listen: { address: '127.0.0.1:0' }, log: { level: 'warn' } });
    await reload({ log: { level: 'error' }, audit: { directory: 'elsewhere' } });
    expect(lines.filter(({ level }) => level === 40)).toEqual([]);
  });
});

describe('a warning about the configuration', () => {
  const TENANT = 'tenants/acme.yaml';
  const tenant = (before: string, after: string): void => {
    const path = join(directory, TENANT);
    writeFileSync(path, readFileSync(path, 'utf8').replace(before, after));
  };
  const END = ', expires: 2035-01-01T00:00:00Z';
  const warned = (): readonly string[] =>
    lines.filter(({ msg }) => msg.startsWith('configuration: ')).map(({ msg }) => msg);
  const shown = async (): Promise<{ readonly warnings: readonly object[]; readonly warningCount: number }> =>
    (await fetch(`http://127.0.0.1:${adminPort}/config`)).json() as never;

  it('is logged once for each generation, and is on the admin port as long as it holds', async () => {
    tenant(END, '');
    await start({});
    expect(warned()).toEqual(['configuration: the API key batch never expires']);
    expect(await shown()).toMatchObject({ warnings: [{ path: 'apiKeys[0].id', line: 16 }], warningCount: 1 });
    await supervisor.reload('a test');
    expect(warned()).toHaveLength(1);

    tenant('id: batch', `id: batch${END}`);
    await supervisor.reload('a test');
    expect(warned()).toHaveLength(1);
    expect(await shown()).toMatchObject({ warnings: [], warningCount: 0 });

    tenant('burst: 200', 'burst: 2');
    await supervisor.reload('a test');
    expect(warned()).toHaveLength(2);
  });
});
