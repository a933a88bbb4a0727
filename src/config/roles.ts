/**
 * Roles and bindings of one tenant: short method names made full, and every name checked against what it refers to.
 */

import { canonicalClaimPath } from '../authn/claim-path.ts';
import { protocolsOf } from '../inspection/protocols.ts';
import type { FileScope } from './file-scope.ts';
import type { KnownMethods } from './known-methods.ts';
import type { BindingConfig, ClaimMatch, DenyConfig, RoleConfig, StepUpConfig } from './policy-config.ts';
import type { TenantSource } from './schema-tenant.ts';
import { nearest } from './suggestion.ts';

/** Makes a tenant's roles, bindings and denials. `displayFile` is how the audit record names the file that they stand in. */
export function buildRoles(scope: FileScope, source: TenantSource, displayFile: string, known: KnownMethods): Rules {
  const at = (list: string, index: number): string =>
    `${displayFile}:${scope.document.position({ path: [list, index] }).line} ${list}[${index}]`;
  const roles = source.roles.map((role, index): RoleConfig => {
    const methods = role.methods.map((method, position) =>
      expandMethod(scope, source, known, method, ['roles', index, 'methods', position]),
    );
    judgeWhole(scope, methods, known, index);
    const { name, models, versions, scopes, stepUp } = role;
    return {
      ...{ name, methods, models, versions, source: at('roles', index) },
      ...effectOf(role),
      ...(scopes === undefined || scopes.length === 0 ? {} : { scopes }),
      ...(stepUp === undefined
        ? {}
        : { stepUp: { acrValues: stepUp.acr, maxAgeMs: stepUp.maxAge, amr: stepUp.amr } satisfies StepUpConfig }),
    };
  });
  const bindings = source.bindings.map((binding, index): BindingConfig => {
    const { role, subjects, keys, certificates, claims } = binding;
    return {
      ...{ role, subjects, keys, certificates, source: at('bindings', index) },
      ...(claims === undefined ? {} : { claims: claimMatches(claims) }),
      ...effectOf(binding),
    };
  });
  const denials = source.denyRules.map((rule, index) => {
    const methods = rule.methods?.map((method, position) =>
      method === '*' ? method : expandMethod(scope, source, known, method, ['denyRules', index, 'methods', position]),
    );
    return denyConfig(rule, methods, at('denyRules', index));
  });
  judgeRoles(scope, source, roles, known);
  judgeStrength(scope, source);
  judgeBindings(scope, source);
  const keyIds = new Set(source.apiKeys.map((key) => key.id));
  for (const list of ['bindings', 'denyRules'] as const) {
    for (const [index, rule] of source[list].entries()) judgeWho(scope, source, keyIds, rule, [list, index]);
  }
  return { roles, bindings, denials };
}

/** A tenant's rules, as built. */
export interface Rules {
  readonly roles: readonly RoleConfig[];
  readonly bindings: readonly BindingConfig[];
  readonly denials: readonly DenyConfig[];
}

type DenySource = TenantSource['denyRules'][number];

function denyConfig(rule: DenySource, methods: readonly string[] | undefined, source: string): DenyConfig {
  const { name, subjects, keys, certificates, claims, models, versions, addresses } = rule;
  const named = subjects.length + keys.length + certificates.length > 0 || claims !== undefined;
  const who = {
    ...{ subjects, keys, certificates },
    ...(claims === undefined ? {} : { claims: claimMatches(claims) }),
  };
  return {
    ...{ name, source },
    ...(named ? { who } : {}),
    ...(methods === undefined ? {} : { methods }),
    ...(models === undefined ? {} : { models }),
    ...(versions === undefined ? {} : { versions }),
    ...(addresses === undefined ? {} : { addresses }),
    ...effectOf(rule),
  };
}

function effectOf({ condition, mode }: Pick<DenySource, 'condition' | 'mode'>): Pick<DenyConfig, 'condition' | 'mode'> {
  return {
    ...(condition === undefined ? {} : { condition }),
    ...(mode === 'shadow' ? { mode } : {}),
  };
}

