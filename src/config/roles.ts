/**
 * Roles and bindings of one tenant: short method names made full, and every name checked against what it refers to.
 */
import type { FileScope } from './file-scope.ts';
import type { BindingConfig, RoleConfig, StepUpConfig } from './generation.ts';
import { READ_METHODS, READ_SERVICE, readsModel, SENSITIVE_METHODS } from './known-methods.ts';
import type { TenantSource } from './schema-tenant.ts';
import { nearest } from './suggestion.ts';

/** Makes a tenant's roles and bindings. `displayFile` is how the audit record names the file that they stand in. */
export function buildRoles(
  scope: FileScope,
  source: TenantSource,
  displayFile: string,
): { readonly roles: readonly RoleConfig[]; readonly bindings: readonly BindingConfig[] } {
  const at = (list: string, index: number): string =>
    `${displayFile}:${scope.document.position({ path: [list, index] }).line} ${list}[${index}]`;
  const roles = source.roles.map((role, index): RoleConfig => {
    const methods = role.methods.map((method, position) =>
      expandMethod(scope, source, method, ['roles', index, 'methods', position]),
    );
    const { name, models, versions, scopes, stepUp } = role;
    return {
      ...{ name, methods, models, versions, source: at('roles', index) },
      ...(scopes === undefined || scopes.length === 0 ? {} : { scopes }),
      ...(stepUp === undefined
        ? {}
        : { stepUp: { acrValues: stepUp.acr, maxAgeMs: stepUp.maxAge, amr: stepUp.amr } satisfies StepUpConfig }),
    };
  });
  const bindings = source.bindings.map(
    (binding, index): BindingConfig => ({ ...binding, source: at('bindings', index) }),
  );
  judgeRoles(scope, source);
  judgeStrength(scope, source);
  judgeBindings(scope, source);
  return { roles, bindings };
}

/** `ModelInfer` → `inference.GRPCInferenceService/ModelInfer`; reports a method that nobody serves. */
function expandMethod(
  scope: FileScope,
  source: TenantSource,
  method: string,
  path: readonly (string | number)[],
): string {
  const slash = method.indexOf('/');
  const service = slash < 0 ? READ_SERVICE : method.slice(0, slash);
  const short = method.slice(slash + 1);
  const full = `${service}/${short}`;
  if (service === READ_SERVICE) {
    if (short === '*') {
      const message = `includes methods that reach beyond the role’s models: ${SENSITIVE_METHODS.join(', ')}`;
      scope.report({ path }, message, 'name the methods one by one, unless the role is for administrators', 'warning');
      return full;
    }
    if (READ_METHODS.includes(short)) return full;
    const near = nearest(short, READ_METHODS);
    const fix = near === undefined ? `write one of: ${READ_METHODS.join(', ')}` : `did you mean ${near}?`;
    scope.report({ path }, `${READ_SERVICE} has no method ${short}`, fix);
    return full;
  }
  if (!source.services.includes(service)) {
    const near = nearest(service, [READ_SERVICE, ...source.services]);
    const fix = `${near === undefined ? '' : `did you mean ${near}? Else `}add ${service} to services, to pass it through unread`;
    scope.report({ path }, `the service ${service} is not known`, fix);
  }
  return full;
}

function judgeRoles(scope: FileScope, source: TenantSource): void {
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
    if (role.models.length === 0 && role.methods.some(needsModel)) {
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

function needsModel(method: string): boolean {
  const slash = method.indexOf('/');
  const service = slash < 0 ? READ_SERVICE : method.slice(0, slash);
  return service === READ_SERVICE && readsModel(method.slice(slash + 1));
}

function judgeBindings(scope: FileScope, source: TenantSource): void {
  const roleNames = new Set(source.roles.map((role) => role.name));
  const keyIds = new Set(source.apiKeys.map((key) => key.id));
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
    for (const [position, key] of binding.keys.entries()) {
      if (key === '*' || keyIds.has(key) || scope.full) continue;
      const near = nearest(key, keyIds);
      const fix = near === undefined ? 'add it to apiKeys, or remove it here' : `did you mean ${near}?`;
      scope.report({ path: ['bindings', index, 'keys', position] }, `there is no API key ${key}`, fix);
    }
    if (binding.subjects.length + binding.keys.length + binding.certificates.length === 0) {
      scope.report({ path: ['bindings', index] }, 'gives the role to nobody', 'name subjects, keys or certificates');
    }
    judgeReach(scope, source, index);
  }
}

/** Whom a binding names must be able to come at all. */
function judgeReach(scope: FileScope, source: TenantSource, index: number): void {
  const binding = source.bindings[index];
  if (binding === undefined) return;
  if (binding.subjects.length > 0 && source.issuers.length === 0) {
    scope.report(
      { path: ['bindings', index, 'subjects'] },
      'names token subjects, but there are no issuers',
      'add the issuer of their tokens, or remove it',
    );
  }
  const { trustDomain } = source;
  if (trustDomain === undefined) return;
  for (const [position, certificate] of binding.certificates.entries()) {
    const path = ['bindings', index, 'certificates', position];
    const domain = /^spiffe:\/\/([^/]+)\//.exec(certificate)?.[1];
    if (certificate.startsWith('dns:')) {
      const message = `${certificate} is no SPIFFE id, which trustDomain demands of every client`;
      scope.report({ path }, message, 'write spiffe://…, or remove trustDomain');
    } else if (domain !== undefined && domain !== trustDomain) {
      scope.report({ path }, `${certificate} is not of the trust domain ${trustDomain}`, 'correct one of the two');
    }
  }
}
