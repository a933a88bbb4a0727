/**
 * The store of leases in Redis or Valkey, by ioredis. Nothing is sent that has to wait for a connection, and nothing is sent twice: who
 * asks decides again by what is then.
 *
 * Of several addresses without a cluster, the first is used that can be reached and written to; a server that says that it is a replica is
 * left for the next. In a cluster ioredis follows the cluster's own word.
 */
import { hash } from 'node:crypto';
import { Cluster, Redis } from 'ioredis';
import type { FleetConfig, RedisConfig, RedisTls } from '../config/fleet-config.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { RATE_SCRIPT, WINDOW_SCRIPT } from './lease-scripts.ts';
import type { LeaseStore, RateLease, RateRequest, StoreFailure, WindowLease, WindowRequest } from './lease-store.ts';

/** Between two attempts to connect. */
const CONNECT_EVERY_MS = 200;
const CONNECT_LOOK_MS = 5;
const MAX_DETAIL = 200;
/** A connection on which nothing was answered for so long is left for a new one: who is gone without a word would be asked for minutes. */
const SILENT_FOR_MS = 1_000;

export class RedisLeaseStore implements LeaseStore {
  readonly #config: Pick<FleetConfig, 'namespace' | 'timeoutMs' | 'redis'>;
  #client: Redis | Cluster | undefined;
  /** Of those that are configured, which is used. */
  #address = 0;
  #redial: NodeJS.Timeout | undefined;
  #closed = false;
  /** When, on this connection, what was asked was first not answered in time; undefined: it was. */
  #silentSince: number | undefined;
  /** What the last connection ended with. */
  #lost: StoreFailure = { why: 'unreachable', detail: 'not connected yet' };

  /** Begins to connect; what is asked before it has is answered with a failure. */
  constructor(config: Pick<FleetConfig, 'namespace' | 'timeoutMs' | 'redis'>) {
    this.#config = config;
    this.#dial();
  }

  async window(request: WindowRequest): Promise<Result<WindowLease, StoreFailure>> {
    const { process, first, mark, limit, want, least, leaseMs, settling, birthMs: birth, reports } = request;
    const told = reports.flatMap(({ mark: at, endMs, used, known }) => [at, endMs, used, known]);
    const terms = [process, first, mark, limit, want, least, leaseMs, settling, birth, ...told];
    const answer = await this.#run(WINDOW, request.key, terms, 6);
    if (!answer.ok) return answer;
    const [nowMs = 0, held = 0, free = 0, processes = 1, birthMs = 0, folded = 0] = answer.value;
    return ok({ nowMs, held, free, processes, birthMs, isFolded: folded === 1 });
  }

  async rate({
    key,
    intervalMicros,
    toleranceMicros,
    want,
    debt,
  }: RateRequest): Promise<Result<RateLease, StoreFailure>> {
    const answer = await this.#run(RATE, key, [intervalMicros, toleranceMicros, want, debt], 3);
    if (!answer.ok) return answer;
    const [nowMs = 0, tokens = 0, waitMicros = 0] = answer.value;
    return ok({ nowMs, tokens, waitMicros });
  }

  /** Resolves when it can be asked, or after so long: for a start. */
  async connected(timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (this.#client?.status !== 'ready' && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, CONNECT_LOOK_MS));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#redial);
    this.#client?.disconnect();
  }

  async #run(
    script: Script,
    key: string,
    terms: readonly (string | number)[],
    numbers: number,
  ): Promise<Result<readonly number[], StoreFailure>> {
    const client = this.#client;
    if (client === undefined || client.status !== 'ready') return err(this.#lost);
    const name = `${this.#config.namespace}:${key}`;
    try {
      const answer = await this.#evaluate(client, script, name, terms);
      this.#silentSince = undefined;
      const parsed = Array.isArray(answer) ? answer.map(Number) : [];
      if (parsed.length === numbers && parsed.every((one) => Number.isSafeInteger(one) && one >= 0)) return ok(parsed);
      return err({ why: 'failed', detail: 'an answer that is none of our script’s' });
    } catch (cause) {
      const failure = failureOf(cause);
      if (client === this.#client && (failure.why === 'read_only' || this.#isSilent(failure)))
        this.#leave(client, failure);
      return err(failure);
    }
  }

  #isSilent({ why }: StoreFailure): boolean {
    if (why !== 'timeout') this.#silentSince = undefined;
    else this.#silentSince ??= performance.now();
    return this.#silentSince !== undefined && performance.now() - this.#silentSince >= SILENT_FOR_MS;
  }

  async #evaluate(
    client: Redis | Cluster,
    script: Script,
    key: string,
    terms: readonly (string | number)[],
  ): Promise<unknown> {
    try {
      return await client.evalsha(script.digest, 1, key, ...terms);
    } catch (cause) {
      // A server that has just started, or whose scripts were flushed.
      if (!(cause instanceof Error) || !cause.message.startsWith('NOSCRIPT')) throw cause;
      return await client.eval(script.text, 1, key, ...terms);
    }
  }

