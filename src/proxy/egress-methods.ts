/**
 * The methods that an egress listener's clients have called, by which its records and metrics name them. An egress sidecar has no
 * table of methods: names are the clients' to invent, so only so many are told apart.
 */

/** Names that are kept, for each listener and worker; calls of further ones are on record under their path only. */
export const MAX_EGRESS_METHODS = 256;
/** Longest name that is kept, in characters. */
export const MAX_EGRESS_METHOD_LENGTH = 256;

/** A method that records call by its name. */
export interface EgressMethod {
  /** `package.Service/Method`. */
  readonly fullName: string;
}

export class EgressMethods {
  readonly #known = new Map<string, EgressMethod>();

  /** The method of a canonical name; undefined when there are too many of them, or it is too long. */
  known(fullName: string): EgressMethod | undefined {
    const known = this.#known.get(fullName);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_EGRESS_METHODS || fullName.length > MAX_EGRESS_METHOD_LENGTH) return undefined;
    const method = { fullName };
    this.#known.set(fullName, method);
    return method;
  }
}
