/**
 * A model server of the test's own, for what a real one cannot be told to do: answer late, fail, or say what it has seen.
 * KServe V2 over cleartext HTTP/2 with grpc-js. What it shall do stands in the request's id: `delay:250`, `fail:13`, `hold`.
 */
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import {
  type InferRequest,
  type InferResponse,
  loadInferenceService,
  type StreamInferResponse,
} from '../../../src/demo/inference-protocol.ts';

export interface SeenCall {
  readonly model: string;
  readonly metadata: Metadata;
}

export class ModelUpstream {
  readonly port: number;
  readonly seen: readonly SeenCall[];
  /** What it says of itself by grpc.health.v1: that it serves. */
  readonly health = new HealthImplementation({ '': 'SERVING' });
  readonly #server: Server;
  readonly #held: (() => void)[];

  private constructor(
    server: Server,
    { seen, held }: { readonly seen: readonly SeenCall[]; readonly held: (() => void)[] },
    port: number,
  ) {
    this.#server = server;
    this.health.addToServer(server);
    this.seen = seen;
    this.#held = held;
    this.port = port;
  }

  /** `port`: that of one which was stopped, to take its place. */
  static async start(port = 0): Promise<ModelUpstream> {
    const seen: SeenCall[] = [];
    const held: (() => void)[] = [];
    const server = new Server({ 'grpc.max_receive_message_length': 1024 ** 3 });
    server.addService(loadInferenceService(), {
      ServerLive: (_call: unknown, done: sendUnaryData<object>) => done(null, { live: true }),
      ServerReady: (_call: unknown, done: sendUnaryData<object>) => done(null, { ready: true }),
      ModelInfer: (call: ServerUnaryCall<InferRequest, InferResponse>, done: sendUnaryData<InferResponse>) => {
        seen.push({ model: call.request.modelName, metadata: call.metadata });
        if (ownId(call.request.id, call.metadata) === 'hold') held.push(() => done(null, response(call.request)));
        else answer(call.request, call.metadata, done);
      },
      ModelStreamInfer: (stream: ServerDuplexStream<InferRequest, StreamInferResponse>) => {
        stream.on('data', (request: InferRequest) => {
          seen.push({ model: request.modelName, metadata: stream.metadata });
          stream.write({ errorMessage: '', inferResponse: response(request) });
        });
        stream.on('end', () => stream.end());
        stream.on('error', () => stream.end());
      },
    });
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, boundPort) =>
        error === null ? resolve(boundPort) : reject(error),
      );
    });
    return new ModelUpstream(server, { seen, held }, bound);
  }

  get address(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Answers the calls with the id `hold` that have come. Returns how many. */
  release(): number {
    const held = this.#held.splice(0);
    for (const done of held) done();
    return held.length;
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

/** The id as its client wrote it: behind a sidecar it stands in the tenant's namespace. */
function ownId(id: string | undefined, metadata: Metadata): string {
  const prefix = `${String(metadata.get('x-bulkhead-tenant-id')[0] ?? '')}:`;
  return id?.startsWith(prefix) === true ? id.slice(prefix.length) : (id ?? '');
}

function answer(request: InferRequest, metadata: Metadata, done: sendUnaryData<InferResponse>): void {
  const [verb, argument] = ownId(request.id, metadata).split(':');
  if (verb === 'fail') done({ code: Number(argument), details: 'as asked' });
  else if (verb === 'delay') setTimeout(() => done(null, response(request)), Number(argument));
  else done(null, response(request));
}

function response(request: InferRequest): InferResponse {
  return { modelName: request.modelName, modelVersion: '1', id: request.id ?? '', outputs: [], rawOutputContents: [] };
}
