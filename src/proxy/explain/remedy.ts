/**
 * What would have let a refused call through: not a decision, but advice on one that has been made. Which role has a method or a
 * model is asked of the table that decides about calls.
 */
import type { Caller } from '../../authn/authenticator.ts';
import { Role, RoleTable } from '../../authz/role-table.ts';
import type { RoleConfig } from '../../config/policy-config.ts';
import type { TenantConfig } from '../../config/tenant-config.ts';
import type { MethodEntry } from '../../inspection/method-table.ts';
import type { Denial } from '../../kernel/denial.ts';
import { describe } from '../describe-denial.ts';

export interface Refused {
  readonly tenant: TenantConfig;
  /** undefined: nobody was authenticated. */
  readonly caller: Caller | undefined;
  /** undefined: the tenant's server has no such method. */
  readonly method: MethodEntry | undefined;
  readonly model: string;
  readonly modelVersion: string;
}

export interface Remedy {
  /** Why it was refused, in words. */
  readonly why: string;
  /** What would have let it through: each by itself. */
  readonly allow: readonly string[];
}

/** Advises on a denial. */
export function remedyOf(denial: Denial, refused: Refused): Remedy {
  const { tenant, caller, method } = refused;
  switch (denial.kind) {
    case 'method_denied':
      if (denial.rule !== undefined) return forRule(denial.rule, denial.failure);
      return caller === undefined || method === undefined
        ? unknown(denial)
        : failing(forMethod(refused, caller, method), denial);
    case 'model_denied':
      if (denial.rule !== undefined) return forRule(denial.rule, denial.failure);
      if (denial.by === 'api key') return forKeyModels(refused, denial);
      return caller === undefined || method === undefined
        ? unknown(denial)
        : failing(forModel(refused, caller, method), denial);
    case 'insufficient_scope': {
      const scopes = denial.requiredScopes.join(' ');
      return {
        why: `the credential that gives the role lacks a scope of: ${scopes}`,
        allow: [`a token (scope) or an API key (scopes) that has: ${scopes}`],
      };
    }
    case 'step_up_required':
      return { why: 'the role asks for another or a more recent sign-in', allow: [signIn(denial)] };
    case 'method_unknown':
      return {
        why: `no protocol and no service of ${tenant.id} has ${denial.path}`,
        allow: [
          'correct the method’s name',
          `list its service under services in ${tenant.file}, or its protocol under protocols`,
        ],
      };
    case 'path_malformed':
      return { why: `${denial.path} is not /package.Service/Method`, allow: ['correct the method’s name'] };
    case 'credentials_missing':
      return {
        why: 'the certificate alone does not suffice',
        allow: [
          `present one of: ${denial.accepted.join(', ')}`,
          `add certificate to accept (${place(tenant, 'accept')})`,
        ],
      };
    default:
      return forCredential(denial, refused);
  }
}

