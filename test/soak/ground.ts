/**
 * What the soak stands on: the model server, the collector, the ingress sidecar with everything on, and the egress sidecar in front
 * of it, each a process of its own.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { accepts, Child } from '../e2e/harness/child.ts';
import { EgressSidecar } from '../e2e/harness/egress-sidecar.ts';
import { freePorts } from '../e2e/harness/free-port.ts';
import { Sidecar, type TenantSetup, tenantYaml } from '../e2e/harness/sidecar.ts';
import { FakeIssuer } from '../fakes/tokens.ts';
import type { Via } from './ledger.ts';
import type { LineAccess } from './line.ts';
import type { SeededRandom } from './random.ts';
import type { SinkCounts } from './sink-process.ts';

/** Who comes with what: a token, a key, or the certificate alone. */
export const TENANTS = ['acme', 'globex', 'initech', 'frugal', 'rogue', 'guest'] as const;
export type TenantName = (typeof TENANTS)[number];

export const INGRESS_SERVICE = 'ingress';
export const EGRESS_SERVICE = 'egress';
const WORKERS = 2;
const ISSUER = 'https://acme.idp.test';
const SUBJECTS = ['alice', 'bob', 'carol'] as const;
const HERE = fileURLToPath(new URL('./', import.meta.url));

export class Ground {
  readonly sidecar: Sidecar;
  readonly egress: EgressSidecar;
  readonly sink: Child;
  readonly inspectorPort: number;
  #issuer: FakeIssuer;
  #rotations = 0;
  readonly #modelPort: number;
  readonly #seed: number;
  readonly #sinkControl: number;
  #model: Child;
  /** What dead model servers have said. */
  #saidBefore = '';

  private constructor(parts: {
    sidecar: Sidecar;
    egress: EgressSidecar;
    sink: Child;
    sinkControl: number;
    model: Child;
    modelPort: number;
    inspectorPort: number;
    issuer: FakeIssuer;
    seed: number;
  }) {
    this.sidecar = parts.sidecar;
    this.egress = parts.egress;
    this.sink = parts.sink;
    this.inspectorPort = parts.inspectorPort;
    this.#issuer = parts.issuer;
    this.#sinkControl = parts.sinkControl;
    this.#model = parts.model;
    this.#modelPort = parts.modelPort;
    this.#seed = parts.seed;
  }

  /** Starts everything. */
  static async start(seed: number): Promise<Ground> {
    const [modelPort, inspectorPort] = await freePorts(2);
    if (modelPort === undefined || inspectorPort === undefined) throw new Error('no ports');
    const model = await startModel(modelPort, seed);
    const sink = await Child.spawn('the sink', { command: process.execPath, args: [join(HERE, 'sink-process.ts')] });
    const announced = /^endpoint (\S+) control (\d+)$/m;
    await sink.until('listening', () => announced.test(sink.output));
    const [, endpoint = '', control = ''] = announced.exec(sink.output) ?? [];
    const issuer = new FakeIssuer(ISSUER);
    const sidecar = await Sidecar.start({
      tenants: TENANTS.map((id) => tenantSetup(id, modelPort)),
      nodeFlags: [`--inspect=127.0.0.1:${inspectorPort}`],
      extra: {
        workers: WORKERS,
        telemetry: telemetry(INGRESS_SERVICE, endpoint),
        // Connections are asked to end all the time, and no call may feel it.
        limits: { maxConnectionAge: '20s' },
      },
      prepare: (directory) => {
        writeFileSync(join(directory, 'pki', 'acme', 'jwks.json'), issuer.jwks());
        // The guest comes later.
        rmSync(join(directory, 'tenants', 'guest.yaml'));
        mkdirSync(join(directory, 'audit'));
      },
    });
    const egress = await EgressSidecar.start({
      ingress: sidecar,
      tenant: 'initech',
      extra: { workers: WORKERS, telemetry: telemetry(EGRESS_SERVICE, endpoint) },
      upstream: { circuit: { maxOpenTime: '2s' } },
    });
    const sinkControl = Number(control);
    return new Ground({ sidecar, egress, sink, sinkControl, model, modelPort, inspectorPort, issuer, seed });
  }

  /** Where a tenant's clients connect to. */
  access(tenant: TenantName, via: Via): LineAccess | number {
    if (via === 'egress') return this.egress.port;
    const { pki } = this.sidecar.tenant(tenant);
    const { ca, client, serverName } = pki;
    return { port: this.sidecar.port, serverName, caPem: ca.certPem, certPem: client.certPem, keyPem: client.keyPem };
  }

  /** Credentials of some caller of the tenant. */
  credentials(tenant: TenantName, random: SeededRandom): Readonly<Record<string, string>> {
    if (tenant === 'acme') return { authorization: `Bearer ${this.#token(random.pick(SUBJECTS))}` };
    if (tenant === 'globex') return { 'x-api-key': `bk_globex-${random.pick(['1', '2'])}_${secretOf('globex')}` };
    return {};
  }

