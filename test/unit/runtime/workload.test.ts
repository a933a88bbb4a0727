/**
 * A whole process that takes its certificates from an agent: it waits for the first, takes over the next, and says what is missing.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Supervisor } from '../../../src/runtime/supervisor.ts';
import { until } from '../../e2e/harness/until.ts';
import { edit, emptyDirectory, SMALL_MAIN, write, writeSmall } from '../../fakes/configuration.ts';
import { craftClient } from '../../fakes/crafted-certificates.ts';
import { bundlesOf, svidEntry, trustDomain, WorkloadAgent } from '../../fakes/workload-agent.ts';

/** Threads are started, on a machine that may have other things to do. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const acme = trustDomain('acme.example');
const client = craftClient(acme.ca, 'spiffe://acme.example/client');
const ANSWERS = { FetchX509SVID: { svids: [svidEntry(acme, 'ingress')] }, FetchX509Bundles: bundlesOf(acme) };

let directory: string;
let mainFile: string;
let agent: WorkloadAgent;
let lines: string[];
let supervisor: Supervisor | undefined;

beforeEach(async () => {
  directory = emptyDirectory();
  mainFile = writeSmall(directory);
  agent = await WorkloadAgent.start(ANSWERS);
  lines = [];
  const tenant = join(directory, 'tenants/acme.yaml');
  edit(
    tenant,
    '\n  chain: ../pki/acme/server.pem\n  key: ../pki/acme/server-key.pem',
    ' { spiffeId: spiffe://acme.example/ingress }',
  );
  edit(tenant, 'clientCa: ../pki/acme/client-ca.pem', 'clientCa: { spiffeBundle: acme.example }');
});

afterEach(async () => {
  await supervisor?.stop('the test has ended');
  supervisor = undefined;
  agent.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function create(startTimeout: string): Promise<string | Supervisor> {
  const main = SMALL_MAIN.replace('8443', '0').replace('9901', '0');
  write(mainFile, `${main}workers: 1\nspiffe: { workloadApi: "${agent.display}", startTimeout: ${startTimeout} }\n`);
  const log = pino({}, { write: (line) => lines.push(line) });
  const created = await Supervisor.create({ mainFile, version: '0.0.0', log });
  if (!created.ok) return created.error.map(({ path, message, fix }) => `${path}: ${message}; ${fix}`).join('\n');
  supervisor = created.value;
  return supervisor;
}

async function start(): Promise<{ readonly port: number; readonly adminPort: number; readonly process: Supervisor }> {
  const process = await create('30s');
  if (typeof process === 'string') throw new Error(process);
  const { port, adminPort } = await process.start();
  if (port === undefined) throw new Error('it has no port');
  return { port, adminPort, process };
}

/** Shakes hands as a client. Resolves with the server's certificate, or with why there is no connection. */
function shake(port: number, issued = client): Promise<string> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connect({
      port,
      host: '127.0.0.1',
      servername: 'acme.test',
      ca: acme.ca.certPem,
      cert: issued.certPem,
      key: issued.keyPem,
      ALPNProtocols: ['h2'],
      checkServerIdentity: () => undefined,
    });
    const done = (text: string): void => {
      socket.destroy();
      resolve(text);
    };
    // In TLS 1.3 a refused client hears of it after its own handshake: from what the server says next.
    socket.once('data', () => done(socket.getPeerX509Certificate()?.subjectAltName ?? ''));
    socket.once('error', (error) => done(error.message));
    socket.once('close', () => done('closed'));
  });
}

async function page(port: number, path: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).text();
}

describe('a start', () => {
  it('waits for what the configuration takes', async () => {
    agent.answers.set('FetchX509SVID', 'silence');
    const created = create('30s');
    await until('it asks', () => (agent.open('FetchX509SVID') > 0 ? true : undefined), 20_000);
    agent.say('FetchX509SVID', ANSWERS.FetchX509SVID);
    expect(await created).toBeInstanceOf(Supervisor);
  });

  it('is refused when nothing comes, and says which socket and what to do', async () => {
    agent.leave();
    expect(await create('1s')).toMatch(
      new RegExp(
        `^spiffe.workloadApi: ${agent.display} has given no certificate within 1 s: UNAVAILABLE.*; start the agent`,
      ),
    );
  });

  it('is refused when the agent has no identity for it', async () => {
    agent.answers.set('FetchX509SVID', { code: status.PERMISSION_DENIED, details: 'no identity issued' });
    expect(await create('1s')).toMatch(/PERMISSION_DENIED: no identity issued; register an entry for this process/);
  });

  it('is refused when none of the certificates is one that it takes, and says which there are', async () => {
    agent.answers.set('FetchX509SVID', { svids: [svidEntry(acme, 'somebody')] });
    expect(await create('1s')).toMatch(
      /gives no such certificate; it gives spiffe:\/\/acme.example\/somebody; register/,
    );
  });

  it('is refused at once when the agent says that asking again is of no use', async () => {
    agent.answers.set('FetchX509SVID', { code: status.INVALID_ARGUMENT, details: 'security header missing' });
    expect(await create('5m')).toMatch(/INVALID_ARGUMENT: security header missing/);
  });
});

