/**
 * What a tenant's callers may do, parsed: roles, who has them, and what is denied to whom.
 */

export interface RoleConfig {
  readonly name: string;
  /** Full names (`inference.GRPCInferenceService/ModelInfer`) or `package.Service/*`. */
  readonly methods: readonly string[];
  /** Globs (`*` within a name) over model names. */
  readonly models: readonly string[];
  /** Globs over versions; the version that a request leaves empty is written `latest`. */
  readonly versions: readonly string[];
  /** In CEL: the role counts only for calls that meet it; absent: for all. */
  readonly condition?: string;
  /** Decided and recorded, and without effect; absent: in force. */
  readonly mode?: 'shadow';
  /** All of these are needed besides; absent: none. */
  readonly scopes?: readonly string[];
  /** How the caller's subject must have signed in; absent: in whichever way its issuer lets it. */
  readonly stepUp?: StepUpConfig;
  /** Where it stands, for the audit record's rule. */
  readonly source: string;
}

/** RFC 9470; what is left away is not asked for. */
export interface StepUpConfig {
  /** One of these must be the token's `acr`. */
  readonly acrValues: readonly string[];
  /** Longest time since `auth_time`. */
  readonly maxAgeMs: number | undefined;
  /** All of these must be in the token's `amr`. */
  readonly amr: readonly string[];
}

export interface BindingConfig {
  readonly role: string;
  /** `sub` of a token; `*` for any. */
  readonly subjects: readonly string[];
  /** Ids of API keys; `*` for any. */
  readonly keys: readonly string[];
  /** `spiffe://…` or `dns:…` of the client certificate; `spiffe://…/*` for all ids below a path, `*` for any. */
  readonly certificates: readonly string[];
  /** What the token must say, all of it; absent: it is not asked. */
  readonly claims?: readonly ClaimMatch[];
  /** In CEL: the binding counts only for calls that meet it; absent: for all. */
  readonly condition?: string;
  readonly mode?: 'shadow';
  readonly source: string;
}

/** What is refused, whatever roles allow. What is left away does not narrow it. */
export interface DenyConfig {
  readonly name: string;
  /** Absent: everybody. */
  readonly who?: Pick<BindingConfig, 'subjects' | 'keys' | 'certificates' | 'claims'>;
  /** Full names, `package.Service/*` (sensitive methods too) or `*`; absent: all. */
  readonly methods?: readonly string[];
  /** Globs; absent: all, and methods that name none. A request that leaves the model open may mean any of them. */
  readonly models?: readonly string[];
  /** Globs; absent: all. A request that leaves the version open may mean any of them. */
  readonly versions?: readonly string[];
  /** Ranges of IP addresses that calls come from; absent: any. */
  readonly addresses?: readonly string[];
  readonly condition?: string;
  readonly mode?: 'shadow';
  readonly source: string;
}

/** A claim of tokens that conditions may speak of. */
export interface DeclaredClaim {
  /** `claims.<name>` in conditions. */
  readonly name: string;
  /** JSON Pointer to the claim. */
  readonly path: string;
  readonly type: 'string' | 'strings' | 'bool' | 'int';
}

/** What a claim's value may be to a rule; of a list, each member. */
export type ClaimScalar = string | number | boolean;

export interface ClaimMatch {
  /** JSON Pointer to the claim. */
  readonly path: string;
  /** One of these must be the claim's value, or in its list; `*`: it must be there. */
  readonly values: readonly ClaimScalar[];
}