function forCredential(denial: Denial, { tenant }: Refused): Remedy {
  const why = describe(denial);
  if ('revokedBy' in denial && denial.revokedBy !== undefined) {
    const allow = [`the entry ${denial.revokedBy} removed, or credentials that are not revoked`];
    return { why: `it is revoked by ${denial.revokedBy}`, allow };
  }
  switch (denial.kind) {
    case 'token_invalid':
      return { why: `the token is not valid: ${denial.why}`, allow: [`a valid token of ${issuersOf(tenant)}`] };
    case 'token_expired':
      return { why: `the token has expired: ${why}`, allow: [`a valid token of ${issuersOf(tenant)}`] };
    case 'token_binding_mismatch':
      return {
        why: `the token is not bound to this certificate: ${denial.why}`,
        allow: ['the client certificate that the token names in cnf, or a token that names this one'],
      };
    case 'foreign_token_unproven':
      return {
        why: `the token says to be of an issuer of ${denial.presented} (nobody has verified it)`,
        allow: [`a valid token of ${issuersOf(tenant)}`],
      };
    case 'foreign_key_unproven':
      return {
        why: `the API key has the id of a key of ${denial.presented}, and is not that: ${denial.why}`,
        allow: [keyAdvice('unknown', tenant)],
      };
    case 'api_key_invalid':
      return { why: `the API key is not valid: ${denial.why}`, allow: [keyAdvice(denial.why, tenant)] };
    case 'address_not_allowed': {
      const whose = denial.by === 'tenant' ? `the tenant ${tenant.id}` : 'the API key';
      const file = place(tenant, denial.by === 'tenant' ? denial.list : 'apiKeys');
      if (denial.list === 'deniedAddresses') {
        return {
          why: `${whose} is not to be used from ${denial.address}: it is among its deniedAddresses`,
          allow: [`a call from another address, or deniedAddresses without ${denial.address} (${file})`],
        };
      }
      return {
        why: `${whose} is not to be used from ${denial.address}`,
        allow: [`a call from one of its addresses, or ${denial.address} among them (${file})`],
      };
    }
    case 'tenant_mismatch':
      return {
        why: `what was presented names two tenants: ${why}`,
        allow: [`only credentials of ${denial.claimed}, or the server name of ${denial.presented}`],
      };
    case 'certificate_unacceptable':
      if (denial.statusUnknown === true) {
        const allow = 'an answer or list of its CA that counts, or whenUnknown: allow under clientRevocation';
        return { why: `nobody says that the client certificate is still good: ${denial.why}`, allow: [allow] };
      }
      return {
        why: `the client certificate is refused: ${denial.why}`,
        allow: [`a client certificate of a CA in clientCa (${place(tenant, 'clientCa')}) that fits`],
      };
    case 'authorization_expired':
      return { why: lostBy(denial), allow: [renewal(denial, tenant)] };
    case 'rate_limited':
    case 'concurrency_limited':
    case 'quota_exhausted':
    case 'quota_exhausted_mid_stream':
      return { why: `its quota has no room: ${why}`, allow: [`time, or more of it (${place(tenant, 'quota')})`] };
    case 'queue_full':
    case 'queue_too_slow':
      return {
        why: `calls waited for their turn, and its own could not: ${why}`,
        allow: [
          denial.scope === 'tenant'
            ? `fewer calls at once, or a higher quota.concurrentCalls (${place(tenant, 'quota')})`
            : `time; or more scheduling.concurrentCalls in the main file, or a higher priority.weight (${tenant.file})`,
        ],
      };
    case 'policy_unavailable':
      return { why, allow: [`${denial.source} must be reachable from here`] };
    default:
      return unknown(denial);
  }
}

type Lost = Extract<Denial, { kind: 'authorization_expired' }>;

function lostBy({ why, credential, because }: Lost): string {
  switch (why) {
    case 'expired':
      return `the ${credential} expired while the call ran`;
    case 'lease':
      return 'the call ran for as long as one authentication counts with its tenant';
    case 'sign_in_too_old':
      return 'the sign-in became too old for the role while the call ran';
    case 'revoked':
      return `the ${credential} was revoked while the call ran: ${because ?? ''}`;
    case 'withdrawn':
      return `the configuration changed while the call ran, and a new call would be refused: ${because ?? credential}`;
  }
}

function renewal({ why, credential }: Lost, tenant: TenantConfig): string {
  switch (why) {
    case 'expired':
      return `a new call with a ${credential} that is good for longer, begun before this one ends`;
    case 'lease':
      return `a new call before the lease ends, or a longer lease (${tenant.file})`;
    case 'sign_in_too_old':
      return 'a new call with a token of a more recent sign-in';
    case 'revoked':
      return 'a new call with credentials that are not revoked';
    case 'withdrawn':
      return 'ask about a new call with the same credentials: what it would be refused for is why this one ended';
  }
}

function unknown(denial: Denial): Remedy {
  return { why: `${denial.kind}: ${describe(denial)}`, allow: ['nothing in the tenant’s roles: see the reason'] };
}

/** `tenants/acme.yaml:8`, or the file when the key is not in it. */
export function place({ file, lines }: TenantConfig, key: keyof NonNullable<TenantConfig['lines']>): string {
  const line = lines?.[key];
  return line === undefined ? file : `${file}:${line}`;
}

