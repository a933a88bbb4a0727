/**
 * The requests of the KServe V2 service that name a model, as the wire scanner must know them. A test holds every number and
 * wire type against the proto.
 */
import { type FieldShape, type MessageShape, planFields } from '../protobuf/field-plan.ts';
import { DIMENSIONS, tensor } from './measured-fields.ts';
import {
  captured,
  entry,
  FIXED32,
  FIXED64,
  KEY_SLOT,
  keyedEntry,
  MODEL_SLOT,
  message,
  number,
  numbers,
  ownEntry,
  PAYLOAD,
  scoped,
  VARINT,
  VERSION_SLOT,
} from './shape.ts';

const SEQUENCE = 'sequence_id';
/** STRING_CORRELATION_ID_MAX_LENGTH_BYTES of Triton's. */
const MAX_SEQUENCE_BYTES = 128;

const INFER_PARAMETER: MessageShape = {
  1: number(VARINT),
  2: number(VARINT),
  3: PAYLOAD,
  4: number(FIXED64),
  5: number(VARINT),
};

/** Of a request: a sequence is a number or a text, and none is 0 or empty. */
const SEQUENCE_PARAMETER: MessageShape = {
  ...INFER_PARAMETER,
  2: { kind: 'scoped-integer', name: SEQUENCE },
  3: { kind: 'scoped', name: SEQUENCE, maxBytes: MAX_SEQUENCE_BYTES },
  5: { kind: 'scoped-integer', name: SEQUENCE },
};

const PARAMETERS = keyedEntry(SEQUENCE, SEQUENCE_PARAMETER);
/** Of a tensor. */
const TENSOR_PARAMETERS = keyedEntry('shared_memory_region', { ...INFER_PARAMETER, 3: scoped('shared_memory_region') });

const TENSOR_CONTENTS: MessageShape = {
  1: numbers(VARINT),
  2: numbers(VARINT),
  3: numbers(VARINT),
  4: numbers(VARINT),
  5: numbers(VARINT),
  6: numbers(FIXED32),
  7: numbers(FIXED64),
  8: PAYLOAD,
};

/** InferOutputTensor of a response. */
const OUTPUT_TENSOR: MessageShape = {
  1: PAYLOAD,
  2: PAYLOAD,
  3: numbers(VARINT),
  4: TENSOR_PARAMETERS,
  5: message(TENSOR_CONTENTS),
};

/** InferInputTensor. */
const INPUT_TENSOR: MessageShape = { ...OUTPUT_TENSOR, 3: DIMENSIONS };

const REQUESTED_OUTPUT: MessageShape = { 1: PAYLOAD, 2: TENSOR_PARAMETERS };

const REPOSITORY_PARAMETER: MessageShape = { 1: number(VARINT), 2: number(VARINT), 3: PAYLOAD, 4: PAYLOAD };

/** ModelInferRequest. */
export const INFER = planFields({
  1: captured(MODEL_SLOT, 'model_name'),
  2: captured(VERSION_SLOT, 'model_version'),
  3: scoped('id'),
  4: PARAMETERS,
  5: tensor(INPUT_TENSOR),
  6: message(REQUESTED_OUTPUT),
  7: PAYLOAD,
});

const INFER_RESPONSE_SHAPE: MessageShape = {
  1: PAYLOAD,
  2: PAYLOAD,
  3: scoped('id'),
  4: PARAMETERS,
  5: message(OUTPUT_TENSOR),
  6: PAYLOAD,
};

/** ModelInferResponse. */
export const INFER_RESPONSE = planFields(INFER_RESPONSE_SHAPE);

/** ModelStreamInferResponse. */
export const STREAM_INFER_RESPONSE = planFields({ 1: PAYLOAD, 2: message(INFER_RESPONSE_SHAPE) });

/** ModelReadyRequest, ModelMetadataRequest, ModelConfigRequest, ModelStatisticsRequest. */
export const NAMED_MODEL = planFields({ 1: captured(MODEL_SLOT, 'name'), 2: captured(VERSION_SLOT, 'version') });

/** RepositoryModelLoadRequest, RepositoryModelUnloadRequest: they name no version. */
export const REPOSITORY_MODEL = planFields({
  1: PAYLOAD,
  2: captured(MODEL_SLOT, 'model_name'),
  3: entry(REPOSITORY_PARAMETER),
});

/** TraceSettingRequest. */
export const MODEL_SETTINGS = planFields({
  1: entry({ 1: PAYLOAD }),
  2: captured(MODEL_SLOT, 'model_name'),
});

/** The name of a region of shared memory, which must not be left out: without one it would be all tenants' regions. */
const REGION: FieldShape = { kind: 'scoped', name: 'name', required: true };

/** SystemSharedMemoryRegisterRequest. */
export const REGISTER_SYSTEM_REGION = planFields({
  1: REGION,
  2: captured(KEY_SLOT, 'key'),
  3: number(VARINT),
  4: number(VARINT),
});

/** CudaSharedMemoryRegisterRequest. */
export const REGISTER_CUDA_REGION = planFields({ 1: REGION, 2: PAYLOAD, 3: number(VARINT), 4: number(VARINT) });

/** SystemSharedMemoryUnregisterRequest, CudaSharedMemoryUnregisterRequest. */
export const UNREGISTER_REGION = planFields({ 1: REGION });

/** SystemSharedMemoryStatusRequest, CudaSharedMemoryStatusRequest: without a name, of all regions. */
export const REGION_STATUS = planFields({ 1: scoped('name') });

/** SystemSharedMemoryStatusResponse, CudaSharedMemoryStatusResponse: regions by name, of which a tenant sees its own. */
export const SYSTEM_REGIONS = planFields({
  1: ownEntry({ 1: scoped('name'), 2: PAYLOAD, 3: number(VARINT), 4: number(VARINT) }),
});
export const CUDA_REGIONS = planFields({ 1: ownEntry({ 1: scoped('name'), 2: number(VARINT), 3: number(VARINT) }) });
