/**
 * In which class of a tenant's calls a call is, by its method and by the role that allows it.
 */
import type { MethodPermit } from '../authz/authorizer.ts';
import { Glob } from '../authz/glob.ts';
import type { TenantScheduling } from '../config/scheduling-config.ts';

interface Rule {
  readonly index: number;
  readonly methods: readonly Glob[] | undefined;
  readonly roles: ReadonlySet<string> | undefined;
}

export class CallClasses {
  readonly #default: number;
  readonly #rules: readonly Rule[];

  constructor({ defaultClass, rules }: Pick<TenantScheduling, 'defaultClass' | 'rules'>) {
    this.#default = defaultClass;
    this.#rules = rules.map(({ class: index, methods, roles }) => ({
      index,
      methods: methods?.map((pattern) => new Glob(pattern)),
      roles: roles && new Set(roles),
    }));
  }

  /** Index of the class: the first rule that is about the call says so. */
  of({ method, role }: Pick<MethodPermit, 'method' | 'role'>): number {
    for (const { index, methods, roles } of this.#rules)
      if (roles?.has(role) !== false && methods?.some((glob) => glob.matches(method.fullName)) !== false) return index;
    return this.#default;
  }
}
