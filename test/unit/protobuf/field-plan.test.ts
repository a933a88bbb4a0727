import { describe, expect, it } from 'vitest';
import { planFields } from '../../../src/protobuf/field-plan.ts';

describe('a field plan', () => {
  it('is compiled by field number', () => {
    const plan = planFields({
      1: { kind: 'payload' },
      2: { kind: 'captured', slot: 0, name: 'a' },
      4: { kind: 'message', shape: { 1: { kind: 'captured', slot: 1, name: 'b' } } },
    });
    expect(plan.slots).toBe(2);
    expect(plan.root.fields.map((field) => field.kind)).toEqual([
      'unknown',
      'payload',
      'captured',
      'unknown',
      'message',
    ]);
  });

  it('that contradicts itself is refused', () => {
    expect(() => planFields({ 1: { kind: 'captured', slot: 1, name: 'a' } })).toThrow('slot 0');
    expect(() => planFields({ 0: { kind: 'payload' } })).toThrow('cannot be planned');
    expect(() => planFields({ [2 ** 29 - 1]: { kind: 'payload' } })).not.toThrow();
    expect(() => planFields({ [2 ** 29]: { kind: 'payload' } })).toThrow('cannot be planned');
  });
});
