/**
 * Debian's Redis on loopback: alone, as a replica, in a cluster, with another clock. It can be killed, stopped for a while, and started
 * again on its port.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis as Client } from 'ioredis';
import { Child } from './child.ts';
import { freePorts } from './free-port.ts';
import { peerFile } from './peer-file.ts';
import { until } from './until.ts';

export interface RedisSetup {
  /** Lines of `redis.conf` beyond what every one has. */
  readonly config?: readonly string[];
  /** Its clock can be moved by `setClock`. */
  readonly movableClock?: boolean;
}

export class RedisServer {
  readonly port: number;
  readonly #directory: string;
  readonly #setup: RedisSetup;
  #child: Child | undefined;

  private constructor(port: number, directory: string, setup: RedisSetup) {
    this.port = port;
    this.#directory = directory;
    this.#setup = setup;
  }

  static async start(setup: RedisSetup = {}): Promise<RedisServer> {
    const [port] = await freePorts(1);
    if (port === undefined) throw new Error('no port');
    const server = new RedisServer(port, mkdtempSync(join(tmpdir(), 'bulkhead-redis-')), setup);
    try {
      await server.restart();
      return server;
    } catch (cause) {
      await server.stop();
      throw cause;
    }
  }

  /** Three nodes with all slots between them, which know each other. */
  static async cluster(): Promise<readonly RedisServer[]> {
    const config = ['cluster-enabled yes', 'cluster-node-timeout 2000', 'cluster-require-full-coverage no'];
    const nodes = await Promise.all([0, 1, 2].map(() => RedisServer.start({ config })));
    const [first] = nodes;
    if (first === undefined) throw new Error('no node');
    for (const [index, node] of nodes.entries()) {
      const [from, to] = [Math.floor((index * 16_384) / 3), Math.floor(((index + 1) * 16_384) / 3) - 1];
      await node.run('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
      if (node !== first)
        await node.run('CLUSTER', 'MEET', '127.0.0.1', String(first.port), String(first.port + 10_000));
    }
    for (const node of nodes) {
      await until(
        'the cluster knows itself',
        async () => {
          const info = String(await node.run('CLUSTER', 'INFO'));
          return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3') ? true : undefined;
        },
        20_000,
      );
    }
    return nodes;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts it, with nothing in it. */
  async restart(): Promise<void> {
    const { config = [], movableClock = false } = this.#setup;
    const file = join(this.#directory, 'redis.conf');
    const own = [`port ${this.port}`, 'bind 127.0.0.1', 'save ""', 'appendonly no', `dir ${this.#directory}`];
    writeFileSync(file, [...own, ...config, ''].join('\n'));
    if (movableClock) this.setClock(0);
    this.#child = await Child.spawn('Redis', {
      command: '/usr/bin/redis-server',
      args: [file],
      env: movableClock
        ? {
            LD_PRELOAD: peerFile('lib/moved-clock.so'),
            MOVED_CLOCK: join(this.#directory, 'clock'),
          }
        : {},
    });
    await this.#child.until('ready', async () => (await this.run('PING').catch(() => '')) === 'PONG');
  }

  /** Its clock is so many seconds after the true one. */
  setClock(seconds: number): void {
    writeFileSync(join(this.#directory, 'clock'), `${seconds}\n`);
  }

  /** Runs one command. */
  async run(command: string, ...args: readonly string[]): Promise<unknown> {
    const client = new Client({ host: '127.0.0.1', port: this.port, lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return await client.call(command, ...args);
    } finally {
      client.disconnect();
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.signal(signal);
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    this.#child?.signal('SIGCONT');
    this.#child?.signal('SIGKILL');
    await this.#child?.exit(5_000);
  }

  /** Ends it and removes its files. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
