/**
 * The KServe V2 service over a model repository, as grpc-js handlers.
 *
 * Methods that have no handler here (shared memory, load and unload, trace and log settings) are answered UNIMPLEMENTED by
 * grpc-js.
 */
import { once } from 'node:events';
import {
  type Metadata,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { err, type Result } from '../../kernel/result.ts';
import type { InferRequest, InferResponse, ModelRequest, StreamInferResponse } from '../inference-protocol.ts';
import type { InferenceFailure, ModelRepository } from './model-repository.ts';

/** What the server saw of one call: whom the sidecar said it was for, and whether a credential got through to here. */
export interface SeenCall {
  readonly method: string;
  readonly model: string;
  /** The request's own id; empty when it has none. */
  readonly id: string;
  readonly tenant: string;
  readonly principal: string;
  readonly traceparent: string;
  /** Names of credential headers that arrived; a sidecar in front must leave none. */
  readonly credentials: readonly string[];
}

type RequestFacts = Pick<SeenCall, 'model' | 'id'>;

const CREDENTIAL_HEADERS = ['authorization', 'x-api-key', 'cookie', 'proxy-authorization'];

const STATUS_OF: Readonly<Record<InferenceFailure['kind'], status>> = {
  unknown_model: status.NOT_FOUND,
  bad_request: status.INVALID_ARGUMENT,
  broken: status.INTERNAL,
};

/** Makes the handlers. `seen` is called once for each call, and for each message of a stream. */
export function inferenceService(
  repository: ModelRepository,
  seen: (call: SeenCall) => void,
): UntypedServiceImplementation {
  const unary =
    <Q, A>(
      method: string,
      about: (request: Q) => RequestFacts,
      answer: (request: Q) => Promise<Result<A, InferenceFailure>> | Result<A, InferenceFailure>,
    ) =>
    (call: ServerUnaryCall<Q, A>, callback: sendUnaryData<A>): void => {
      seen(describe(method, about(call.request), call.metadata));
      void reply(() => answer(call.request), callback);
    };
  const always = <A>(method: string, value: A) =>
    unary(
      method,
      () => ({ model: '', id: '' }),
      () => ({ ok: true, value }),
    );
  const aboutModel = (request: ModelRequest): RequestFacts => ({ model: request.name, id: '' });
  const infer = async (request: InferRequest): Promise<Result<InferResponse, InferenceFailure>> => {
    const model = repository.find(request.modelName, request.modelVersion ?? '');
    return model.ok ? model.value.infer(request) : model;
  };
  return {
    ServerLive: always('ServerLive', { live: true }),
    ServerReady: always('ServerReady', { ready: true }),
    ServerMetadata: always('ServerMetadata', {
      name: 'bulkhead-demo-model-server',
      version: process.version,
      extensions: ['statistics', 'model_repository'],
    }),
    ModelReady: unary('ModelReady', aboutModel, (request: ModelRequest) => ({
      ok: true,
      value: { ready: repository.find(request.name, request.version).ok },
    })),
    ModelMetadata: unary('ModelMetadata', aboutModel, (request: ModelRequest) => {
      const model = repository.find(request.name, request.version);
      return model.ok ? { ok: true, value: model.value.metadata } : model;
    }),
    ModelStatistics: unary('ModelStatistics', aboutModel, (request: ModelRequest) => {
      if (request.name === '')
        return { ok: true, value: { modelStats: repository.models.map((model) => model.statistics.toMessage()) } };
      const model = repository.find(request.name, request.version);
      return model.ok ? { ok: true, value: { modelStats: [model.value.statistics.toMessage()] } } : model;
    }),
    RepositoryIndex: always('RepositoryIndex', {
      models: repository.models.map(({ name, version }) => ({ name, version, state: 'READY', reason: '' })),
    }),
    ModelInfer: unary('ModelInfer', aboutInference, infer),
    ModelStreamInfer: (call: ServerDuplexStream<InferRequest, StreamInferResponse>): void => {
      streamInfer(call, infer, (about) => seen(describe('ModelStreamInfer', about, call.metadata))).catch(
        (cause: unknown) => call.destroy(cause instanceof Error ? cause : new Error(String(cause))),
      );
    },
  };
}

/** Answers each message in turn. A failed inference is a message with `errorMessage`, as Triton does: the stream goes on. */
async function streamInfer(
  call: ServerDuplexStream<InferRequest, StreamInferResponse>,
  infer: (request: InferRequest) => Promise<Result<InferResponse, InferenceFailure>>,
  seen: (about: RequestFacts) => void,
): Promise<void> {
  // An iterator that ends destroys its stream, and the last answers with it, unless it is told not to.
  for await (const message of call.iterator({ destroyOnReturn: false })) {
    // Boundary: a Readable's items have no type; the deserializer made this one.
    const request = message as InferRequest;
    seen(aboutInference(request));
    const result = await infer(request);
    const response = result.ok
      ? { errorMessage: '', inferResponse: result.value }
      : { errorMessage: result.error.message, inferResponse: null };
    if (!call.write(response) && !call.cancelled) await once(call, 'drain');
  }
  call.end();
}

/** Calls back with the answer, once. Never rejects: what was thrown is INTERNAL. */
async function reply<A>(
  answer: () => Promise<Result<A, InferenceFailure>> | Result<A, InferenceFailure>,
  callback: sendUnaryData<A>,
): Promise<void> {
  let result: Result<A, Partial<ServiceError>>;
  try {
    const answered = await answer();
    result = answered.ok ? answered : err(errorOf(answered.error));
  } catch (cause) {
    result = err({ code: status.INTERNAL, details: String(cause) });
  }
  if (result.ok) callback(null, result.value);
  else callback(result.error);
}

function errorOf(failure: InferenceFailure): Partial<ServiceError> {
  return { code: STATUS_OF[failure.kind], details: failure.message };
}

function aboutInference(request: InferRequest): RequestFacts {
  return { model: request.modelName, id: request.id ?? '' };
}

function describe(method: string, { model, id }: RequestFacts, metadata: Metadata): SeenCall {
  const first = (name: string): string => String(metadata.get(name)[0] ?? '');
  return {
    method,
    model,
    id,
    tenant: first('x-bulkhead-tenant-id'),
    principal: first('x-bulkhead-principal'),
    traceparent: first('traceparent'),
    credentials: CREDENTIAL_HEADERS.filter((name) => metadata.get(name).length > 0),
  };
}
