/**
 * What of a method's messages stands in its tenant's namespace, on a server that several tenants share.
 */
import type { FieldPlan } from '../protobuf/field-plan.ts';
import type { NameMapping } from '../protobuf/name-edits.ts';

/** The longest list of all tenants' names that can be told apart. */
export const MAX_NAME_LIST_BYTES = 1024 * 1024;

/** A row's part. */
export interface NamedFields {
  /** The request's plan, of a method whose requests name no model; otherwise the one that reads the model has its names, too. */
  readonly request?: FieldPlan;
  /** Without it the response has none. */
  readonly response?: FieldPlan;
  /** The response is a list of all tenants' names: it is held until its end, and nobody sees but their own. */
  readonly lists?: boolean;
  /** Whether a request must name a region: without a name it would be about all tenants'. */
  readonly required?: boolean;
  /** Whether it names an object of the host, in the slot `KEY_SLOT`. */
  readonly key?: boolean;
}

/** A method's, of one tenant. */
export interface MethodNames extends NamedFields {
  readonly entering: NameMapping;
  readonly leaving: NameMapping;
  /** What the name of an object of the host may be. */
  readonly keys: SharedMemoryKeys;
}

/** Which shared memory objects of the host a tenant may name: those whose names begin with one of these. */
export class SharedMemoryKeys {
  readonly prefixes: readonly string[];

  constructor(prefixes: readonly string[]) {
    this.prefixes = prefixes;
  }

  /**
   * Whether it may name this one. `shm_open` takes any number of slashes in front, and none elsewhere; what some system might read as
   * a path is refused.
   */
  allow(key: string): boolean {
    const object = key.replace(/^\/+/, '');
    return !object.includes('/') && this.prefixes.some((prefix) => object.startsWith(prefix));
  }
}
