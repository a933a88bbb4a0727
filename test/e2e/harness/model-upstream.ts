/**
 * A model server of the test's own, for what a real one cannot be told to do: answer late, fail, or say what it has seen.
 * KServe V2 over cleartext HTTP/2 with grpc-js. What it shall do stands in the request's id: `delay:250`, `fail:13`.
 */
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
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
  readonly #server: Server;

  private constructor(server: Server, seen: readonly SeenCall[], port: number) {
    this.#server = server;
    this.seen = seen;
    this.port = port;
  }

  /** `port`: that of one which was stopped, to take its place. */
  static async start(port = 0): Promise<ModelUpstream> {
    const seen: SeenCall[] = [];
    const server = new Server({ 'grpc.max_receive_message_length': 1024 ** 3 });
    server.addService(loadInferenceService(), {
      ServerLive: (_call: unknown, done: sendUnaryData<object>) => done(null, { live: true }),
      ServerReady: (_call: unknown, done: sendUnaryData<object>) => done(null, { ready: true }),
      ModelInfer: (call: ServerUnaryCall<InferRequest, InferResponse>, done: sendUnaryData<InferResponse>) => {
        seen.push({ model: call.request.modelName, metadata: call.metadata });
        answer(call.request, done);
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
    return new ModelUpstream(server, seen, bound);
  }

  get address(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

function answer(request: InferRequest, done: sendUnaryData<InferResponse>): void {
  const [verb, argument] = (request.id ?? '').split(':');
  if (verb === 'fail') done({ code: Number(argument), details: 'as asked' });
  else if (verb === 'delay') setTimeout(() => done(null, response(request)), Number(argument));
  else done(null, response(request));
}

function response(request: InferRequest): InferResponse {
  return { modelName: request.modelName, modelVersion: '1', id: request.id ?? '', outputs: [], rawOutputContents: [] };
}