/** The schema has found every path to be one. */
function claimMatches(claims: NonNullable<TenantSource['bindings'][number]['claims']>): readonly ClaimMatch[] {
  return Object.entries(claims).map(([path, values]) => ({
    path: canonicalClaimPath(path) ?? path,
    values: Array.isArray(values) ? values : [values],
  }));
}

/** `ModelInfer` → `inference.GRPCInferenceService/ModelInfer`; reports a method that nobody serves. */
function expandMethod(
  scope: FileScope,
  source: TenantSource,
  known: KnownMethods,
  method: string,
  path: readonly (string | number)[],
): string {
  const slash = method.indexOf('/');
  if (slash < 0) return expandShort(scope, known, method, path);
  const service = method.slice(0, slash);
  const short = method.slice(slash + 1);
  const methods = known.methodsOf(service);
  if (methods !== undefined) {
    if (short !== '*' && !methods.includes(short))
      reportMethod(scope, `${service} has no method ${short}`, short, methods, path);
  } else if (!source.services.includes(service)) {
    const protocols = protocolsOf(service);
    const near = nearest(service, [...known.services, ...source.services]);
    const fix =
      protocols.length === 0
        ? `${near === undefined ? '' : `did you mean ${near}? Else `}add ${service} to services, to pass it through unread`
        : `add ${protocols.join(' or ')} to protocols`;
    scope.report({ path }, `the service ${service} is not known`, fix);
  }
  return method;
}

function expandShort(scope: FileScope, known: KnownMethods, short: string, path: readonly (string | number)[]): string {
  const [first, second] = known.named(short);
  if (first === undefined) {
    const [only, ...others] = known.services;
    const whose = only !== undefined && others.length === 0 ? only : 'the model server’s protocols';
    const has = whose === only ? 'has' : 'have';
    reportMethod(scope, `${whose} ${has} no method ${short}`, short, known.shortNames, path);
    return `${only ?? ''}/${short}`;
  }
  if (second !== undefined)
    scope.report(
      { path },
      `${short} may be ${first} or ${second}`,
      'write it with its service: package.Service/Method',
    );
  return first;
}

function reportMethod(
  scope: FileScope,
  message: string,
  short: string,
  methods: readonly string[],
  path: readonly (string | number)[],
): void {
  const near = nearest(short, methods);
  scope.report({ path }, message, near === undefined ? `write one of: ${methods.join(', ')}` : `did you mean ${near}?`);
}

/** A service's whole does not include what is sensitive: says so, but of what the role names beside it. */
function judgeWhole(scope: FileScope, methods: readonly string[], known: KnownMethods, role: number): void {
  for (const [position, method] of methods.entries()) {
    if (!method.endsWith('/*')) continue;
    const service = method.slice(0, -2);
    const left = known.sensitiveOf(service).filter((short) => !methods.includes(`${service}/${short}`));
    if (left.length === 0) continue;
    const message = `does not include the methods that reach beyond the role’s models: ${left.join(', ')}`;
    const fix = 'name those that the role is to have, one by one beside it';
    scope.report({ path: ['roles', role, 'methods', position] }, message, fix, 'warning');
  }
}

function judgeRoles(scope: FileScope, source: TenantSource, roles: readonly RoleConfig[], known: KnownMethods): void {
  const first = new Map<string, number>();
  const given = new Set(source.bindings.map((binding) => binding.role));
  for (const [index, role] of source.roles.entries()) {
    const before = first.get(role.name);
    if (before !== undefined) {
      scope.report(
        { path: ['roles', index, 'name'] },
        `the role ${role.name} stands twice (first as roles[${before}])`,
        'rename one, or join the two',
      );
      continue;
    }
    first.set(role.name, index);
    if (!given.has(role.name)) {
      scope.report(
        { path: ['roles', index, 'name'] },
        `nobody has the role ${role.name}`,
        'add a binding for it, or remove it',
        'warning',
      );
    }
    if (role.models.length === 0 && roles[index]?.methods.some((method) => known.readsModel(method)) === true) {
      const message = `the role ${role.name} has methods that use a model, but no models: it allows none`;
      scope.report({ path: ['roles', index] }, message, 'add models: [name, …] or models: ["*"]', 'warning');
    }
  }
}

