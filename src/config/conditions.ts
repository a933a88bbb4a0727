/**
 * The conditions of one tenant's rules, and what they may speak of: compiled as the data plane compiles them, and said to be wrong where they
 * stand.
 */
import { canonicalClaimPath } from '../authn/claim-path.ts';
import { type Conditions, conditionsOf } from '../conditions/condition.ts';
import type { FileScope } from './file-scope.ts';
import type { ValuePath } from './finding.ts';
import type { DeclaredClaim } from './policy-config.ts';
import type { TenantSource } from './schema-tenant.ts';

/** The claims that conditions may speak of. */
export function declaredClaims({ claims = {} }: TenantSource): readonly DeclaredClaim[] {
  return Object.entries(claims).map(([name, said]) => {
    const { path = name, type } = typeof said === 'string' ? { type: said } : said;
    // The schema has found every path to be one.
    return { name, path: canonicalClaimPath(path) ?? path, type };
  });
}

/** Reports what is wrong with conditions, and what is declared for none. */
export function judgeConditions(scope: FileScope, source: TenantSource): void {
  const claims = declaredClaims(source);
  if (claims.length > 0 && source.issuers.length === 0) {
    const fix = 'add the issuer of the tokens, or remove it';
    scope.report({ path: ['claims'] }, 'declares claims of tokens, but there are no issuers', fix);
  }
  const types = Object.fromEntries(claims.map(({ name, type }) => [name, type]));
  const conditions = conditionsOf({ claims: types, metadata: source.metadata });
  const read = new Set<string>();
  for (const list of ['roles', 'bindings', 'denyRules'] as const) {
    for (const [index, { condition }] of source[list].entries()) {
      if (condition === undefined) continue;
      if (scope.full) return;
      for (const name of judgeCondition(scope, [list, index, 'condition'], condition, conditions)) read.add(name);
    }
  }
  if (scope.failed) return;
  for (const { name } of claims) {
    if (read.has(`claims.${name}`)) continue;
    unused(scope, ['claims', name], `no condition speaks of claims.${name}`);
  }
  for (const [index, name] of source.metadata.entries()) {
    if (read.has(name)) continue;
    unused(scope, ['metadata', index], `no condition speaks of call.metadata["${name}"]`);
  }
}

/** Reports on one condition; returns the attributes and headers that it reads. */
function judgeCondition(scope: FileScope, path: ValuePath, text: string, conditions: Conditions): readonly string[] {
  const compiled = conditions.compile(text);
  if (!compiled.ok) {
    const { message, fix, line, column } = compiled.error;
    const where = line === 1 ? `column ${column}` : `line ${line}, column ${column}`;
    scope.report({ path }, `${where} of the condition: ${message}`, fix);
    return [];
  }
  const { attributes, metadata } = compiled.value;
  if (attributes.length === 0) {
    const fix = 'speak of caller.…, call.… or claims.…, or remove the condition';
    scope.report({ path }, 'is the same for every call: it reads no attribute', fix, 'warning');
  }
  return [...attributes, ...metadata];
}

function unused(scope: FileScope, path: ValuePath, message: string): void {
  scope.report({ path }, message, 'remove it, or use it in a condition', 'warning');
}
