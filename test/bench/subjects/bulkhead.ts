import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { freePort } from '../../e2e/harness/free-port.ts';
import { LOAD_CORE, SUBJECT_CORE } from '../load.ts';
import { type Ground, pinned, type Subject } from './subject.ts';

const RELAY = fileURLToPath(new URL('../relay-only.ts', import.meta.url));
const SIDECAR = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const NODE_COMPILE_CACHE = fileURLToPath(new URL('../../../node_modules/.cache/bulkhead', import.meta.url));

export interface SidecarOptions {
  /** Given to Node, for experiments. */
  readonly nodeFlags: readonly string[];
  /** Data-plane threads; default 1. With more it may use both cores. */
  readonly workers?: number;
  /** The directory of tenant files, relative to the ground; default `tenants`, with one. */
  readonly tenants?: string;
  readonly variant?: string;
}

/** Our engine without the product, see `relay-only.ts`. */
export function bulkheadRelay({ nodeFlags }: SidecarOptions): Subject {
  return {
    name: 'bulkhead',
    features: 'relay',
    tls: true,
    warmsUp: true,
    start: async ({ directory, backendPort }) => {
      const port = await freePort();
      const files = [join(directory, 'server.pem'), join(directory, 'server.key')];
      const args = [...nodeFlags, RELAY, String(port), String(backendPort), ...files];
      return pinned({ name: 'the relay', command: process.execPath, args, port });
    },
  };
}

/**
 * The sidecar as it is run, with everything on: mTLS, JWT, roles with a condition, the model read out of the message, a rate per tenant and per
 * caller, a limit of concurrent calls, every call traced over OTLP, an audit record per call.
 */
export function bulkheadEverything(options: SidecarOptions): Subject {
  const { nodeFlags, workers = 1, tenants = 'tenants', variant } = options;
  return {
    name: 'bulkhead',
    features: 'everything',
    ...(variant === undefined ? {} : { variant }),
    tls: true,
    warmsUp: true,
    start: async (ground) => {
      const [port, adminPort] = [await freePort(), await freePort()];
      // Beside the tenants, so that their relative file names hold; a name of its own, so that several may run.
      const file = join(ground.directory, `bulkhead-${port}.yaml`);
      writeFileSync(file, mainFile(ground, { port, adminPort, workers, tenants }));
      return pinned({
        name: 'the sidecar',
        command: process.execPath,
        args: [...nodeFlags, SIDECAR, 'run', '--config', file],
        // As the image has it.
        env: { NODE_COMPILE_CACHE },
        port,
        adminPort,
        cores: workers > 1 ? `${SUBJECT_CORE},${LOAD_CORE}` : SUBJECT_CORE,
      });
    },
  };
}

interface MainFile {
  readonly port: number;
  readonly adminPort: number;
  readonly workers: number;
  readonly tenants: string;
}

function mainFile({ directory, sinkPort }: Ground, { port, adminPort, workers, tenants }: MainFile): string {
  const audit = `audit-${port}`;
  mkdirSync(join(directory, audit), { mode: 0o700 });
  return stringify({
    listen: { address: `127.0.0.1:${port}` },
    admin: { address: `127.0.0.1:${adminPort}` },
    workers,
    limits: { maxConcurrentStreams: 1000 },
    audit: { directory: audit, maxSize: '8GiB', whenFull: 'drop' },
    telemetry: {
      traces: { sample: '100%' },
      otlp: { endpoint: `http://127.0.0.1:${sinkPort}`, protocol: 'http/protobuf' },
    },
    log: { level: 'warn' },
    tenants,
  });
}

export interface BenchTenant {
  readonly id: string;
  readonly serverName: string;
  /** Where its certificate, key, client CA and key set are, relative to its own file. */
  readonly files: { readonly chain: string; readonly key: string; readonly clientCa: string; readonly jwks: string };
}

/** The file of one tenant: certificate, issuer, a role over methods and models, three limits too high to be reached. */
export function tenantFile(tenant: BenchTenant, backendPort: number, models: readonly string[] = []): string {
  const { id, serverName, files } = tenant;
  return stringify({
    tenant: id,
    serverNames: [serverName],
    certificate: { chain: files.chain, key: files.key },
    clientCa: files.clientCa,
    trustDomain: `${id}.example`,
    accept: ['token'],
    issuers: [
      { issuer: `https://idp.${id}.example`, audience: 'ml', jwks: { file: files.jwks }, algorithms: ['ES256'] },
    ],
    roles: [
      {
        name: 'predict',
        methods: ['ModelInfer', 'ModelReady'],
        models: ['digits', 'resnet*', ...models],
        condition: `caller.issuer == "https://idp.${id}.example" && !call.model.startsWith("draft-")`,
      },
    ],
    bindings: [{ role: 'predict', subjects: ['bench'] }],
    quota: {
      tenant: { calls: '10000000/s' },
      caller: { calls: '10000000/s' },
      concurrentCalls: 100_000,
    },
    upstream: { address: `http://127.0.0.1:${backendPort}` },
  });
}
