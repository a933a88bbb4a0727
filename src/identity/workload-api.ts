/**
 * A client of the SPIFFE Workload API: follows its two streams, and knows at any time what they last said. On the main thread only.
 *
 * While the agent is away, what it last said holds: a certificate until it ends, authorities as long as they are asked for.
 */
import { Client, credentials, Metadata, type ServiceDefinition } from '@grpc/grpc-js';
import type { WorkloadApiConfig } from '../config/generation.ts';
import { isBundleName } from '../config/workload-material.ts';
import { type UnusableBundle, WorkloadIdentities } from './workload-identities.ts';
import { type BundlesMessage, type SvidsMessage, workloadService } from './workload-protocol.ts';
import { STREAM_TIMES, type StreamState, type StreamTimes, WorkloadStream } from './workload-stream.ts';
import { readSvids } from './x509-svid.ts';

/** One message. A certificate with its key takes about 2 KiB, and a bundle one for each authority. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** Against access by way of a forged request (SPIFFE_Workload_Endpoint.md §3). */
const SECURITY_HEADER = 'workload.spiffe.io';

/** The longest that a timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export type StreamKind = 'svids' | 'bundles';

export interface WorkloadApiEvents {
  /** What these names stand for is another now. */
  changed(names: ReadonlySet<string>): void;
  /** A stream's state is another, or fails for another reason. */
  state(kind: StreamKind, state: StreamState): void;
  /** A message was refused as a whole. */
  refused(kind: StreamKind): void;
  /** Authorities of a message that cannot be used, if any: nobody of their trust domain gets in. */
  unusable(bundles: readonly UnusableBundle[]): void;
}

export interface WorkloadApiOptions {
  readonly times?: StreamTimes;
  readonly nowMs?: () => number;
  readonly random?: () => number;
}

export class WorkloadApi {
  readonly identities = new WorkloadIdentities();
  readonly #events: WorkloadApiEvents;
  readonly #options: Required<WorkloadApiOptions>;
  readonly #client: Client;
  readonly #service: ServiceDefinition = workloadService();
  #svids: WorkloadStream<SvidsMessage> | undefined;
  #bundles: WorkloadStream<BundlesMessage> | undefined;
  #expiry: NodeJS.Timeout | undefined;

  constructor(target: WorkloadApiConfig['target'], events: WorkloadApiEvents, options: WorkloadApiOptions = {}) {
    this.#events = events;
    this.#options = { times: STREAM_TIMES, nowMs: Date.now, random: Math.random, ...options };
    this.#client = new Client(addressOf(target), credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      // It is on this machine: neither a proxy's variable nor a name server has a say.
      'grpc.enable_http_proxy': 0,
      'grpc.service_config_disable_resolution': 1,
      // Ours is the waiting between two attempts: the channel must not add its own.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Follows what these names need, and nothing else. */
  follow(names: ReadonlySet<string>): void {
    const all = [...names];
    if (all.some((name) => !isBundleName(name))) this.#svids ??= this.#followSvids();
    else this.#svids = this.#leave('svids', this.#svids);
    if (all.some(isBundleName)) this.#bundles ??= this.#followBundles();
    else this.#bundles = this.#leave('bundles', this.#bundles);
  }

  /** How each stream is that is followed. */
  get states(): ReadonlyMap<StreamKind, StreamState> {
    const states = new Map<StreamKind, StreamState>();
    if (this.#svids !== undefined) states.set('svids', this.#svids.state);
    if (this.#bundles !== undefined) states.set('bundles', this.#bundles.state);
    return states;
  }

  /** Asks again now what has failed or stopped. */
  retry(): void {
    this.#svids?.retry();
    this.#bundles?.retry();
  }

  close(): void {
    clearTimeout(this.#expiry);
    this.#svids?.close();
    this.#bundles?.close();
    this.#client.close();
  }

  #followSvids(): WorkloadStream<SvidsMessage> {
    return this.#stream<SvidsMessage>('svids', 'FetchX509SVID', ({ svids }) => {
      const read = readSvids(svids, this.#options.nowMs());
      if (!read.ok) return read.error;
      this.#tell(this.identities.takeSvids(read.value));
      this.#watchEnd();
      return undefined;
    });
  }

  #followBundles(): WorkloadStream<BundlesMessage> {
    return this.#stream<BundlesMessage>('bundles', 'FetchX509Bundles', (message) => {
      if (Object.keys(message.bundles).length === 0) return 'it names no trust domain';
      const { changed, unusable } = this.identities.takeBundles(message);
      this.#events.unusable(unusable);
      this.#tell(changed);
      return undefined;
    });
  }

  #stream<M>(kind: StreamKind, name: string, take: (message: M) => string | undefined): WorkloadStream<M> {
    const method = this.#service[name];
    if (method === undefined) throw new Error(`the Workload API’s definition has no ${name}`);
    const metadata = new Metadata();
    metadata.set(SECURITY_HEADER, 'true');
    const { nowMs, random, times } = this.#options;
    const open = () =>
      this.#client.makeServerStreamRequest<object, M>(
        method.path,
        method.requestSerialize,
        // What proto-loader makes of this response type is M, by the definition that stands beside it.
        (bytes) => method.responseDeserialize(bytes) as M,
        {},
        metadata,
      );
    const owner = {
      open,
      take: (message: M): string | undefined => {
        const problem = take(message);
        if (problem !== undefined) this.#events.refused(kind);
        return problem;
      },
      changed: (state: StreamState): void => this.#events.state(kind, state),
      nowMs,
      random,
    };
    return new WorkloadStream<M>(owner, times);
  }

  #leave(kind: StreamKind, stream: { close(): void } | undefined): undefined {
    stream?.close();
    this.identities.forget(kind);
    return undefined;
  }

  #tell(changed: ReadonlySet<string>): void {
    if (changed.size > 0) this.#events.changed(changed);
  }

  /** A certificate that has ended is used no more, also when nobody comes to say so. */
  #watchEnd(): void {
    clearTimeout(this.#expiry);
    const end = this.identities.nextEndMs;
    if (end === undefined) return;
    const left = Math.max(0, end - this.#options.nowMs());
    this.#expiry = setTimeout(
      () => {
        this.#tell(this.identities.expire(this.#options.nowMs()));
        this.#watchEnd();
      },
      Math.min(left, MAX_TIMER_MS),
    ).unref();
  }
}

function addressOf(target: WorkloadApiConfig['target']): string {
  if (target.kind === 'unix') return `unix:${target.path}`;
  return target.host.includes(':') ? `ipv6:[${target.host}]:${target.port}` : `ipv4:${target.host}:${target.port}`;
}
