/**
 * Words for writing down the shapes of requests.
 */
import type { FieldShape, MessageShape, NumberWireType } from '../protobuf/field-plan.ts';

/** Slot of the model's name in what the scanner yields. */
export const MODEL_SLOT = 0;
/** Slot of the model's version, in plans that have one. */
export const VERSION_SLOT = 1;

/** Slot of the key of a shared memory object, in the plan that has one: it reads no model. */
export const KEY_SLOT = 0;

export const VARINT = 0;
export const FIXED64 = 1;
export const FIXED32 = 5;

/** A string or bytes field that nobody looks at, repeated or not. */
export const PAYLOAD: FieldShape = { kind: 'payload' };

/** A string that is read. */
export function captured(slot: number, name: string): FieldShape {
  return { kind: 'captured', slot, name };
}

/** A string that stands in its tenant's namespace. */
export function scoped(name: string): FieldShape {
  return { kind: 'scoped', name };
}

/** A message, repeated or not. */
export function message(shape: MessageShape): Extract<FieldShape, { readonly kind: 'message' }> {
  return { kind: 'message', shape };
}

export function number(wireType: NumberWireType): FieldShape {
  return { kind: 'number', wireType, repeated: false };
}

export function numbers(wireType: NumberWireType): FieldShape {
  return { kind: 'number', wireType, repeated: true };
}

/** A map's entry whose names are scoped when its key is this. */
export function keyedEntry(key: string, value: MessageShape): FieldShape {
  return { ...message({ 1: { kind: 'key' }, 2: message(value) }), scope: { kind: 'keyed', key } };
}

/** A map's entry whose key is scoped, of which a tenant sees its own. */
export function ownEntry(value: MessageShape): FieldShape {
  return { ...message({ 1: { kind: 'key' }, 2: message(value) }), scope: { kind: 'own' } };
}

/** A map's entry, whose key is a string and whose value a message. */
export function entry(value: MessageShape): FieldShape {
  return message({ 1: PAYLOAD, 2: message(value) });
}
