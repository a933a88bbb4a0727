/**
 * What a tenant's file says that can be run and can hardly be meant: rules without effect, keys without an end. All are warnings.
 */
import type { FileScope } from './file-scope.ts';
import type { ValuePath } from './finding.ts';
import { idleDenials } from './idle-denials.ts';
import type { KnownMethods } from './known-methods.ts';
import type { Rules } from './roles.ts';
import type { TenantSource } from './schema-tenant.ts';
import { shadowedRoles } from './shadowed-roles.ts';

/** Reports what has no effect, or one that nobody wants. */
export function judgeMeaning(scope: FileScope, source: TenantSource, rules: Rules, known: KnownMethods): void {
  judgeEffect(scope, rules, known);
  judgeShadows(scope, rules);
  judgeDenials(scope, rules, known);
  judgeKeys(scope, source);
  judgeBursts(scope, source);
  judgeCertificates(scope, source);
  judgeNamespace(scope, source);
}

/** Models for methods that read none, and roles by which nothing can be called at all. */
function judgeEffect(scope: FileScope, { roles, bindings }: Rules, known: KnownMethods): void {
  const idle = new Set<string>();
  for (const [index, role] of roles.entries()) {
    const reading = role.methods.filter((method) => known.readsModel(method));
    if (role.models.length > 0 && reading.length === 0) {
      const message = `the role ${role.name} names models, and none of its methods reads one: they narrow nothing`;
      warn(scope, ['roles', index, 'models'], message, 'remove them, or add the methods that are meant');
    }
    const without = role.models.length === 0 ? 'models' : role.versions.length === 0 ? 'versions' : undefined;
    if (role.models.length > 0 && role.versions.length === 0 && reading.length > 0) {
      const message = `the role ${role.name} has methods that use a model, but no versions: it allows none`;
      warn(scope, ['roles', index, 'versions'], message, 'add versions, or remove the key to allow all');
    }
    if (without !== undefined && role.methods.every((method) => alwaysReadsModel(method, known))) idle.add(role.name);
  }
  for (const [index, { role }] of bindings.entries()) {
    if (!idle.has(role)) continue;
    const message = `gives the role ${role}, by which nothing can be called`;
    warn(scope, ['bindings', index, 'role'], message, 'name models and versions in the role, or remove the binding');
  }
}

/** `package.Service/*` may have methods that read none. */
function alwaysReadsModel(method: string, known: KnownMethods): boolean {
  return !method.endsWith('/*') && known.readsModel(method);
}

/** A role that another one makes needless: whoever has it has the other as well, which allows all of it. */
function judgeShadows(scope: FileScope, { roles, bindings }: Rules): void {
  for (const { index, role, wide } of shadowedRoles(roles, bindings)) {
    const message = `the role ${role} has no effect: all who have it have ${wide} too, which allows all of it`;
    warn(scope, ['roles', index, 'name'], message, `remove it with its bindings, or narrow ${wide}`);
  }
}

/** A denial that changes nothing, and one that leaves nothing. */
function judgeDenials(scope: FileScope, rules: Rules, known: KnownMethods): void {
  for (const { index, name, why, fix } of idleDenials(rules, known)) {
    warn(scope, ['denyRules', index, 'name'], `the rule ${name} ${why}`, fix);
  }
}

function judgeKeys(scope: FileScope, { apiKeys }: TenantSource): void {
  for (const [index, { id, expires, revoked }] of apiKeys.entries()) {
    if (expires !== undefined || revoked) continue;
    if (scope.full) return;
    const fix = 'rotate it (bulkhead keys rotate), which gives it an end, or add expires';
    warn(scope, ['apiKeys', index, 'id'], `the API key ${id} never expires`, fix);
  }
}

function judgeBursts(scope: FileScope, { quota }: TenantSource): void {
  for (const whose of ['tenant', 'caller'] as const) {
    const limit = quota[whose];
    if (limit?.burst === undefined || limit.burst >= Math.floor(limit.calls)) continue;
    const message = `is less than a second’s worth of ${limit.calls} calls: a steady client that pauses for a moment is refused`;
    const fix = `write burst: ${Math.ceil(limit.calls)}, or remove it`;
    warn(scope, ['quota', whose, 'burst'], message, fix);
  }
}

/** Where a certificate is said to suffice, somebody must have a role by one. */
function judgeCertificates(scope: FileScope, { accept, bindings }: TenantSource): void {
  const index = accept?.indexOf('certificate') ?? -1;
  if (index < 0 || bindings.some(({ certificates }) => certificates.length > 0)) return;
  const message = 'a certificate suffices, and no binding names one: whoever comes with nothing else may do nothing';
  warn(scope, ['accept', index], message, 'name certificates in a binding, or remove certificate');
}

/** Whoever is in no namespace may name what is in another's. */
function judgeNamespace(scope: FileScope, { namespaces }: TenantSource): void {
  if (namespaces !== 'off') return;
  const message =
    'lets this tenant use sequences, requests and shared memory of any other tenant on the same model server';
  warn(scope, ['namespaces'], message, 'remove it, unless the model server is this tenant’s alone');
}

function warn(scope: FileScope, path: ValuePath, message: string, fix: string): void {
  scope.report({ path }, message, fix, 'warning');
}
