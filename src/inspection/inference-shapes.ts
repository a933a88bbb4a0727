/**
 * The requests of the KServe V2 service that name a model, as the wire scanner must know them. A test holds every number and
 * wire type against the proto.
 */
import { type MessageShape, planFields } from '../protobuf/field-plan.ts';
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
  VARINT,
  VERSION_SLOT,
} from './shape.ts';

const INFER_PARAMETER: MessageShape = {
  1: number(VARINT),
  2: number(VARINT),
  3: PAYLOAD,
  4: number(FIXED64),
  5: number(VARINT),
};

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

const INPUT_TENSOR: MessageShape = {
  1: PAYLOAD,
  2: PAYLOAD,
  3: numbers(VARINT),
  4: entry(INFER_PARAMETER),
  5: message(TENSOR_CONTENTS),
};

const REQUESTED_OUTPUT: MessageShape = { 1: PAYLOAD, 2: entry(INFER_PARAMETER) };

const REPOSITORY_PARAMETER: MessageShape = { 1: number(VARINT), 2: number(VARINT), 3: PAYLOAD, 4: PAYLOAD };

/** ModelInferRequest. */
export const INFER = planFields({
  1: captured(MODEL_SLOT, 'model_name'),
  2: captured(VERSION_SLOT, 'model_version'),
  3: PAYLOAD,
  4: entry(INFER_PARAMETER),
  5: message(INPUT_TENSOR),
  6: message(REQUESTED_OUTPUT),
  7: PAYLOAD,
});

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
