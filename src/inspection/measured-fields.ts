/**
 * What of a message is counted: slots of `Measures`, and words for writing down the fields that go into them.
 */
import type { FieldShape, MeasuredField, MessageShape } from '../protobuf/field-plan.ts';
import { message } from './shape.ts';

/** Elements of all input tensors of a request: the product of a tensor's dimensions, summed. */
export const ELEMENTS_SLOT = 0;
/** Of a request: the most tokens that each answer may have, how many answers it asks for, and the tokens of its prompt. */
export const MAX_TOKENS_SLOT = 1;
export const ANSWERS_SLOT = 2;
export const PROMPT_SLOT = 3;
/** Of a response: the prompt's tokens; those of this piece; all so far; those of an answer that is complete, by number and one by one. */
export const PROMPT_TOKENS_SLOT = 4;
export const PIECE_SLOT = 5;
export const SO_FAR_SLOT = 6;
export const ANSWER_SLOT = 7;
export const ANSWER_TOKENS_SLOT = 8;
/** Of a response: what its parameters of the configured names say. */
export const NAMED_INPUT_SLOT = 9;
export const NAMED_OUTPUT_SLOT = 10;

export const MEASURE_SLOTS = 11;

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

/** A field that says a number. */
export function counted(into: number, name: string): MeasuredField {
  return { kind: 'measured', name, into, how: 'value', repeated: false };
}

/** A uint32 of a request, which is reserved by: what the model server reads is what is counted. */
export function asked(into: number, name: string): MeasuredField {
  return { kind: 'measured', name, into, how: 'uint32', repeated: false };
}

/** A list, of which the length counts. */
export function listed(into: number, name: string): MeasuredField {
  return { kind: 'measured', name, into, how: 'length', repeated: true };
}
