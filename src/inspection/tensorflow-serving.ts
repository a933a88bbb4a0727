/**
 * TensorFlow Serving's three services. A test holds methods, numbers and wire types against the proto.
 *
 * The model stands in a ModelSpec. Its version is a number or a label of the server's configuration, which the server resolves:
 * the label `prod` is the version `label:prod`, so that no label passes for a number.
 */
import { VERSION_LABEL_PREFIX } from '../kernel/version-label.ts';
import { type FieldShape, type MessageShape, planFields } from '../protobuf/field-plan.ts';
import { DIMENSION_SIZE, tensor } from './measured-fields.ts';
import { row, type ServiceRows } from './method-row.ts';
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
import { UNREAD_TOKENS } from './token-usage.ts';

export const TENSORFLOW_SERVING_PACKAGE = 'tensorflow.serving';

/** Claims of a request's fields: its ModelSpec, and the version in that. */
const SPEC = 0;
const VERSION_CHOICE = 1;

const INT64_VALUE: MessageShape = {
  1: { kind: 'integer', slot: VERSION_SLOT, name: 'model_spec.version', form: 'int64', zero: '0' },
};

const MODEL_SPEC: MessageShape = {
  1: captured(MODEL_SLOT, 'model_spec.name'),
  // The message may be empty, and is the version 0 then.
  2: { kind: 'message', shape: INT64_VALUE, claim: VERSION_CHOICE, present: { slot: VERSION_SLOT, text: '0' } },
  3: PAYLOAD,
  4: {
    kind: 'captured',
    slot: VERSION_SLOT,
    name: 'model_spec.version_label',
    prefix: VERSION_LABEL_PREFIX,
    claim: VERSION_CHOICE,
  },
};

const SPEC_FIELD: FieldShape = { kind: 'message', shape: MODEL_SPEC, claim: SPEC };

const FEATURE: MessageShape = {
  1: message({ 1: PAYLOAD }),
  2: message({ 1: numbers(FIXED32) }),
  3: message({ 1: numbers(VARINT) }),
};
const EXAMPLE: MessageShape = { 1: message({ 1: entry(FEATURE) }) };
const INPUT: MessageShape = {
  1: message({ 1: message(EXAMPLE) }),
  2: message({ 1: message(EXAMPLE), 2: message(EXAMPLE) }),
};

const TENSOR_SHAPE: MessageShape = { 2: message({ 1: number(VARINT), 2: PAYLOAD }), 3: number(VARINT) };

/** Of a tensor: its dimensions are counted, and not those that a handle in it tells of something else. */
const COUNTED_SHAPE: MessageShape = {
  2: { ...message({ 1: DIMENSION_SIZE, 2: PAYLOAD }), measure: { kind: 'factor' } },
  3: number(VARINT),
};

const RESOURCE_HANDLE: MessageShape = {
  1: PAYLOAD,
  2: PAYLOAD,
  3: PAYLOAD,
  4: number(VARINT),
  5: PAYLOAD,
  6: message({ 1: number(VARINT), 2: message(TENSOR_SHAPE) }),
};

/** A variant holds tensors again. */
const VARIANT: { [number: number]: FieldShape } = { 1: PAYLOAD, 2: PAYLOAD };

const TENSOR: MessageShape = {
  1: number(VARINT),
  2: message(COUNTED_SHAPE),
  3: number(VARINT),
  4: PAYLOAD,
  5: numbers(FIXED32),
  6: numbers(FIXED64),
  7: numbers(VARINT),
  8: PAYLOAD,
  9: numbers(FIXED32),
  10: numbers(VARINT),
  11: numbers(VARINT),
  12: numbers(FIXED64),
  13: numbers(VARINT),
  14: message(RESOURCE_HANDLE),
  15: message(VARIANT),
  16: numbers(VARINT),
  17: numbers(VARINT),
};
VARIANT[3] = tensor(TENSOR);

const REQUEST_OPTIONS: MessageShape = {
  1: PAYLOAD,
  2: number(VARINT),
  3: number(VARINT),
  4: numbers(VARINT),
  6: number(VARINT),
  9: number(VARINT),
  13: message({ 1: number(VARINT) }),
};

const RUN_OPTIONS: MessageShape = {
  1: number(VARINT),
  2: number(VARINT),
  3: number(VARINT),
  5: number(VARINT),
  6: message({
    4: message({ 1: PAYLOAD, 2: number(VARINT), 3: PAYLOAD, 4: PAYLOAD, 5: number(VARINT) }),
    10: number(VARINT),
    11: number(VARINT),
  }),
  7: number(VARINT),
  8: message({ 1: number(VARINT), 2: number(VARINT), 3: message({ 1: number(VARINT) }) }),
};

/** ClassificationRequest, RegressionRequest. */
const EXAMPLES = planFields({ 1: SPEC_FIELD, 2: message(INPUT) });

const PREDICT = planFields({
  1: SPEC_FIELD,
  2: message({ 1: PAYLOAD, 2: tensor(TENSOR) }),
  3: PAYLOAD,
  5: message({ 1: number(VARINT), 2: message({ 1: PAYLOAD, 2: number(VARINT) }), 3: number(VARINT) }),
  6: PAYLOAD,
  7: message(REQUEST_OPTIONS),
});

const MULTI_INFERENCE = planFields({
  1: { kind: 'message', shape: { 1: SPEC_FIELD, 2: PAYLOAD }, repeats: 'each' },
  2: message(INPUT),
});

/** GetModelMetadataRequest, whose fields' names are strings, and GetModelStatusRequest. */
const METADATA = planFields({ 1: SPEC_FIELD, 2: PAYLOAD });
const STATUS = planFields({ 1: SPEC_FIELD });

const SESSION_RUN = planFields({
  1: SPEC_FIELD,
  2: message({ 1: PAYLOAD, 2: tensor(TENSOR) }),
  3: PAYLOAD,
  4: PAYLOAD,
  5: message(RUN_OPTIONS),
  6: number(VARINT),
});

/** Rows by `package.Service`. */
export const TENSORFLOW_SERVING: ReadonlyMap<string, ServiceRows> = new Map([
  [
    `${TENSORFLOW_SERVING_PACKAGE}.PredictionService`,
    new Map([
      ['Classify', row(EXAMPLES, false, '')],
      ['Regress', row(EXAMPLES, false, '')],
      [
        'Predict',
        { ...row(PREDICT, false, 'resources and variables that the model’s graph keeps'), tokens: UNREAD_TOKENS },
      ],
      // Every task names a model of its own.
      ['MultiInference', row(MULTI_INFERENCE, false, '')],
      ['GetModelMetadata', row(METADATA, false, '')],
    ]),
  ],
  [
    `${TENSORFLOW_SERVING_PACKAGE}.ModelService`,
    new Map([
      ['GetModelStatus', row(STATUS, false, '')],
      // Its list of models replaces the server's.
      ['HandleReloadConfigRequest', row(undefined, true, 'which models and versions are served, and from which files')],
    ]),
  ],
  [
    `${TENSORFLOW_SERVING_PACKAGE}.SessionService`,
    new Map([
      // Runs any node of the graph, beyond the model's signatures, and its debug options say which URLs and files are written.
      ['SessionRun', row(SESSION_RUN, true, 'whatever the graph’s nodes can, and files that its debug options name')],
    ]),
  ],
]);
