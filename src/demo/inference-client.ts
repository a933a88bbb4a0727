/**
 * An ordinary gRPC client of the KServe V2 protocol: grpc-js with a certificate, nothing of Bulkhead's in it.
 */
import { randomBytes } from 'node:crypto';
import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  INFERENCE_SERVICE,
  type InferRequest,
  type InferResponse,
  loadInferenceService,
} from './inference-protocol.ts';
import { failed, type Outcome, succeeded } from './outcome.ts';

const MAX_MESSAGE_BYTES = 1024 ** 3;
const DEADLINE_MS = 5_000;
/** For a message that takes its time on the way. */
const LARGE_BYTES = 1024 ** 2;
const LARGE_DEADLINE_MS = 30_000;

export interface ClientOptions {
  /** `host:port` of the sidecar. */
  readonly target: string;
  /** Name asked for in the handshake (SNI), which the server's certificate must carry. */
  readonly serverName: string;
  /** Undefined: plaintext. */
  readonly caPem: string | undefined;
  /** Undefined: no client certificate is shown. */
  readonly certificate: { readonly certPem: string; readonly keyPem: string } | undefined;
  /** Sent with every call: a token or an API key. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Counts this client's calls, together with those of others. */
  readonly counter?: CallCounter;
}

export interface CallCounter {
  calls: number;
}

/** W3C trace context that a client sends with one call, to find the call's trace by. */
export interface ClientTrace {
  readonly traceId: string;
  readonly traceparent: string;
}

/** A new, sampled trace context. */
export function newClientTrace(): ClientTrace {
  const traceId = randomBytes(16).toString('hex');
  return { traceId, traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01` };
}

const service = loadInferenceService();

export class InferenceClient {
  readonly #client: Client;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #counter: CallCounter | undefined;

  constructor(options: ClientOptions) {
    this.#client = new Client(options.target, channelCredentials(options), {
      'grpc.ssl_target_name_override': options.serverName,
      'grpc.default_authority': options.serverName,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      // Each client of the demo is its own connection, as each tenant's would be.
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#metadata = options.metadata;
    this.#counter = options.counter;
  }

  /** Calls ModelInfer. */
  infer(request: InferRequest, trace?: ClientTrace): Promise<Outcome<InferResponse>> {
    return this.call<InferRequest, InferResponse>('ModelInfer', request, trace);
  }

  /** Calls any unary method of the service. Never rejects: every end is an outcome. */
  call<Q extends object, A>(method: string, request: Q, trace?: ClientTrace): Promise<Outcome<A>> {
    const definition = definitionOf(method);
    // Boundary: proto-loader types all messages as `object`; Q and A are this method's messages.
    return this.#unary(
      definition.path,
      definition.requestSerialize(request),
      definition.responseDeserialize as (bytes: Buffer) => A,
      trace,
    );
  }

  /** Sends a message that is already serialized, as an attacker may. */
  inferBytes(bytes: Buffer): Promise<Outcome<InferResponse>> {
    const definition = definitionOf('ModelInfer');
    // Boundary: as above.
    return this.#unary(definition.path, bytes, definition.responseDeserialize as (bytes: Buffer) => InferResponse);
  }

  close(): void {
    this.#client.close();
  }

  #unary<A>(path: string, bytes: Buffer, deserialize: (bytes: Buffer) => A, trace?: ClientTrace): Promise<Outcome<A>> {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(this.#metadata)) metadata.set(name, value);
    if (trace !== undefined) metadata.set('traceparent', trace.traceparent);
    if (this.#counter !== undefined) this.#counter.calls += 1;
    const started = performance.now();
    return new Promise((resolve) => {
      const done = (error: ServiceError | null, response?: A): void => {
        const elapsed = performance.now() - started;
        if (error !== null) resolve(failed(error, elapsed));
        else if (response !== undefined) resolve(succeeded(response, elapsed));
      };
      const options = { deadline: Date.now() + (bytes.length < LARGE_BYTES ? DEADLINE_MS : LARGE_DEADLINE_MS) };
      this.#client.makeUnaryRequest(path, (raw: Buffer) => raw, deserialize, bytes, metadata, options, done);
    });
  }
}

/** Serializes a ModelInfer request. */
export function serializeInferRequest(request: InferRequest): Buffer {
  return definitionOf('ModelInfer').requestSerialize(request);
}

function channelCredentials({ caPem, certificate }: ClientOptions): ChannelCredentials {
  if (caPem === undefined) return credentials.createInsecure();
  if (certificate === undefined) return credentials.createSsl(Buffer.from(caPem));
  return credentials.createSsl(Buffer.from(caPem), Buffer.from(certificate.keyPem), Buffer.from(certificate.certPem));
}

function definitionOf(method: string): (typeof service)[string] {
  const definition = service[method];
  if (definition === undefined) throw new Error(`${INFERENCE_SERVICE} has no method ${method}`);
  return definition;
}
