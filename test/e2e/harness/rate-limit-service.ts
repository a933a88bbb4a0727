/**
 * Envoy's own rate limit service, on a Redis of its own.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { accepts, Child } from './child.ts';
import { freePorts } from './free-port.ts';
import { peerFile } from './peer-file.ts';

export class RateLimitService {
  readonly port: number;
  readonly #ports: readonly number[];
  readonly #directory: string;
  readonly #redis: string;
  #child: Child | undefined;

  private constructor(ports: readonly number[], directory: string, redis: string) {
    this.#ports = ports;
    this.port = ports[0] ?? 0;
    this.#directory = directory;
    this.#redis = redis;
  }

  /** `rules`: a domain's configuration, as its file has it. */
  static async start(redis: string, rules: object): Promise<RateLimitService> {
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-rls-'));
    mkdirSync(join(directory, 'ratelimit', 'config'), { recursive: true });
    writeFileSync(join(directory, 'ratelimit', 'config', 'rules.yaml'), stringify(rules));
    const service = new RateLimitService(await freePorts(3), directory, redis);
    await service.restart();
    return service;
  }

  async restart(): Promise<void> {
    const [grpc, http, debug] = this.#ports;
    this.#child = await Child.spawn('the rate limit service', {
      command: peerFile('bin/ratelimit'),
      args: [],
      env: {
        USE_STATSD: 'false',
        REDIS_SOCKET_TYPE: 'tcp',
        REDIS_URL: this.#redis,
        RUNTIME_ROOT: this.#directory,
        RUNTIME_SUBDIRECTORY: 'ratelimit',
        RUNTIME_WATCH_ROOT: 'false',
        HOST: '127.0.0.1',
        PORT: String(http),
        GRPC_HOST: '127.0.0.1',
        GRPC_PORT: String(grpc),
        DEBUG_HOST: '127.0.0.1',
        DEBUG_PORT: String(debug),
      },
    });
    await this.#child.until('ready', () => accepts(this.port));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.signal(signal);
  }

  async kill(): Promise<void> {
    this.#child?.signal('SIGCONT');
    this.#child?.signal('SIGKILL');
    await this.#child?.exit(5_000);
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
