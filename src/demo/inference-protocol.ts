/**
 * The KServe V2 service as grpc-js needs it, and the messages of it that the demo's client and model server exchange.
 *
 * 64-bit integers are decimal strings: a tensor's INT64 element may be above 2^53.
 */
import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export const INFERENCE_SERVICE = 'inference.GRPCInferenceService';

export interface TensorContents {
  readonly fp32Contents?: readonly number[];
  readonly int64Contents?: readonly string[];
}

export interface TensorMessage {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly string[];
  /** Absent when the tensor's elements are in the raw contents. */
  readonly contents?: TensorContents | null;
}

export interface InferRequest {
  readonly modelName: string;
  readonly modelVersion?: string;
  readonly id?: string;
  readonly inputs: readonly TensorMessage[];
  /** Empty: all outputs. */
  readonly outputs?: readonly { readonly name: string }[];
  readonly rawInputContents?: readonly Buffer[];
}

export interface InferResponse {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id: string;
  readonly outputs: readonly TensorMessage[];
  readonly rawOutputContents: readonly Buffer[];
}

export interface StreamInferResponse {
  /** Not empty: this response failed, the stream goes on. */
  readonly errorMessage: string;
  readonly inferResponse: InferResponse | null;
}

/** A request that names a model: ModelReady, ModelMetadata, ModelStatistics. */
export interface ModelRequest {
  readonly name: string;
  readonly version: string;
}

export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorMessage[];
  readonly outputs: readonly TensorMessage[];
}

export interface StatisticDuration {
  readonly count: string;
  readonly ns: string;
}

export interface ModelStatisticsMessage {
  readonly name: string;
  readonly version: string;
  /** Milliseconds since the Unix epoch. */
  readonly lastInference: string;
  /** Rows that were inferred. */
  readonly inferenceCount: string;
  /** Runs of the model, each over one batch. */
  readonly executionCount: string;
  readonly inferenceStats: {
    readonly success: StatisticDuration;
    readonly fail: StatisticDuration;
    readonly computeInput: StatisticDuration;
    readonly computeInfer: StatisticDuration;
    readonly computeOutput: StatisticDuration;
  };
}

/** Loads the service's definition from `proto/`. */
export function loadInferenceService(): ServiceDefinition {
  const file = fileURLToPath(new URL('../../proto/inference/grpc_inference_service.proto', import.meta.url));
  const definition = loadSync(file, { longs: String, enums: String, defaults: true, arrays: true })[INFERENCE_SERVICE];
  if (definition === undefined) throw new Error(`${file} has no service ${INFERENCE_SERVICE}`);
  // Boundary: proto-loader's map holds services and messages under one type; this name is the service.
  return definition as ServiceDefinition;
}
