/**
 * The sidecar as an operator runs it: a child process with a configuration on disk, driven over its ports and signals only.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { issueClient } from '../../../src/identity/issue.ts';
import { type TenantPki, tenantPki } from '../../fakes/pki.ts';
import { BytesTunnel } from './byte-tunnel.ts';
import { answers, Child, type ChildExit } from './child.ts';
import { freePorts } from './free-port.ts';

/** One tenant's configuration, as its YAML file has it, less what the harness knows itself. */
export interface TenantSetup {
  readonly id: string;
  /** `http://127.0.0.1:port`, or another address that the configuration knows. */
  readonly upstream: string;
  /** Further keys of the tenant's file; they replace the defaults below. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface SidecarSetup {
  readonly tenants: readonly TenantSetup[];
  /** Further keys of the main file; they replace the defaults below. */
  readonly extra?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Flags of Node itself, such as `--inspect=127.0.0.1:9229`. */
  readonly nodeFlags?: readonly string[];
  /** Changes files before it starts; gets the directory with `bulkhead.yaml`, `tenants/` and `pki/`. */
  readonly prepare?: (directory: string) => void;
}

/** What a client of one tenant needs, as PEM and as files. */
export interface TenantAccess {
  readonly pki: TenantPki;
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string };
}

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

export class Sidecar {
  readonly child: Child;
  readonly port: number;
  readonly adminPort: number;
  readonly directory: string;
  readonly auditDirectory: string;
  readonly #tenants: ReadonlyMap<string, TenantAccess>;
  readonly #tunnels: BytesTunnel[] = [];

  private constructor(
    child: Child,
    ports: { data: number; admin: number },
    directory: string,
    tenants: ReadonlyMap<string, TenantAccess>,
  ) {
    this.child = child;
    this.port = ports.data;
    this.adminPort = ports.admin;
    this.directory = directory;
    this.auditDirectory = join(directory, 'audit');
    this.#tenants = tenants;
  }

  /** Writes PKI and configuration, starts it and waits until it is ready. */
  static async start(setup: SidecarSetup): Promise<Sidecar> {
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-e2e-'));
    const [data, admin] = await freePorts(2);
    if (data === undefined || admin === undefined) throw new Error('no ports');
    const tenants = new Map<string, TenantAccess>();
    mkdirSync(join(directory, 'tenants'));
    for (const tenant of setup.tenants) tenants.set(tenant.id, writeTenant(directory, tenant));
    const main = {
      listen: { address: `127.0.0.1:${data}` },
      admin: { address: `127.0.0.1:${admin}` },
      workers: 2,
      audit: { directory: 'audit' },
      log: { level: 'info' },
      tenants: 'tenants',
      ...setup.extra,
    };
    writeFileSync(join(directory, 'bulkhead.yaml'), stringify(main));
    setup.prepare?.(directory);
    const child = await Child.spawn('the sidecar', {
      command: process.execPath,
      args: [
        ...(setup.nodeFlags ?? []),
        join(REPOSITORY, 'src/main.ts'),
        'run',
        '--config',
        join(directory, 'bulkhead.yaml'),
      ],
      // Spans and records go where the test's configuration says, whatever the environment of the run has.
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: '', ...setup.env },
    });
    const sidecar = new Sidecar(child, { data, admin }, directory, tenants);
    try {
      await child.until('ready', () => answers(`http://127.0.0.1:${admin}/readyz`));
    } catch (error) {
      await sidecar.stop();
      throw error;
    }
    return sidecar;
  }

  tenant(id: string): TenantAccess {
    const access = this.#tenants.get(id);
    if (access === undefined) throw new Error(`no tenant ${id}`);
    return access;
  }

  /** A further client of a tenant, `spiffe://<tenant>.example/<name>`, as files. */
  issueClient(id: string, name: string): TenantAccess['files'] {
    const { pki, files } = this.tenant(id);
    const issued = issueClient(pki.ca, { commonName: name, spiffeId: `spiffe://${pki.trustDomain}/${name}`, days: 1 });
    const cert = join(this.directory, 'pki', id, `${name}.pem`);
    const key = join(this.directory, 'pki', id, `${name}.key`);
    writeFileSync(cert, issued.certPem);
    writeFileSync(key, issued.keyPem, { mode: 0o600 });
    return { ca: files.ca, cert, key };
  }

  /** A plain loopback port whose bytes reach the sidecar over this tenant's mTLS; closed with the sidecar. */
  async tunnel(id: string): Promise<BytesTunnel> {
    const { pki } = this.tenant(id);
    const tunnel = await BytesTunnel.start({
      port: this.port,
      serverName: pki.serverName,
      caPem: pki.ca.certPem,
      certPem: pki.client.certPem,
      keyPem: pki.client.keyPem,
    });
    this.#tunnels.push(tunnel);
    return tunnel;
  }

  /** Replaces a tenant's file in one step, as a deployment would. */
  writeTenantFile(id: string, text: string): void {
    const file = join(this.directory, 'tenants', `${id}.yaml`);
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  }

  /** Changes keys of the main file, in one step. */
  changeMain(change: Readonly<Record<string, unknown>>): void {
    const file = join(this.directory, 'bulkhead.yaml');
    const before: object = parse(readFileSync(file, 'utf8'));
    writeFileSync(`${file}.new`, stringify({ ...before, ...change }));
    renameSync(`${file}.new`, file);
  }

  /** The text of an admin page. */
  async admin(path: string, port = this.adminPort): Promise<{ readonly status: number; readonly text: string }> {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5_000) });
    return { status: response.status, text: await response.text() };
  }

  /** Ends it with SIGTERM and keeps its files, so that its audit log can be read. */
  async end(timeoutMs = 35_000): Promise<ChildExit> {
    for (const tunnel of this.#tunnels.splice(0)) await tunnel.stop();
    return this.child.stop(timeoutMs);
  }

  /** Ends it and removes its files. Safe to call again. */
  async stop(): Promise<ChildExit> {
    const exit = await this.end();
    rmSync(this.directory, { recursive: true, force: true });
    return exit;
  }
}

/** A tenant's YAML: everything allowed to any of its certificates, unless `extra` says otherwise. */
export function tenantYaml(setup: TenantSetup): string {
  return stringify({
    tenant: setup.id,
    serverNames: [`${setup.id}.models.test`],
    certificate: { chain: `../pki/${setup.id}/server.pem`, key: `../pki/${setup.id}/server.key` },
    clientCa: `../pki/${setup.id}/ca.pem`,
    accept: ['certificate'],
    roles: [{ name: 'all', methods: ['inference.GRPCInferenceService/*'], models: ['*'] }],
    bindings: [{ role: 'all', certificates: ['*'] }],
    upstream: { address: setup.upstream },
    ...setup.extra,
  });
}

function writeTenant(directory: string, setup: TenantSetup): TenantAccess {
  const pki = tenantPki(setup.id);
  const folder = join(directory, 'pki', setup.id);
  mkdirSync(folder, { recursive: true });
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  file('server.pem', pki.server.certPem);
  file('server.key', pki.server.keyPem);
  const files = {
    ca: file('ca.pem', pki.ca.certPem),
    cert: file('client.pem', pki.client.certPem),
    key: file('client.key', pki.client.keyPem),
  };
  writeFileSync(join(directory, 'tenants', `${setup.id}.yaml`), tenantYaml(setup));
  return { pki, files };
}