describe('a running process', () => {
  it('serves with what the agent gives, and with the next one as soon as it comes', async () => {
    const { port, adminPort } = await start();
    expect(await shake(port)).toBe('URI:spiffe://acme.example/ingress');
    const rotated = svidEntry(acme, 'ingress', { notAfter: new Date('2031-05-05T00:00:00Z') });
    agent.say('FetchX509SVID', { svids: [rotated] });
    const end = 'bulkhead_svid_not_after_seconds{svid="spiffe://acme.example/ingress"} 1935705600';
    await until('it', async () => ((await page(adminPort, '/metrics')).includes(end) ? true : undefined), 20_000);
    await until(
      'a generation',
      async () => (JSON.parse(await page(adminPort, '/config')).generation === 2 ? true : undefined),
      20_000,
    );
    expect(await shake(port)).toBe('URI:spiffe://acme.example/ingress');
    const config = await page(adminPort, '/config');
    expect(JSON.parse(config).workloadApi).toMatchObject({
      socket: agent.display,
      streams: { svids: { at: 'following' }, bundles: { at: 'following' } },
      certificates: [{ name: 'spiffe://acme.example/ingress', notAfter: '2031-05-05T00:00:00.000Z' }],
      missing: [],
    });
    const key = rotated.x509SvidKey.toString('base64').slice(30, 60);
    for (const text of [config, ...lines]) expect(text).not.toContain(key);
  });

  it('lets nobody in whose authorities are gone, and everybody again when they are back', async () => {
    const { port, adminPort } = await start();
    expect(await shake(port)).toContain('ingress');
    const other = trustDomain('globex.example');
    agent.say('FetchX509Bundles', bundlesOf(other));
    const reason = 'does not give the authorities of acme.example';
    await until('it', async () => ((await page(adminPort, '/readyz')).includes(reason) ? true : undefined), 20_000);
    await until('nobody', async () => ((await shake(port)).includes('ingress') ? undefined : true), 20_000);
    expect(await shake(port, craftClient(other.ca, 'spiffe://acme.example/client'))).not.toContain('ingress');
    agent.say('FetchX509Bundles', bundlesOf(acme, other));
    await until('they', async () => ((await shake(port)).includes('ingress') ? true : undefined), 20_000);
    // A client of another trust domain's authority, with ours in its name, is still nobody here.
    expect(await shake(port, craftClient(other.ca, 'spiffe://acme.example/client'))).not.toContain('ingress');
  });

  it('goes on while the agent is away, and says so', async () => {
    const { port, adminPort } = await start();
    agent.leave();
    const reason = 'the SPIFFE Workload API (svids) fails since';
    await until(
      'it says so',
      async () => ((await page(adminPort, '/readyz')).includes(reason) ? true : undefined),
      20_000,
    );
    expect((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status).toBe(200);
    expect(await page(adminPort, '/metrics')).toContain('bulkhead_workload_api_followed{stream="svids"} 0');
    expect(await shake(port)).toContain('ingress');
    await agent.listen();
    await until(
      'it follows',
      async () => ((await page(adminPort, '/readyz')).includes('fails') ? undefined : true),
      60_000,
    );
  });

  it('takes over what another agent gives when the configuration names another socket, also that it gives less', async () => {
    const { process, port, adminPort } = await start();
    const other = await WorkloadAgent.start({ ...ANSWERS, FetchX509Bundles: bundlesOf(trustDomain('globex.example')) });
    try {
      const text = readFileSync(mainFile, 'utf8').replace(agent.display, other.display).replace('30s', '1s');
      write(mainFile, text);
      await process.reload('the test');
      expect(process.findings).toEqual([]);
      expect(JSON.parse(await page(adminPort, '/config')).workloadApi).toMatchObject({
        socket: other.display,
        missing: ['the authorities of acme.example'],
      });
      expect(await shake(port)).not.toContain('ingress');
    } finally {
      other.stop();
    }
  });

  it('is not ready when no tenant has a certificate', async () => {
    const { adminPort } = await start();
    agent.say('FetchX509SVID', { svids: [svidEntry(acme, 'somebody')] });
    await until(
      'it is not',
      async () => ((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok ? undefined : true),
      20_000,
    );
    expect(await page(adminPort, '/readyz')).toContain('no tenant has a certificate');
    agent.say('FetchX509SVID', ANSWERS.FetchX509SVID);
    await until(
      'it is',
      async () => ((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok ? true : undefined),
      20_000,
    );
  });

  it('refuses a change that needs what no agent gives, and keeps the last good one', async () => {
    const { process, adminPort } = await start();
    write(
      mainFile,
      (await import('node:fs'))
        .readFileSync(mainFile, 'utf8')
        .replace(agent.display, 'unix:/nowhere.sock')
        .replace('30s', '1s'),
    );
    await process.reload('the test');
    expect(process.findings).toMatchObject([
      { path: 'spiffe.workloadApi', message: expect.stringContaining('unix:/nowhere.sock') },
    ]);
    expect(JSON.parse(await page(adminPort, '/config')).generation).toBe(1);
  });
});
