/**
 * A tenant's roles and bindings, compiled: who has which role, what a role allows. Nothing is allowed by absence.
 */
import type { KeptClaims } from '../authn/kept-claims.ts';
import type { BindingConfig, ClaimMatch, RoleConfig, StepUpConfig, TenantConfig } from '../config/generation.ts';
import { ModelScope } from './model-scope.ts';

/** A role that a binding gives. */
export interface Grant {
  readonly role: Role;
  /** `tenants/acme.yaml:31 bindings[0] → role predict`, for the audit record. */
  readonly rule: string;
}

/** A role that a caller has, and which of its credentials gave it. */
export interface HeldGrant {
  readonly grant: Grant;
  /** By its subject, or by what it claims. */
  readonly byToken: boolean;
  readonly byKey: boolean;
  readonly byCertificate: boolean;
}

/** Names that bindings know callers by. */
export interface Principal {
  readonly subject: string | undefined;
  readonly keyId: string | undefined;
  readonly certificateId: string;
  readonly claims: KeptClaims;
}

export class Role {
  readonly scopes: readonly string[];
  readonly stepUp: StepUpConfig | undefined;
  readonly #methods: ReadonlySet<string>;
  /** `package.Service` of each `package.Service/*`. */
  readonly #services: ReadonlySet<string>;
  readonly #scope: ModelScope;

  constructor(config: RoleConfig) {
    this.scopes = config.scopes ?? [];
    this.stepUp = config.stepUp;
    const isWhole = (method: string): boolean => method.endsWith('/*');
    this.#methods = new Set(config.methods.filter((method) => !isWhole(method)));
    this.#services = new Set(config.methods.filter(isWhole).map((method) => method.slice(0, -2)));
    this.#scope = new ModelScope(config);
  }

  /** A sensitive method has to be named: `package.Service/*` is what anybody may be given. */
  hasMethod({ fullName, sensitive }: { readonly fullName: string; readonly sensitive: boolean }): boolean {
    if (this.#methods.has(fullName)) return true;
    return !sensitive && this.#services.has(fullName.slice(0, fullName.lastIndexOf('/')));
  }

  hasModel(model: string, version: string): boolean {
    return this.#scope.has(model, version);
  }
}

interface Binding {
  readonly grant: Grant;
  readonly subjects: Names;
  readonly keys: Names;
  readonly certificates: Names;
  readonly claims: readonly ClaimMatch[];
}

interface Names {
  readonly any: boolean;
  readonly exact: ReadonlySet<string>;
  /** `spiffe://domain/path/` of each `spiffe://domain/path/*`. */
  readonly below: ReadonlySet<string>;
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
  grantsOf({ subject, keyId, certificateId, claims }: Principal): readonly HeldGrant[] {
    return this.#bindings
      .map((binding) => ({
        grant: binding.grant,
        byToken: has(binding.subjects, subject) || says(claims, binding.claims),
        byKey: has(binding.keys, keyId),
        byCertificate: has(binding.certificates, certificateId),
      }))
      .filter(({ byToken, byKey, byCertificate }) => byToken || byKey || byCertificate);
  }
}

function compile(config: BindingConfig, role: Role): Binding {
  return {
    grant: { role, rule: `${config.source} → role ${config.role}` },
    subjects: namesOf(config.subjects),
    keys: namesOf(config.keys),
    // Certificates name their DNS names in lower case.
    certificates: namesOf(config.certificates.map((id) => (id.startsWith('dns:') ? id.toLowerCase() : id))),
    claims: config.claims ?? [],
  };
}

function namesOf(names: readonly string[]): Names {
  const isBelow = (name: string): boolean => name.startsWith('spiffe://') && name.endsWith('/*');
  return {
    any: names.includes('*'),
    exact: new Set(names.filter((name) => name !== '*' && !isBelow(name))),
    below: new Set(names.filter(isBelow).map((name) => name.slice(0, -1))),
  };
}

/** `*` means anybody who has such a credential, not anybody. */
function has({ any, exact, below }: Names, name: string | undefined): boolean {
  if (name === undefined) return false;
  return any || exact.has(name) || (below.size > 0 && isBelowOne(name, below));
}

/** By whole segments of the path, and never above it: a trust domain is no segment. */
function isBelowOne(id: string, below: ReadonlySet<string>): boolean {
  if (!id.startsWith('spiffe://')) return false;
  const root = id.indexOf('/', 'spiffe://'.length);
  for (let at = id.lastIndexOf('/'); at >= root && root > 0; at = id.lastIndexOf('/', at - 1)) {
    if (below.has(id.slice(0, at + 1))) return true;
  }
  return false;
}

/** Whether a token says all of it. Nothing that is asked is nothing that is said. */
function says(claims: KeptClaims, asked: readonly ClaimMatch[]): boolean {
  return (
    asked.length > 0 &&
    asked.every(({ path, values }) => {
      const said = claims.get(path);
      return said !== undefined && values.some((value) => said.includes(value));
    })
  );
}
