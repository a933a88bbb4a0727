/**
 * What of a message is counted: slots of `Measures`, and words for writing down the fields that go into them.
 */
import type { FieldShape, MeasuredField, MessageShape } from '../protobuf/field-plan.ts';
import { message } from './shape.ts';

/** Elements of all input tensors of a request: the product of a tensor's dimensions, summed. */
export const ELEMENTS_SLOT = 0;

export const MEASURE_SLOTS = 1;

/** A tensor, in which factors are. */
export function tensor(shape: MessageShape): FieldShape {
  return { ...message(shape), measure: { kind: 'product', into: ELEMENTS_SLOT } };
}

/** A list of dimensions. */
export const DIMENSIONS: MeasuredField = {
  kind: 'measured',
  name: 'shape',
  into: ELEMENTS_SLOT,
  how: 'factor',
  repeated: true,
};

/** A message for each dimension, of which this field says how large it is. */
export const DIMENSION_SIZE: MeasuredField = {
  kind: 'measured',
  name: 'tensor_shape.dim.size',
  into: ELEMENTS_SLOT,
  how: 'size',
  repeated: false,
};
