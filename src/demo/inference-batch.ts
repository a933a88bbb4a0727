/**
 * Rows of features into an inference request, and its answer back into predictions.
 */
import type { InferRequest, InferResponse } from './inference-protocol.ts';
import { INPUT_NAMES, type ModelName, type Sample } from './models/samples.ts';

export interface Prediction {
  readonly label: number;
  /** Probability that the model gives to its label, 0..1. */
  readonly confidence: number;
}

/** One request for a batch of samples, with the tensor as raw bytes. */
export function batchRequest(model: ModelName, samples: readonly Sample[]): InferRequest {
  const values = Float32Array.from(samples.flatMap((sample) => sample.features));
  const width = values.length / Math.max(1, samples.length);
  return {
    modelName: model,
    inputs: [{ name: INPUT_NAMES[model], datatype: 'FP32', shape: [String(samples.length), String(width)] }],
    rawInputContents: [Buffer.from(values.buffer)],
  };
}

/** One request that repeats the samples until the tensor has this many rows. Only labels are asked for. */
export function repeatedRequest(model: ModelName, samples: readonly Sample[], rows: number): InferRequest {
  const width = samples[0]?.features.length ?? 0;
  const values = new Float32Array(rows * width);
  const block = Float32Array.from(samples.flatMap((sample) => sample.features));
  for (let at = 0; at < values.length; at += block.length) {
    values.set(block.subarray(0, Math.min(block.length, values.length - at)), at);
  }
  return {
    modelName: model,
    inputs: [{ name: INPUT_NAMES[model], datatype: 'FP32', shape: [String(rows), String(width)] }],
    outputs: [{ name: 'label' }],
    rawInputContents: [Buffer.from(values.buffer)],
  };
}

/** The request for one sample as protobuf's JSON mapping has it, for clients of the command line. */
export function jsonRequest(model: ModelName, sample: Sample): string {
  const { inputs } = batchRequest(model, [sample]);
  return JSON.stringify({
    model_name: model,
    inputs: inputs.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape,
      contents: { fp32_contents: sample.features },
    })),
  });
}

/** The labels of an answer, in the order of its rows; empty when it has none. */
export function readLabels(response: InferResponse | undefined): readonly number[] {
  const raw = rawOutput(response, 'label');
  return raw === undefined ? [] : Array.from(new BigInt64Array(Uint8Array.from(raw).buffer), Number);
}

/** Labels with their confidence. */
export function readPredictions(response: InferResponse | undefined): readonly Prediction[] {
  const labels = readLabels(response);
  const raw = rawOutput(response, 'probabilities');
  const probabilities = raw === undefined ? undefined : new Float32Array(Uint8Array.from(raw).buffer);
  const classes = (probabilities?.length ?? 0) / Math.max(1, labels.length);
  return labels.map((label, row) => ({ label, confidence: probabilities?.[row * classes + label] ?? 0 }));
}

function rawOutput(response: InferResponse | undefined, name: string): Buffer | undefined {
  const index = response?.outputs.findIndex((output) => output.name === name) ?? -1;
  return index === -1 ? undefined : response?.rawOutputContents[index];
}