/** A rule denies it, whatever roles allow. */
function forRule(rule: string, failure: string | undefined): Remedy {
  const [where = '', name = ''] = rule.split(' → ');
  const line = lineOf(where);
  if (failure === undefined) {
    return {
      why: `the rule \`${name}\` (${line}) denies it, whatever roles allow`,
      allow: [`narrow the rule \`${name}\`, put it in shadow (mode: shadow), or remove it (${line})`],
    };
  }
  return {
    why: `the condition of the rule \`${name}\` (${line}) cannot be evaluated, so it denies: ${failure}`,
    allow: [
      `let the condition ask first whether there is such a value: has(…), or "x-…" in call.metadata (${line})`,
      'a call that has what the condition reads',
    ],
  };
}

/** A condition that could not be evaluated gave nothing, and might have. */
function failing(remedy: Remedy, { failure }: { readonly failure?: string }): Remedy {
  if (failure === undefined) return remedy;
  return {
    why: `${remedy.why}; a condition cannot be evaluated: ${failure}`,
    allow: [...remedy.allow, 'a call that has what the condition reads, or a condition that asks first: has(…)'],
  };
}

function forMethod(refused: Refused, caller: Caller, method: MethodEntry): Remedy {
  const held = rolesOf(refused.tenant, caller);
  const what = whatOf(refused, method);
  const has = held.length === 0 ? 'it has no role' : `it has ${held.map(roleText).join(', ')}`;
  const fits = refused.tenant.roles.filter((role) => allows(role, method, refused));
  const allow = fits.map((role) => `${roleText(role)} has it: ${giving(refused.tenant, role, held, caller)}`);
  if (fits.length === 0) {
    for (const role of held) allow.push(`add ${method.fullName} to the methods of ${roleText(role)}`);
    if (held.length === 0) {
      const line = place(refused.tenant, 'roles');
      allow.push(
        `no role has it: add one with methods: [${method.fullName}] (${line}), and bind it to ${nameOf(caller)}`,
      );
    }
  }
  const whole = held.some(({ methods }) => methods.includes(`${method.service}/*`));
  const named = method.sensitive && whole ? '; it is sensitive, so a role must name it, and /* does not' : '';
  return { why: `no role of ${caller.id} has ${what} (${has}${named})`, allow };
}

function forModel(refused: Refused, caller: Caller, method: MethodEntry): Remedy {
  const { tenant, model, modelVersion } = refused;
  const held = rolesOf(tenant, caller).filter((role) => new Role(role).hasMethod(method));
  const fits = tenant.roles.filter((role) => allows(role, method, refused));
  const allow = fits.map((role) => `${roleText(role)} has it: ${giving(tenant, role, held, caller)}`);
  for (const role of held.filter((one) => !fits.includes(one))) {
    const anyVersion = new Role({ ...role, versions: ['*'] });
    if (anyVersion.hasModel(model, modelVersion)) {
      allow.push(`add ${versionText(modelVersion)} to the versions of ${roleText(role)}`);
    } else {
      const pattern = model === '' ? '"*"' : model;
      allow.push(`add ${pattern} to the models of ${roleText(role)}`);
    }
  }
  if (model === '') allow.unshift('name the model in the request');
  const has = held.map((role) => `${roleText(role)} is for ${modelsOf(role)}`).join('; ');
  const unnamed = model === '' ? ': the request names no model, which may mean any' : '';
  return { why: `no role of ${caller.id} has ${whatOf(refused, method)} (${has})${unnamed}`, allow };
}

/** A role has it, and the key is for other models. */
function forKeyModels({ tenant, caller }: Refused, denial: Extract<Denial, { kind: 'model_denied' }>): Remedy {
  const key = caller?.keyId ?? '';
  const scope = caller?.keyModels;
  const has = scope === undefined ? '' : ` (it is for ${modelsOf(scope)})`;
  const what = `model ${denial.model === '' ? '(none named)' : denial.model} version ${versionText(denial.version)}`;
  return {
    why: `a role has ${what}, and the API key ${key} is not for it${has}`,
    allow: [`add it to the models and versions of the API key ${key} (${place(tenant, 'apiKeys')})`, 'another key'],
  };
}

/** The roles that the bindings give to the caller, each once. */
function rolesOf(tenant: TenantConfig, caller: Caller): readonly RoleConfig[] {
  // One table for each role: what it grants, that role grants.
  return tenant.roles.filter(
    (role) =>
      new RoleTable({
        roles: [role],
        bindings: tenant.bindings.filter((binding) => binding.role === role.name),
      }).grantsOf(caller).length > 0,
  );
}

