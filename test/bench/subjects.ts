/**
 * What is compared: each subject is started on the first core, in front of the same backend, and ended by its pid.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { Child } from '../e2e/harness/child.ts';
import { freePorts } from '../e2e/harness/free-port.ts';
import { SUBJECT_CORE } from './load.ts';

export interface Ground {
  readonly directory: string;
  readonly backendPort: number;
  readonly serverName: string;
  /** OTLP/HTTP sink that answers and forgets. */
  readonly sinkPort: number;
}

export interface Running {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<unknown>;
}

export interface Subject {
  readonly name: 'haproxy' | 'bulkhead';
  readonly features: 'relay' | 'everything';
  start(ground: Ground): Promise<Running>;
}

const here = fileURLToPath(new URL('.', import.meta.url));
const NODE = process.execPath;

async function pinned(name: string, command: string, args: readonly string[], port: number): Promise<Running> {
  const child = await Child.spawn(name, {
    command: 'taskset',
    args: ['-c', SUBJECT_CORE, command, ...args],
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
  });
  await child.until('listening', async () => {
    if (!child.running) throw new Error(`${name} ended:\n${child.output}`);
    await sleep(20);
    return portIsOpen(port);
  });
  // `taskset` has replaced itself by the command: the pid is the subject's own.
  return { port, pid: child.pid, stop: () => child.stop(10_000) };
}

async function portIsOpen(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error('no free port');
  return port;
}

const haproxy: Subject = {
  name: 'haproxy',
  features: 'relay',
  start: async (ground) => {
    const port = await freePort();
    const file = join(ground.directory, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  nbthread 1
  tune.h2.max-concurrent-streams 1000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:${port} ssl crt ${join(ground.directory, 'server.both.pem')} alpn h2
  default_backend b
backend b
  server s1 127.0.0.1:${ground.backendPort} proto h2
`,
    );
    return pinned('haproxy', 'haproxy', ['-db', '-f', file], port);
  },
};

const relayOnly: Subject = {
  name: 'bulkhead',
  features: 'relay',
  start: async (ground) => {
    const port = await freePort();
    const args = [
      join(here, 'relay-only.ts'),
      String(port),
      String(ground.backendPort),
      join(ground.directory, 'server.pem'),
      join(ground.directory, 'server.key'),
    ];
    return pinned('the relay', NODE, args, port);
  },
};

const everything: Subject = {
  name: 'bulkhead',
  features: 'everything',
  start: async (ground) => {
    const [port, admin] = await freePorts(2);
    if (port === undefined || admin === undefined) throw new Error('no free ports');
    writeFileSync(
      join(ground.directory, 'bulkhead.yaml'),
      stringify({
        listen: { address: `127.0.0.1:${port}` },
        admin: { address: `127.0.0.1:${admin}` },
        workers: 1,
        limits: { maxConcurrentStreams: 1000 },
        audit: { directory: 'audit', maxSize: '8GiB', whenFull: 'drop' },
        telemetry: {
          traces: { sample: '100%' },
          otlp: { endpoint: `http://127.0.0.1:${ground.sinkPort}`, protocol: 'http/protobuf' },
        },
        log: { level: 'warn' },
        tenants: 'tenants',
      }),
    );
    return pinned(
      'the sidecar',
      NODE,
      [
        ...(process.env['BENCH_NODE_FLAGS']?.split(' ') ?? []),
        join(here, '../../src/main.ts'),
        'run',
        '--config',
        join(ground.directory, 'bulkhead.yaml'),
      ],
      port,
    );
  },
};

export const SUBJECTS: readonly Subject[] = [haproxy, relayOnly, everything];

/** The tenant of the bench: mTLS, token, role, model, three limits. */
export function tenantFile(ground: Ground): string {
  return stringify({
    tenant: 'acme',
    serverNames: [ground.serverName],
    certificate: { chain: '../server.pem', key: '../server.key' },
    clientCa: '../ca.pem',
    trustDomain: 'acme.example',
    accept: ['token'],
    issuers: [
      { issuer: 'https://idp.acme.example', audience: 'ml', jwks: { file: '../jwks.json' }, algorithms: ['ES256'] },
    ],
    roles: [{ name: 'predict', methods: ['ModelInfer', 'ModelReady'], models: ['digits', 'resnet*'] }],
    bindings: [{ role: 'predict', subjects: ['bench'] }],
    quota: {
      tenant: { calls: '10000000/s' },
      caller: { calls: '10000000/s' },
      concurrentCalls: 100_000,
    },
    upstream: { address: `http://127.0.0.1:${ground.backendPort}` },
  });
}
