/**
 * TorchServe's inference and management services, and the Open Inference Protocol, which it has when it is told to. A test holds methods, numbers and wire types against the proto.
 */
import { type MessageShape, planFields } from '../protobuf/field-plan.ts';
import { row, type ServiceRows } from './method-row.ts';
import { OPEN_INFERENCE } from './open-inference.ts';
import { captured, MODEL_SLOT, message, number, PAYLOAD, VARINT, VERSION_SLOT } from './shape.ts';
import { UNREAD_TOKENS } from './token-usage.ts';

const MODEL: MessageShape = { 1: captured(MODEL_SLOT, 'model_name'), 2: captured(VERSION_SLOT, 'model_version') };

const PREDICTIONS = planFields({ ...MODEL, 3: message({ 1: PAYLOAD, 2: PAYLOAD }), 4: PAYLOAD });
const DESCRIBE = planFields({ ...MODEL, 3: number(VARINT) });
/** SetDefaultRequest, UnregisterModelRequest. */
const NAMED_MODEL = planFields(MODEL);
const SCALE = planFields({
  ...MODEL,
  3: number(VARINT),
  4: number(VARINT),
  5: number(VARINT),
  6: number(VARINT),
  7: number(VARINT),
});
/** It names no version. An empty name leaves it to the archive behind the URL. */
const REGISTER = planFields({
  1: number(VARINT),
  2: PAYLOAD,
  3: number(VARINT),
  4: number(VARINT),
  5: captured(MODEL_SLOT, 'model_name'),
  6: number(VARINT),
  7: PAYLOAD,
  8: number(VARINT),
  9: PAYLOAD,
  10: number(VARINT),
  11: number(VARINT),
});

/** Rows by `package.Service`. */
export const TORCHSERVE: ReadonlyMap<string, ServiceRows> = new Map([
  [
    'org.pytorch.serve.grpc.inference.InferenceAPIsService',
    new Map([
      ['Ping', row(undefined, false, '')],
      ['Predictions', { ...row(PREDICTIONS, false, ''), tokens: UNREAD_TOKENS }],
      ['StreamPredictions', { ...row(PREDICTIONS, false, ''), tokens: UNREAD_TOKENS }],
      [
        'StreamPredictions2',
        { ...row(PREDICTIONS, false, 'state of a sequence of the model', true), tokens: UNREAD_TOKENS },
      ],
    ]),
  ],
  ['org.pytorch.serve.grpc.openinference.GRPCInferenceService', new Map(OPEN_INFERENCE)],
  [
    'org.pytorch.serve.grpc.management.ManagementAPIsService',
    new Map([
      ['DescribeModel', row(DESCRIBE, false, '')],
      // Tells the names and archives of everyone's models.
      ['ListModels', row(undefined, true, '')],
      ['RegisterModel', row(REGISTER, true, 'which models are served, and which code from which URL the server runs')],
      ['ScaleWorker', row(SCALE, true, 'how many workers a model has, down to none')],
      ['SetDefault', row(NAMED_MODEL, true, 'which version of a model everyone gets')],
      ['UnregisterModel', row(NAMED_MODEL, true, 'which models are served')],
    ]),
  ],
]);