  #dial(): void {
    if (this.#closed) return;
    const { redis, timeoutMs } = this.#config;
    const client = connect(redis, this.#address, timeoutMs);
    this.#client = client;
    let failure: StoreFailure = { why: 'unreachable', detail: 'the connection ended' };
    client.on('error', (cause: unknown) => {
      failure = failureOf(cause);
      if (client === this.#client) this.#lost = failure;
    });
    client.on('end', () => this.#leave(client, failure));
  }

  /** Tries the next address, after a while. */
  #leave(client: Redis | Cluster, failure: StoreFailure): void {
    if (client !== this.#client) return;
    this.#client = undefined;
    this.#silentSince = undefined;
    this.#lost = failure;
    client.disconnect();
    this.#address = (this.#address + 1) % this.#config.redis.addresses.length;
    clearTimeout(this.#redial);
    if (!this.#closed) this.#redial = setTimeout(() => this.#dial(), CONNECT_EVERY_MS).unref();
  }
}

interface Script {
  readonly text: string;
  readonly digest: string;
}

const WINDOW = scriptOf(WINDOW_SCRIPT);
const RATE = scriptOf(RATE_SCRIPT);

function scriptOf(text: string): Script {
  return { text, digest: hash('sha1', text, 'hex') };
}

function connect(redis: RedisConfig, address: number, timeoutMs: number): Redis | Cluster {
  const { addresses, cluster, database } = redis;
  const options = optionsOf(redis, timeoutMs);
  if (!cluster) return new Redis({ ...options, ...addresses[address], db: database });
  return new Cluster([...addresses], {
    redisOptions: options,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    clusterRetryStrategy: () => CONNECT_EVERY_MS,
    slotsRefreshTimeout: 1_000,
    // Nodes stay what they are called: certificates are for names.
    dnsLookup: (name, callback) => callback(null, name),
  });
}

function optionsOf({ protocol, tls, username, password }: RedisConfig, timeoutMs: number) {
  return {
    protocol,
    connectTimeout: Math.max(1_000, timeoutMs),
    commandTimeout: timeoutMs,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // Whether it is another's turn is decided here.
    retryStrategy: () => null,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: tlsOf(tls) }),
  };
}

function tlsOf({ caPem, serverName, clientCertificate }: RedisTls) {
  return {
    ...(caPem === undefined ? {} : { ca: caPem }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(clientCertificate === undefined ? {} : { cert: clientCertificate.chainPem, key: clientCertificate.keyPem }),
  };
}

/** What Redis and sockets say, in one of few words. The text is Redis' own or Node's, which have no passwords in them. */
function failureOf(cause: unknown): StoreFailure {
  const text = cause instanceof Error ? `${cause.message}${innerOf(cause)}` : String(cause);
  const detail = text.replaceAll(/\s+/g, ' ').slice(0, MAX_DETAIL);
  return { why: whyOf(text), detail };
}

/** Of a cluster none of whose nodes can be used, why the last could not. */
function innerOf(cause: Error): string {
  return 'lastNodeError' in cause && cause.lastNodeError instanceof Error ? ` (${cause.lastNodeError.message})` : '';
}

function whyOf(text: string): StoreFailure['why'] {
  if (/READONLY|MASTERDOWN|NOREPLICAS/.test(text)) return 'read_only';
  if (/WRONGPASS|NOAUTH|NOPERM|AUTH/.test(text)) return 'refused';
  if (/\bOOM\b|MISCONF/.test(text)) return 'full';
  if (/timed out|ETIMEDOUT/i.test(text)) return 'timeout';
  if (
    /ECONN|ENOTFOUND|EAI_|EPIPE|closed|isn't writeable|CLUSTERDOWN|startup nodes|refresh slots|certificate|EPROTO|SSL/i.test(
      text,
    )
  )
    return 'unreachable';
  return 'failed';
}