function allows(role: RoleConfig, method: MethodEntry, { model, modelVersion }: Refused): boolean {
  const compiled = new Role(role);
  return compiled.hasMethod(method) && (!method.readsModel || compiled.hasModel(model, modelVersion));
}

/** How a role that would do comes to count for the caller: it may have it already, and not now. */
function giving(tenant: TenantConfig, role: RoleConfig, held: readonly RoleConfig[], caller: Caller): string {
  if (!held.includes(role)) return bind(tenant, role, caller);
  const bindings = tenant.bindings.filter((binding) => binding.role === role.name);
  const inShadow = [role, ...bindings].find(({ mode }) => mode === 'shadow');
  if (inShadow !== undefined) return `take it out of shadow (${lineOf(inShadow.source)})`;
  const conditions = [role, ...bindings].filter(({ condition }) => condition !== undefined);
  const places = conditions.map(({ source }) => lineOf(source)).join(', ');
  return places === '' ? bind(tenant, role, caller) : `meet its condition (${places})`;
}

function bind(tenant: TenantConfig, role: RoleConfig, caller: Caller): string {
  const binding = tenant.bindings.find((one) => one.role === role.name);
  const where = binding === undefined ? place(tenant, 'bindings') : lineOf(binding.source);
  return `bind it to ${nameOf(caller)} (${where})`;
}

/** As a binding would name the caller. */
function nameOf({ subject, keyId, certificateId }: Caller): string {
  if (subject !== undefined) return `subject ${subject}`;
  return keyId === undefined ? `certificate ${certificateId}` : `key ${keyId}`;
}

function whatOf({ model, modelVersion }: Refused, method: MethodEntry): string {
  if (!method.readsModel) return method.fullName;
  const version = modelVersion === '' ? '' : ` version ${modelVersion}`;
  return `${method.fullName} for model ${model === '' ? '(none named)' : model}${version}`;
}

function modelsOf({ models, versions }: Pick<RoleConfig, 'models' | 'versions'>): string {
  const named = models.length === 0 ? 'no models' : `models ${models.join(', ')}`;
  return versions.includes('*') ? named : `${named}, versions ${versions.join(', ')}`;
}

function versionText(version: string): string {
  return version === '' ? 'latest' : version;
}

function roleText({ name, source }: RoleConfig): string {
  return `role \`${name}\` (${lineOf(source)})`;
}

/** `tenants/acme.yaml:31 roles[0]` → `tenants/acme.yaml:31`. */
function lineOf(source: string): string {
  const end = source.lastIndexOf(' ');
  return end < 0 ? source : source.slice(0, end);
}

function issuersOf(tenant: TenantConfig): string {
  const names = tenant.issuers.map(({ issuer }) => issuer).join(', ');
  return names === '' ? `an issuer, of which ${tenant.file} has none` : `${names} (${place(tenant, 'issuers')})`;
}

function keyAdvice(why: Extract<Denial, { kind: 'api_key_invalid' }>['why'], tenant: TenantConfig): string {
  const where = place(tenant, 'apiKeys');
  switch (why) {
    case 'malformed':
      return 'a key of the form bk_<id>_<secret>';
    case 'unknown':
      return `add the key to apiKeys (${where})`;
    case 'wrong_secret':
      return 'the secret that belongs to the key’s id';
    case 'expired':
      return `another key, or a later expires (${where})`;
    case 'revoked':
      return `another key: this one is revoked (${where})`;
  }
}

function signIn({ acrValues, amrValues, maxAgeSeconds }: Extract<Denial, { kind: 'step_up_required' }>): string {
  const parts = [
    ...(acrValues.length === 0 ? [] : [`acr ${acrValues.join(' or ')}`]),
    ...(amrValues.length === 0 ? [] : [`amr ${amrValues.join(' and ')}`]),
    ...(maxAgeSeconds === undefined ? [] : [`a sign-in of the last ${maxAgeSeconds} s (auth_time)`]),
  ];
  return `a token with ${parts.join(', ')}`;
}
