/**
 * The sidecar in a client's pod: a child process with egress listeners only, in front of an ingress sidecar.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { answers, Child, type ChildExit } from './child.ts';
import { freePorts } from './free-port.ts';
import type { Sidecar } from './sidecar.ts';

export interface EgressSetup {
  readonly ingress: Sidecar;
  readonly tenant: string;
  /** Further keys of the listener's upstream; they replace the defaults below. */
  readonly upstream?: Readonly<Record<string, unknown>>;
  /** Further keys of the main file. */
  readonly extra?: Readonly<Record<string, unknown>>;
  /** A Unix socket beside its files, which is a second listener of the same tenant. */
  readonly unixSocket?: string;
  /** Flags of Node itself, such as `--inspect=127.0.0.1:9229`. */
  readonly nodeFlags?: readonly string[];
}

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

export class EgressSidecar {
  readonly child: Child;
  /** Where clients call in clear text. */
  readonly port: number;
  readonly adminPort: number;
  readonly directory: string;
  readonly auditDirectory: string;

  private constructor(child: Child, port: number, adminPort: number, directory: string) {
    this.child = child;
    this.port = port;
    this.adminPort = adminPort;
    this.directory = directory;
    this.auditDirectory = join(directory, 'audit');
  }

  /** Writes the configuration with the tenant's own certificate files, starts it and waits until it is ready. */
  static async start(setup: EgressSetup): Promise<EgressSidecar> {
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-egress-'));
    const [port, admin] = await freePorts(2);
    if (port === undefined || admin === undefined) throw new Error('no ports');
    const { ingress, tenant, unixSocket } = setup;
    const { pki } = ingress.tenant(tenant);
    const upstream = {
      address: `https://127.0.0.1:${ingress.port}`,
      ca: 'ca.pem',
      serverName: pki.serverName,
      clientCertificate: { chain: 'client.pem', key: 'client.key' },
      ...setup.upstream,
    };
    const listens = [`127.0.0.1:${port}`];
    if (unixSocket !== undefined) listens.push(`unix:${join(directory, unixSocket)}`);
    const main = {
      egress: listens.map((listen) => ({ listen, tenant, upstream })),
      admin: { address: `127.0.0.1:${admin}` },
      workers: 2,
      audit: { directory: 'audit' },
      ...setup.extra,
    };
    writeFileSync(join(directory, 'bulkhead.yaml'), stringify(main));
    writeFileSync(join(directory, 'ca.pem'), pki.ca.certPem);
    writeFileSync(join(directory, 'client.pem'), pki.client.certPem);
    writeFileSync(join(directory, 'client.key'), pki.client.keyPem, { mode: 0o600 });
    const child = await Child.spawn('the egress sidecar', {
      command: process.execPath,
      args: [...(setup.nodeFlags ?? []), MAIN, 'run', '--config', join(directory, 'bulkhead.yaml')],
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
    });
    const sidecar = new EgressSidecar(child, port, admin, directory);
    try {
      await child.until('ready', () => answers(`http://127.0.0.1:${admin}/readyz`));
    } catch (error) {
      await sidecar.stop();
      throw error;
    }
    return sidecar;
  }

  /** Replaces a file beside the main file in one step. */
  replace(name: string, text: string): void {
    const file = join(this.directory, name);
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  /** A sample of its metrics; 0 when it is not there. */
  async metric(name: string): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}/metrics`, { signal: AbortSignal.timeout(5_000) });
    const line = (await response.text()).split('\n').find((text) => text.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? 0);
  }

  /** Ends it with SIGTERM and keeps its files. */
  end(timeoutMs = 35_000): Promise<ChildExit> {
    return this.child.stop(timeoutMs);
  }

  /** Ends it and removes its files. Safe to call again. */
  async stop(): Promise<ChildExit> {
    const exit = await this.end();
    rmSync(this.directory, { recursive: true, force: true });
    return exit;
  }
}
