/**
 * The models of a directory: every `*.onnx` in it, loaded into ONNX Runtime on the CPU, as version 1.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InferenceSession, type Tensor } from 'onnxruntime-node';
import { err, ok, type Result } from '../../kernel/result.ts';
import type { InferRequest, InferResponse, ModelMetadata, TensorMessage } from '../inference-protocol.ts';
import { ModelStatistics } from './model-statistics.ts';
import { datatypeOf, readInputs, writeOutput } from './tensor-codec.ts';

const VERSION = '1';

/** Why a model gives no answer. */
export type InferenceFailure =
  | { readonly kind: 'unknown_model'; readonly message: string }
  | { readonly kind: 'bad_request'; readonly message: string }
  | { readonly kind: 'broken'; readonly message: string };

export interface Model {
  readonly name: string;
  readonly version: string;
  readonly metadata: ModelMetadata;
  readonly statistics: ModelStatistics;
  /** Runs the model over the request's batch. */
  infer(request: InferRequest): Promise<Result<InferResponse, InferenceFailure>>;
}

export interface ModelRepository {
  readonly models: readonly Model[];
  /** The model by name and version; an empty version is the newest. */
  find(name: string, version: string): Result<Model, InferenceFailure>;
}

/** Loads every model of the directory; throws when one does not load. */
export async function loadModels(directory: string): Promise<ModelRepository> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.onnx')).sort();
  const models = new Map<string, Model>();
  for (const file of files) {
    const name = basename(file, '.onnx');
    models.set(name, await loadModel(name, join(directory, file)));
  }
  return {
    models: [...models.values()],
    find(name, version) {
      const model = models.get(name);
      if (model !== undefined && (version === '' || version === VERSION)) return ok(model);
      return err({
        kind: 'unknown_model',
        message: `model '${name}'${version === '' ? '' : ` version '${version}'`} is not found`,
      });
    },
  };
}

async function loadModel(name: string, file: string): Promise<Model> {
  // One thread: the demo shares its cores with a sidecar and a client, and these models take microseconds.
  const session = await InferenceSession.create(file, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const statistics = new ModelStatistics(name, VERSION);
  return {
    name,
    version: VERSION,
    statistics,
    metadata: {
      name,
      versions: [VERSION],
      platform: 'onnxruntime_onnx',
      inputs: session.inputMetadata.map(describeTensor),
      outputs: session.outputMetadata.map(describeTensor),
    },
    async infer(request) {
      const started = process.hrtime.bigint();
      const answer = await runModel(session, name, statistics, request);
      if (!answer.ok) statistics.failed(process.hrtime.bigint() - started);
      return answer;
    },
  };
}

function describeTensor(metadata: InferenceSession.ValueMetadata): TensorMessage {
  if (!metadata.isTensor) return { name: metadata.name, datatype: 'BYTES', shape: [] };
  return {
    name: metadata.name,
    datatype: datatypeOf(metadata.type) ?? metadata.type,
    shape: metadata.shape.map((dimension) => (typeof dimension === 'number' ? String(dimension) : '-1')),
  };
}

async function runModel(
  session: InferenceSession,
  name: string,
  statistics: ModelStatistics,
  request: InferRequest,
): Promise<Result<InferResponse, InferenceFailure>> {
  const began = process.hrtime.bigint();
  const feeds = readInputs(request);
  if (!feeds.ok) return err({ kind: 'bad_request', message: feeds.error });
  const wanted = (request.outputs ?? []).map((output) => output.name);
  const mismatch = mismatchOf(session, feeds.value, wanted);
  if (mismatch !== undefined) return err({ kind: 'bad_request', message: mismatch });

  const inferring = process.hrtime.bigint();
  let results: InferenceSession.OnnxValueMapType;
  try {
    results = await (wanted.length > 0 ? session.run(feeds.value, wanted) : session.run(feeds.value));
  } catch (cause) {
    return err({ kind: 'broken', message: cause instanceof Error ? cause.message : String(cause) });
  }
  const inferred = process.hrtime.bigint();

  const outputs: TensorMessage[] = [];
  const raws: Buffer[] = [];
  for (const output of wanted.length > 0 ? wanted : session.outputNames) {
    // Boundary: `describeTensor` has seen that this model's outputs are tensors.
    const written = writeOutput(output, results[output] as Tensor);
    if (written === undefined) return err({ kind: 'broken', message: `output '${output}' is neither FP32 nor INT64` });
    outputs.push(written.message);
    raws.push(written.raw);
  }
  const times = {
    computeInput: inferring - began,
    computeInfer: inferred - inferring,
    computeOutput: process.hrtime.bigint() - inferred,
  };
  statistics.succeeded(Number(outputs[0]?.shape[0] ?? 1), times, Date.now());
  return ok({ modelName: name, modelVersion: VERSION, id: request.id ?? '', outputs, rawOutputContents: raws });
}

/** What in the request does not fit the model, or undefined. ONNX Runtime would say it too, but as an internal error. */
function mismatchOf(
  session: InferenceSession,
  feeds: Record<string, Tensor>,
  wanted: readonly string[],
): string | undefined {
  const unknown = Object.keys(feeds).find((name) => !session.inputNames.includes(name));
  if (unknown !== undefined) return `unexpected input '${unknown}', expected ${session.inputNames.join(', ')}`;
  const output = wanted.find((name) => !session.outputNames.includes(name));
  if (output !== undefined) return `unexpected output '${output}', expected ${session.outputNames.join(', ')}`;
  for (const metadata of session.inputMetadata) {
    const tensor = feeds[metadata.name];
    if (tensor === undefined) return `input '${metadata.name}' is missing`;
    if (!metadata.isTensor) continue;
    const fits =
      tensor.type === metadata.type &&
      tensor.dims.length === metadata.shape.length &&
      metadata.shape.every((dimension, axis) => typeof dimension === 'string' || dimension === tensor.dims[axis]);
    const shape = (dims: readonly (number | string)[]): string => `[${dims.join(',')}]`;
    if (!fits) {
      return `input '${metadata.name}' is ${tensor.type} ${shape(tensor.dims)}, expected ${metadata.type} ${shape(metadata.shape)}`;
    }
  }
  return undefined;
}