  readonly #tokens = new Map<string, string>();

  /** One token per subject and signing key, as a client that renews it in time has. */
  #token(subject: string): string {
    const name = `${subject} ${this.#issuer.kid}`;
    const now = Math.floor(Date.now() / 1000);
    const token = this.#tokens.get(name) ?? this.#issuer.token({ sub: subject, iat: now - 60, exp: now + 7_200 });
    this.#tokens.set(name, token);
    return token;
  }

  /** A signing key that comes next: `jwks` has it and the one in use, `use` signs with it from then on. */
  nextKey(): { readonly jwks: string; use(): void } {
    const next = new FakeIssuer(ISSUER);
    this.#rotations += 1;
    next.addKey(`rotated-${this.#rotations}`);
    next.dropOldKeys();
    const keys = [this.#issuer, next].flatMap((issuer) => JSON.parse(issuer.jwks()).keys as readonly object[]);
    return {
      jwks: JSON.stringify({ keys }),
      use: () => {
        this.#issuer = next;
      },
    };
  }

  /** A tenant's file with changes. */
  tenantFile(id: TenantName, changes: object = {}): string {
    const setup = tenantSetup(id, this.#modelPort);
    return tenantYaml({ ...setup, extra: { ...setup.extra, ...changes } });
  }

  /** Kills the model server as a crash would, and starts it again in its place. */
  async restartModel(): Promise<void> {
    this.#model.signal('SIGKILL');
    this.#saidBefore += (await this.#model.exit(5_000)).output;
    this.#model = await startModel(this.#modelPort, this.#seed);
  }

  /** All that model servers have said that is not their greeting. */
  get modelComplaints(): readonly string[] {
    const said = `${this.#saidBefore}${this.#model.output}`.split('\n');
    return said.filter((line) => line !== '' && line !== 'listening');
  }

  async sinkCounts(): Promise<SinkCounts> {
    const response = await fetch(`http://127.0.0.1:${this.#sinkControl}/`, { signal: AbortSignal.timeout(60_000) });
    // Boundary: it is our own process's answer.
    return (await response.json()) as SinkCounts;
  }

  get model(): Child {
    return this.#model;
  }

  /** Ends everything that still runs and removes its files. */
  async stop(): Promise<void> {
    await this.egress.stop();
    await this.sidecar.stop();
    await this.#model.stop();
    await this.sink.stop();
  }
}

async function startModel(port: number, seed: number): Promise<Child> {
  const args = [join(HERE, 'model-server.ts'), String(port), String(seed)];
  const child = await Child.spawn('the model server', { command: process.execPath, args });
  await child.until('listening', () => accepts(port));
  return child;
}

function telemetry(serviceName: string, endpoint: string): object {
  return { serviceName, otlp: { endpoint, protocol: 'http/protobuf' } };
}

/** A tenant's roles, credentials and quotas. The limits are there to be kept, and high enough for all but the frugal one. */
function tenantSetup(id: TenantName, modelPort: number): TenantSetup {
  const address = `http://127.0.0.1:${modelPort}`;
  const quota = {
    tenant: { calls: '100000/s', burst: 100_000 },
    caller: { calls: '50000/s', burst: 50_000 },
    concurrentCalls: 5_000,
  };
  const roles = [{ name: 'user', methods: ['ModelInfer', 'ModelStreamInfer'], models: ['digits'] }];
  const upstream = { address, circuit: { maxOpenTime: '2s' } };
  return { id, upstream: address, extra: { roles, upstream, quota, ...credentialKeys(id) } };
}

function credentialKeys(id: TenantName): Readonly<Record<string, unknown>> {
  switch (id) {
    case 'acme': {
      const issuer = { issuer: ISSUER, audience: 'bulkhead', jwks: { file: '../pki/acme/jwks.json' } };
      return { accept: ['token'], issuers: [issuer], bindings: [{ role: 'user', subjects: ['*'] }] };
    }
    case 'globex': {
      const sha256 = createHash('sha256').update(secretOf('globex')).digest('hex');
      const apiKeys = ['globex-1', 'globex-2'].map((key) => ({ id: key, sha256, expires: '2099-01-01T00:00:00Z' }));
      const bindings = [{ role: 'user', keys: ['*'] }];
      // Less than its calls would like to have in flight: they wait for each other, and for nobody else.
      return { accept: ['api-key'], apiKeys, bindings, byteAccount: '1MiB' };
    }
    case 'frugal':
      return {
        bindings: [{ role: 'user', certificates: ['*'] }],
        quota: { tenant: { calls: '10/s', burst: 10 }, concurrentCalls: 4 },
      };
    case 'initech':
    case 'rogue':
    case 'guest':
      return { bindings: [{ role: 'user', certificates: ['*'] }] };
  }
}

function secretOf(tenant: string): string {
  return createHash('sha256').update(`secret of ${tenant}`).digest('base64url');
}
