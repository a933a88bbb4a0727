/**
 * The Open Inference Protocol as KServe's and TorchServe's own servers speak it: six methods, without Triton's extension. A test
 * holds numbers and wire types against the protos.
 */
import { type MessageShape, planFields } from '../protobuf/field-plan.ts';
import { DIMENSIONS, tensor } from './measured-fields.ts';
import { type MethodRow, row } from './method-row.ts';
import {
  captured,
  entry,
  FIXED32,
  FIXED64,
  MODEL_SLOT,
  message,
  number,
  numbers,
  PAYLOAD,
  scoped,
  VARINT,
  VERSION_SLOT,
} from './shape.ts';
import { INFER_TOKENS } from './token-usage.ts';

const PARAMETER: MessageShape = { 1: number(VARINT), 2: number(VARINT), 3: PAYLOAD };

const CONTENTS: MessageShape = {
  1: numbers(VARINT),
  2: numbers(VARINT),
  3: numbers(VARINT),
  4: numbers(VARINT),
  5: numbers(VARINT),
  6: numbers(FIXED32),
  7: numbers(FIXED64),
  8: PAYLOAD,
};

/** ModelInferRequest. */
const INFER = planFields({
  1: captured(MODEL_SLOT, 'model_name'),
  2: captured(VERSION_SLOT, 'model_version'),
  3: scoped('id'),
  4: entry(PARAMETER),
  5: tensor({ 1: PAYLOAD, 2: PAYLOAD, 3: DIMENSIONS, 4: entry(PARAMETER), 5: message(CONTENTS) }),
  6: message({ 1: PAYLOAD, 2: entry(PARAMETER) }),
  7: PAYLOAD,
});

/** ModelInferResponse: what stands behind its id is stepped over. */
const INFER_RESPONSE = planFields({ 1: PAYLOAD, 2: PAYLOAD, 3: scoped('id') });

/** ModelReadyRequest, ModelMetadataRequest. */
const NAMED_MODEL = planFields({ 1: captured(MODEL_SLOT, 'name'), 2: captured(VERSION_SLOT, 'version') });

/** Rows by method name. */
export const OPEN_INFERENCE: readonly (readonly [string, MethodRow])[] = [
  ['ServerLive', row(undefined, false, '')],
  ['ServerReady', row(undefined, false, '')],
  ['ModelReady', row(NAMED_MODEL, false, '')],
  ['ServerMetadata', row(undefined, false, '')],
  ['ModelMetadata', row(NAMED_MODEL, false, '')],
  ['ModelInfer', { ...row(INFER, false, ''), names: { response: INFER_RESPONSE }, tokens: INFER_TOKENS }],
];
