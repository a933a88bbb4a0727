import { describe, expect, it } from 'vitest';
import { EgressMethods, MAX_EGRESS_METHOD_LENGTH, MAX_EGRESS_METHODS } from '../../../src/proxy/egress-methods.ts';

describe('the methods that an egress listener knows', () => {
  it('are as many as may be told apart, and not one more', () => {
    const methods = new EgressMethods();
    for (let index = 0; index < MAX_EGRESS_METHODS; index++) {
      expect(methods.known(`a.B/M${index}`)).toEqual({ fullName: `a.B/M${index}` });
    }
    expect(methods.known('a.B/OneMore')).toBeUndefined();
    expect(methods.known('a.B/M0')).toEqual({ fullName: 'a.B/M0' });
  });

  it('have names as long as may be kept, and not one character longer', () => {
    const methods = new EgressMethods();
    const longest = `a.B/${'M'.repeat(MAX_EGRESS_METHOD_LENGTH - 4)}`;
    expect(methods.known(longest)?.fullName).toBe(longest);
    expect(methods.known(`${longest}M`)).toBeUndefined();
  });
});
