/**
 * What a tenant's file says that can be run and can hardly be meant: rules without effect, keys without an end. All are warnings.
 */
import type { FileScope } from './file-scope.ts';
import type { ValuePath } from './finding.ts';
import type { BindingConfig, RoleConfig } from './generation.ts';
import type { KnownMethods } from './known-methods.ts';
import type { TenantSource } from './schema-tenant.ts';

/** A tenant's rules, as built. */
interface Rules {
  readonly roles: readonly RoleConfig[];
  readonly bindings: readonly BindingConfig[];
}

/** Reports what has no effect, or one that nobody wants. */
export function judgeMeaning(scope: FileScope, source: TenantSource, rules: Rules, known: KnownMethods): void {
  judgeEffect(scope, rules, known);
  judgeShadows(scope, rules);
  judgeKeys(scope, source);
  judgeBursts(scope, source);
  judgeCertificates(scope, source);
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
  const given = Map.groupBy(bindings, ({ role }) => role);
  const names = new Map(roles.map((role, index) => [role.name, index]));
  for (const [index, role] of roles.entries()) {
    const own = given.get(role.name) ?? [];
    // A role that stands twice is an error already, and one that nobody has a warning.
    if (own.length === 0 || names.get(role.name) !== index) continue;
    const wide = roles.find((other, at) => {
      if (other.name === role.name || !allowsAllOf(other, role)) return false;
      const theirs = given.get(other.name) ?? [];
      if (!own.every((binding) => theirs.some((one) => givesToAllOf(one, binding)))) return false;
      // Of two that say the same, the later one is told.
      return (
        at < index || !(allowsAllOf(role, other) && theirs.every((one) => own.some((two) => givesToAllOf(two, one))))
      );
    });
    if (wide === undefined) continue;
    const message = `the role ${role.name} has no effect: all who have it have ${wide.name} too, which allows all of it`;
    warn(scope, ['roles', index, 'name'], message, `remove it with its bindings, or narrow ${wide.name}`);
  }
}

function allowsAllOf(wide: RoleConfig, narrow: RoleConfig): boolean {
  // Scopes and sign-ins are asked for by the role: one that asks for nothing is never narrower for it.
  const asksMore = (wide.scopes ?? []).some((scope) => !(narrow.scopes ?? []).includes(scope));
  if (asksMore || (wide.stepUp !== undefined && JSON.stringify(wide.stepUp) !== JSON.stringify(narrow.stepUp)))
    return false;
  const methods = new Set(wide.methods);
  return (
    // `package.Service/*` leaves sensitive methods out, so a method that is named is covered by its own name alone.
    narrow.methods.every((method) => methods.has(method)) &&
    narrow.models.every((model) => wide.models.some((pattern) => matchesAllOf(pattern, model))) &&
    narrow.versions.every((version) => wide.versions.some((pattern) => matchesAllOf(pattern, version)))
  );
}

function givesToAllOf(wide: BindingConfig, narrow: BindingConfig): boolean {
  const among = (wanted: readonly string[], names: readonly string[]): boolean =>
    names.includes('*') || wanted.every((name) => names.includes(name));
  return (
    among(narrow.subjects, wide.subjects) &&
    among(narrow.keys, wide.keys) &&
    among(narrow.certificates, wide.certificates)
  );
}

/** Whether one pattern matches whatever the other does: its stars cover the other's, which no other piece of it has. */
function matchesAllOf(wide: string, narrow: string): boolean {
  const [head = '', ...pieces] = wide.split('*');
  const tail = pieces.pop();
  if (tail === undefined) return wide === narrow;
  if (narrow.length < head.length + tail.length || !narrow.startsWith(head) || !narrow.endsWith(tail)) return false;
  let from = head.length;
  for (const piece of pieces) {
    const at = narrow.indexOf(piece, from);
    if (at < 0 || at + piece.length > narrow.length - tail.length) return false;
    from = at + piece.length;
  }
  return true;
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

function warn(scope: FileScope, path: ValuePath, message: string, fix: string): void {
  scope.report({ path }, message, fix, 'warning');
}
