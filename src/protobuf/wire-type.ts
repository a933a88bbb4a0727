/**
 * Protobuf's wire types, and which of them a planned field may come in.
 */
import type { PlannedField } from './field-plan.ts';

export const WireType = { Varint: 0, Fixed64: 1, Length: 2, GroupStart: 3, GroupEnd: 4, Fixed32: 5 } as const;

export function allows(field: PlannedField, wireType: number): boolean {
  switch (field.kind) {
    case 'integer':
    case 'scoped-integer':
      return wireType === WireType.Varint;
    case 'group':
      return wireType === WireType.GroupStart;
    case 'measured':
      return wireType === WireType.Varint || (wireType === WireType.Length && field.repeated);
    case 'number':
      return wireType === field.wireType || (wireType === WireType.Length && field.repeated);
    default:
      return wireType === WireType.Length;
  }
}

/** Bytes of a packed list's element; 1 when they vary. */
export function elementBytes(wireType: number): number {
  if (wireType === WireType.Fixed64) return 8;
  return wireType === WireType.Fixed32 ? 4 : 1;
}
