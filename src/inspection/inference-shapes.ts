/**
 * The requests of the KServe V2 service that name a model, as the wire scanner must know them. A test holds every number and
 * wire type against the proto.
 */
import { type FieldShape, type MessageShape, type NumberWireType, planFields } from '../protobuf/field-plan.ts';

/** Slot of the model's name in what the scanner yields. */
export const MODEL_SLOT = 0;
/** Slot of the model's version, in plans that have one. */
export const VERSION_SLOT = 1;

const VARINT = 0;
const FIXED64 = 1;
const FIXED32 = 5;

const PAYLOAD: FieldShape = { kind: 'payload' };

function captured(slot: number, name: string): FieldShape {
  return { kind: 'captured', slot, name };
}

function message(shape: MessageShape): FieldShape {
  return { kind: 'message', shape };
}

function number(wireType: NumberWireType): FieldShape {
  return { kind: 'number', wireType, repeated: false };
}

function numbers(wireType: NumberWireType): FieldShape {
  return { kind: 'number', wireType, repeated: true };
}

/** A map's entry: the key is a string in all of these. */
function entry(value: MessageShape): FieldShape {
  return message({ 1: PAYLOAD, 2: message(value) });
}

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
