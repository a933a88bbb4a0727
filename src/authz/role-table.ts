/**
 * A tenant's roles and bindings, compiled: who has which role, what a role allows. Nothing is allowed by absence.
 */
import type { BindingConfig, RoleConfig, StepUpConfig, TenantConfig } from '../config/generation.ts';
import { Glob } from './glob.ts';

/** A role that a binding gives. */
export interface Grant {
  readonly role: Role;
  /** `tenants/acme.yaml:31 bindings[0] → role predict`, for the audit record. */
  readonly rule: string;
}

/** A role that a caller has, and which of its credentials gave it. */
export interface HeldGrant {
  readonly grant: Grant;
  readonly bySubject: boolean;
  readonly byKey: boolean;
  readonly byCertificate: boolean;
}

/** Names that bindings know callers by. */
export interface Principal {
  readonly subject: string | undefined;
  readonly keyId: string | undefined;
  readonly certificateId: string;
}

export class Role {
  readonly scopes: readonly string[];
  readonly stepUp: StepUpConfig | undefined;
  readonly #methods: ReadonlySet<string>;
  /** `package.Service` of each `package.Service/*`. */
  readonly #services: ReadonlySet<string>;
  readonly #models: readonly Glob[];
  readonly #versions: readonly Glob[];
  readonly #anyModel: boolean;

  constructor(config: RoleConfig) {
    this.scopes = config.scopes ?? [];
    this.stepUp = config.stepUp;
    const isWhole = (method: string): boolean => method.endsWith('/*');
    this.#methods = new Set(config.methods.filter((method) => !isWhole(method)));
    this.#services = new Set(config.methods.filter(isWhole).map((method) => method.slice(0, -2)));
    this.#models = config.models.map((pattern) => new Glob(pattern));
    this.#versions = config.versions.map((pattern) => new Glob(pattern));
    this.#anyModel = config.models.includes('*');
  }

  /** A sensitive method has to be named: `package.Service/*` is what anybody may be given. */
  hasMethod({ fullName, sensitive }: { readonly fullName: string; readonly sensitive: boolean }): boolean {
    if (this.#methods.has(fullName)) return true;
    return !sensitive && this.#services.has(fullName.slice(0, fullName.lastIndexOf('/')));
  }

  /**
   * An empty version is what the server takes as the latest, and is matched as `latest`. An empty model may mean any, so only
   * a role for all models (`*` itself) has it.
   */
  hasModel(model: string, version: string): boolean {
    const modelFits = model === '' ? this.#anyModel : this.#models.some((glob) => glob.matches(model));
    const named = version === '' ? 'latest' : version;
    return modelFits && this.#versions.some((glob) => glob.matches(named));
  }
}

interface Binding {
  readonly grant: Grant;
  readonly subjects: Names;
  readonly keys: Names;
  readonly certificates: Names;
}

interface Names {
  readonly any: boolean;
  readonly exact: ReadonlySet<string>;
}

export class RoleTable {
  readonly #bindings: readonly Binding[];

  constructor(tenant: Pick<TenantConfig, 'roles' | 'bindings'>) {
    const roles = new Map(tenant.roles.map((config) => [config.name, new Role(config)]));
    this.#bindings = tenant.bindings.flatMap((config) => {
      const role = roles.get(config.role);
      // `load.ts` refuses a binding to a role that is not there; if one came all the same, it would give nothing.
      return role === undefined ? [] : [compile(config, role)];
    });
  }

  /** The grants of a caller, in the order of the bindings. */
  grantsOf({ subject, keyId, certificateId }: Principal): readonly HeldGrant[] {
    return this.#bindings
      .map((binding) => ({
        grant: binding.grant,
        bySubject: has(binding.subjects, subject),
        byKey: has(binding.keys, keyId),
        byCertificate: has(binding.certificates, certificateId),
      }))
      .filter(({ bySubject, byKey, byCertificate }) => bySubject || byKey || byCertificate);
  }
}

function compile(config: BindingConfig, role: Role): Binding {
  return {
    grant: { role, rule: `${config.source} → role ${config.role}` },
    subjects: namesOf(config.subjects),
    keys: namesOf(config.keys),
    // Certificates name their DNS names in lower case.
    certificates: namesOf(config.certificates.map((id) => (id.startsWith('dns:') ? id.toLowerCase() : id))),
  };
}

function namesOf(names: readonly string[]): Names {
  return { any: names.includes('*'), exact: new Set(names.filter((name) => name !== '*')) };
}

/** `*` means anybody who has such a credential, not anybody. */
function has(names: Names, name: string | undefined): boolean {
  return name !== undefined && (names.any || names.exact.has(name));
}
