/**
 * Tensors between the KServe V2 protocol and ONNX Runtime: FP32 and INT64, typed contents or raw little-endian bytes.
 */
import { Tensor } from 'onnxruntime-node';
import { err, ok, type Result } from '../../kernel/result.ts';
import type { InferRequest, TensorMessage } from '../inference-protocol.ts';

const BYTES_PER_ELEMENT: Readonly<Record<string, number>> = { FP32: 4, INT64: 8 };
const DATATYPES: Readonly<Record<string, string>> = { float32: 'FP32', int64: 'INT64' };

/** The protocol's name for an ONNX Runtime element type; undefined for those that this server does not serve. */
export function datatypeOf(type: string): string | undefined {
  return DATATYPES[type];
}

/** Reads all inputs of a request by name, or says which is wrong and how. */
export function readInputs(request: InferRequest): Result<Record<string, Tensor>, string> {
  const raw = request.rawInputContents ?? [];
  if (raw.length > 0 && raw.length !== request.inputs.length) {
    return err(`raw_input_contents has ${raw.length} elements for ${request.inputs.length} inputs`);
  }
  const tensors: Record<string, Tensor> = {};
  for (const [index, input] of request.inputs.entries()) {
    const tensor = readInput(input, raw[index]);
    if (!tensor.ok) return err(`input '${input.name}': ${tensor.error}`);
    tensors[input.name] = tensor.value;
  }
  return ok(tensors);
}

function readInput(input: TensorMessage, raw: Buffer | undefined): Result<Tensor, string> {
  const elementBytes = BYTES_PER_ELEMENT[input.datatype];
  if (elementBytes === undefined) return err(`datatype ${input.datatype} is not FP32 or INT64`);
  const shape = input.shape.map(Number);
  if (!shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0))
    return err('shape has a bad dimension');
  const elements = shape.reduce((product, dimension) => product * dimension, 1);
  const data = raw === undefined ? readTyped(input) : readRaw(input.datatype, raw);
  if (data === undefined) return err(`${raw?.length} raw bytes are not a whole number of ${input.datatype} elements`);
  if (data.length !== elements)
    return err(`shape [${input.shape.join(',')}] takes ${elements} elements, got ${data.length}`);
  return ok(data instanceof Float32Array ? new Tensor('float32', data, shape) : new Tensor('int64', data, shape));
}

function readTyped(input: TensorMessage): Float32Array | BigInt64Array {
  return input.datatype === 'FP32'
    ? Float32Array.from(input.contents?.fp32Contents ?? [])
    : BigInt64Array.from(input.contents?.int64Contents ?? [], BigInt);
}

/** A view when the bytes happen to be aligned, else a copy: typed arrays need their element's alignment. */
function readRaw(datatype: string, raw: Buffer): Float32Array | BigInt64Array | undefined {
  const elementBytes = BYTES_PER_ELEMENT[datatype] ?? 1;
  if (raw.length % elementBytes !== 0) return undefined;
  const bytes = raw.byteOffset % elementBytes === 0 ? raw : Uint8Array.from(raw);
  const length = raw.length / elementBytes;
  return datatype === 'FP32'
    ? new Float32Array(bytes.buffer, bytes.byteOffset, length)
    : new BigInt64Array(bytes.buffer, bytes.byteOffset, length);
}

/** Writes one output as its description and its raw little-endian bytes; undefined when its type is not served. */
export function writeOutput(name: string, tensor: Tensor): { message: TensorMessage; raw: Buffer } | undefined {
  const datatype = datatypeOf(tensor.type);
  const data = tensor.data;
  if (datatype === undefined || !(data instanceof Float32Array || data instanceof BigInt64Array)) return undefined;
  return {
    message: { name, datatype, shape: tensor.dims.map(String) },
    raw: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  };
}
