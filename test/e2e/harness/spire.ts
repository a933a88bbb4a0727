/**
 * SPIRE's own server and agent of one trust domain, on loopback, all of it in a directory of its own.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, run } from './child.ts';
import { freePort } from './free-port.ts';
import { peerFile, peerSource } from './peer-file.ts';

export interface SpireEntry {
  /** Below the trust domain: `client`. */
  readonly path: string;
  readonly dns?: string;
  readonly federatesWith?: readonly string[];
  /** Seconds; SPIRE begins to renew when half of it is over. */
  readonly ttl: number;
}

/** A certificate as SPIRE's own command fetches it. */
export interface FetchedSvid {
  readonly certPem: string;
  readonly keyPem: string;
}

const COMMAND_MS = 20_000;

export class Spire {
  readonly trustDomain: string;
  readonly directory: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #server: Child;
  #agent: Child | undefined;

  private constructor(trustDomain: string, directory: string, env: Readonly<Record<string, string>>, server: Child) {
    this.trustDomain = trustDomain;
    this.directory = directory;
    this.#env = env;
    this.#server = server;
  }

  static async start(trustDomain: string): Promise<Spire> {
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-spire-'));
    const env = { SPIRE_PORT: String(await freePort()), SPIRE_TRUST_DOMAIN: trustDomain };
    const server = await Child.spawn('spire-server', {
      command: peerFile('bin/spire-server'),
      args: ['run', '-config', peerSource('spire/server.conf'), '-expandEnv'],
      cwd: directory,
      env,
    });
    const spire = new Spire(trustDomain, directory, env, server);
    try {
      await server.until('healthy', () => spire.#isHealthy());
      await spire.startAgent();
    } catch (error) {
      await spire.stop();
      throw error;
    }
    return spire;
  }

  /** Of the Workload API. */
  get socket(): string {
    return join(this.directory, 'agent.sock');
  }

  get workloadApi(): string {
    return `unix:${this.socket}`;
  }

  /** Attests an agent; also after the one before has been stopped. */
  async startAgent(): Promise<void> {
    const token = await this.server('token', 'generate', '-spiffeID', `spiffe://${this.trustDomain}/node`);
    const agent = await Child.spawn('spire-agent', {
      command: peerFile('bin/spire-agent'),
      args: [
        ...['run', '-config', peerSource('spire/agent.conf'), '-expandEnv'],
        ...['-joinToken', token.replace('Token:', '').trim()],
      ],
      cwd: this.directory,
      env: this.#env,
    });
    this.#agent = agent;
    await agent.until('serving', () => agent.output.includes('Starting Workload and SDS APIs'));
  }

  async stopAgent(): Promise<void> {
    await this.#agent?.stop();
  }

  /** Registers a workload of this user's. Returns the entry's id. */
  async register({ path, federatesWith = [], ttl }: SpireEntry): Promise<string> {
    const created = await this.server(
      ...['entry', 'create', '-parentID', `spiffe://${this.trustDomain}/node`],
      ...['-spiffeID', `spiffe://${this.trustDomain}/${path}`, '-selector', `unix:uid:${process.getuid?.() ?? 0}`],
      ...['-x509SVIDTTL', String(ttl)],
      ...federatesWith.flatMap((domain) => ['-federatesWith', `spiffe://${domain}`]),
    );
    const id = /^Entry ID\s*: (\S+)/m.exec(created)?.[1];
    if (id === undefined) throw new Error(`spire-server names no entry:\n${created}`);
    return id;
  }

  /** Has this trust domain trust another one's present authorities. */
  async federateWith(other: Spire): Promise<void> {
    const bundle = await other.server('bundle', 'show', '-format', 'spiffe');
    const file = join(this.directory, `${other.trustDomain}.json`);
    writeFileSync(file, bundle);
    await this.server('bundle', 'set', '-id', `spiffe://${other.trustDomain}`, '-format', 'spiffe', '-path', file);
  }

  /** The certificate of this user's workload, once the agent has it; rejects when it does not get one. */
  async fetch(path: string, timeoutMs = COMMAND_MS): Promise<FetchedSvid> {
    const folder = join(this.directory, 'fetched');
    mkdirSync(folder, { recursive: true });
    const id = `spiffe://${this.trustDomain}/${path}`;
    for (const end = Date.now() + timeoutMs; ; ) {
      const { code, output } = await this.#run('spire-agent', [
        ...['api', 'fetch', 'x509', '-socketPath', this.socket, '-write', folder],
      ]);
      const index = [...output.matchAll(/^SPIFFE ID:\s+(\S+)/gm)].findIndex(([, found]) => found === id);
      const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
      if (code === 0 && index >= 0) return { certPem: read(`svid.${index}.pem`), keyPem: read(`svid.${index}.key`) };
      if (Date.now() > end) throw new Error(`spire-agent does not give ${id}:\n${output}`);
    }
  }

  /** Runs a command of the server's; throws when it fails. */
  async server(...args: readonly string[]): Promise<string> {
    const names = args.slice(0, args[0] === 'localauthority' ? 3 : 2);
    const { code, output } = await this.#run('spire-server', [
      ...names,
      ...['-socketPath', join(this.directory, 'server.sock')],
      ...args.slice(names.length),
    ]);
    if (code !== 0) throw new Error(`spire-server ${args.join(' ')} failed:\n${output}`);
    return output;
  }

  async stop(): Promise<void> {
    await this.#agent?.stop();
    await this.#server.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #isHealthy(): Promise<boolean> {
    const { code } = await this.#run('spire-server', [
      ...['healthcheck', '-socketPath', join(this.directory, 'server.sock')],
    ]);
    return code === 0;
  }

  #run(name: string, args: readonly string[]): ReturnType<typeof run> {
    return run(name, { command: peerFile(`bin/${name}`), args, cwd: this.directory }, COMMAND_MS);
  }
}
