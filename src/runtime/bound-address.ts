/**
 * Whether a changed configuration still means the address that is bound.
 */

interface Address {
  readonly address: string;
  readonly port: number;
}

/**
 * `bound` is what is listened on, `before` and `after` what the configuration said and says. Port 0 is any: who had asked for any
 * and asks again keeps the one that was found.
 */
export function isSameAddress(bound: Address, before: Address, after: Address): boolean {
  if (after.address !== bound.address) return false;
  return after.port === bound.port || (after.port === 0 && before.port === 0);
}