/** What a role asks of credentials must be something that they can show. */
function judgeStrength(scope: FileScope, source: TenantSource): void {
  for (const [index, { name, scopes, stepUp }] of source.roles.entries()) {
    const path = ['roles', index, 'stepUp'];
    if (stepUp !== undefined && stepUp.acr.length + stepUp.amr.length === 0 && stepUp.maxAge === undefined) {
      scope.report({ path }, 'asks for nothing', 'write acr, maxAge or amr, or remove it');
    }
    if (stepUp?.maxAge !== undefined && stepUp.maxAge % 1000 !== 0) {
      scope.report({ path: [...path, 'maxAge'] }, 'is not in whole seconds, as its callers are told', 'round it');
    }
    if (source.issuers.length > 0) continue;
    if (stepUp !== undefined) {
      const message = `nobody can use the role ${name}: only a token shows how somebody signed in, and there are no issuers`;
      scope.report({ path }, message, 'add an issuer, or remove stepUp', 'warning');
    }
    const can = source.apiKeys.some((key) => scopes?.every((each) => key.scopes?.includes(each)));
    if (scopes !== undefined && scopes.length > 0 && !can) {
      const message = `nobody can use the role ${name}: no API key has these scopes, and there are no issuers`;
      scope.report({ path: ['roles', index, 'scopes'] }, message, 'add them to an API key, or remove them', 'warning');
    }
  }
}

function judgeBindings(scope: FileScope, source: TenantSource): void {
  const roleNames = new Set(source.roles.map((role) => role.name));
  for (const [index, binding] of source.bindings.entries()) {
    if (scope.full) return;
    if (!roleNames.has(binding.role)) {
      const near = nearest(binding.role, roleNames);
      const fix =
        near === undefined
          ? `write one of: ${[...roleNames].join(', ') || '(there are no roles yet)'}`
          : `did you mean ${near}?`;
      scope.report({ path: ['bindings', index, 'role'] }, `there is no role ${binding.role}`, fix);
    }
    const { subjects, keys, certificates, claims } = binding;
    if (subjects.length + keys.length + certificates.length === 0 && claims === undefined) {
      const fix = 'name subjects, keys, certificates or claims';
      scope.report({ path: ['bindings', index] }, 'gives the role to nobody', fix);
    }
  }
}

/** Whom a rule names must be able to come at all. */
function judgeWho(
  scope: FileScope,
  source: TenantSource,
  keyIds: ReadonlySet<string>,
  { subjects, keys, certificates, claims }: Pick<DenySource, 'subjects' | 'keys' | 'certificates' | 'claims'>,
  at: readonly (string | number)[],
): void {
  if (scope.full) return;
  for (const [position, key] of keys.entries()) {
    if (key === '*' || keyIds.has(key) || scope.full) continue;
    const near = nearest(key, keyIds);
    const fix = near === undefined ? 'add it to apiKeys, or remove it here' : `did you mean ${near}?`;
    scope.report({ path: [...at, 'keys', position] }, `there is no API key ${key}`, fix);
  }
  const fix = 'add the issuer of their tokens, or remove it';
  if (subjects.length > 0 && source.issuers.length === 0) {
    scope.report({ path: [...at, 'subjects'] }, 'names token subjects, but there are no issuers', fix);
  }
  if (claims !== undefined && source.issuers.length === 0) {
    scope.report({ path: [...at, 'claims'] }, 'names claims of tokens, but there are no issuers', fix);
  }
  judgeCertificateNames(scope, source, certificates, [...at, 'certificates']);
}

function judgeCertificateNames(
  scope: FileScope,
  { trustDomain }: TenantSource,
  certificates: readonly string[],
  at: readonly (string | number)[],
): void {
  if (trustDomain === undefined) return;
  for (const [position, certificate] of certificates.entries()) {
    const path = [...at, position];
    const domain = /^spiffe:\/\/([^/]+)\//.exec(certificate)?.[1];
    if (certificate.startsWith('dns:')) {
      const message = `${certificate} is no SPIFFE id, which trustDomain demands of every client`;
      scope.report({ path }, message, 'write spiffe://…, or remove trustDomain');
    } else if (domain !== undefined && domain !== trustDomain) {
      scope.report({ path }, `${certificate} is not of the trust domain ${trustDomain}`, 'correct one of the two');
    }
  }
}
