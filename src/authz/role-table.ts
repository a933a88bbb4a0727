/**
 * A tenant's roles and bindings, compiled: who has which role, what a role allows. Nothing is allowed by absence.
 */
import type { BindingConfig, RoleConfig, StepUpConfig } from '../config/policy-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import { ModelScope } from './model-scope.ts';
import { type NamedBy, type Principal, Principals } from './principals.ts';

/** A role that a binding gives. */
export interface Grant {
  readonly role: Role;
  /** `tenants/acme.yaml:31 bindings[0] → role predict`, for the audit record. */
  readonly rule: string;
  /** Conditions in CEL, the binding's and the role's: all of them must be met. */
  readonly conditions: readonly string[];
  /** The role or the binding is in shadow: it gives nothing, and it is on record what it would have given. */
  readonly shadow: boolean;
}

/** A role that a caller has, and which of its credentials gave it. */
export interface HeldGrant extends NamedBy {
  readonly grant: Grant;
}

export class Role {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly stepUp: StepUpConfig | undefined;
  readonly #methods: ReadonlySet<string>;
  /** `package.Service` of each `package.Service/*`; undefined: none. */
  readonly #services: ReadonlySet<string> | undefined;
  readonly #scope: ModelScope;

  constructor(config: RoleConfig) {
    this.name = config.name;
    this.scopes = config.scopes ?? UNCONDITIONAL;
    this.stepUp = config.stepUp;
    const isWhole = (method: string): boolean => method.endsWith('/*');
    this.#methods = new Set(config.methods.filter((method) => !isWhole(method)));
    const services = config.methods.filter(isWhole).map((method) => method.slice(0, -2));
    this.#services = services.length === 0 ? undefined : new Set(services);
    this.#scope = new ModelScope(config);
  }

  /** A sensitive method has to be named: `package.Service/*` is what anybody may be given. */
  hasMethod({ fullName, sensitive }: { readonly fullName: string; readonly sensitive: boolean }): boolean {
    if (this.#methods.has(fullName)) return true;
    return !sensitive && this.#services?.has(fullName.slice(0, fullName.lastIndexOf('/'))) === true;
  }

  hasModel(model: string, version: string): boolean {
    return this.#scope.has(model, version);
  }
}

interface Binding {
  readonly grant: Grant;
  readonly who: Principals;
}

export class RoleTable {
  readonly #bindings: readonly Binding[];

  constructor(tenant: Pick<TenantConfig, 'roles' | 'bindings'>) {
    const roles = new Map(tenant.roles.map((config) => [config.name, { config, role: new Role(config) }]));
    this.#bindings = tenant.bindings.flatMap((binding) => {
      const bound = roles.get(binding.role);
      // `load.ts` refuses a binding to a role that is not there; if one came all the same, it would give nothing.
      if (bound === undefined) return [];
      return [{ grant: grantOf(binding, bound.config, bound.role), who: new Principals(binding) }];
    });
  }

  /** The grants of a caller, in the order of the bindings. */
  grantsOf(principal: Principal): readonly HeldGrant[] {
    const held: HeldGrant[] = [];
    for (const { grant, who } of this.#bindings) {
      const named = who.naming(principal);
      if (named !== undefined) held.push({ grant, ...named });
    }
    return held;
  }
}

const UNCONDITIONAL: readonly string[] = [];

function conditionsOf({ condition: bound }: BindingConfig, { condition: own }: RoleConfig): readonly string[] {
  if (bound === undefined && own === undefined) return UNCONDITIONAL;
  return [bound, own].filter((condition) => condition !== undefined);
}

function grantOf(binding: BindingConfig, config: RoleConfig, role: Role): Grant {
  return {
    role,
    rule: `${binding.source} → role ${binding.role}`,
    conditions: conditionsOf(binding, config),
    shadow: binding.mode === 'shadow' || config.mode === 'shadow',
  };
}
