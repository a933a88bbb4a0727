/**
 * From what is written about scheduling and priorities to how each tenant's calls are scheduled.
 */
import { createHash } from 'node:crypto';
import type { FileScope } from './file-scope.ts';
import type { Finding } from './finding.ts';
import type { PriorityConfig, SchedulingConfig } from './scheduling-config.ts';
import type { PrioritySource, SchedulingSource } from './schema-scheduling.ts';
import { nearest } from './suggestion.ts';
import type { BuiltTenant, TenantDraft } from './tenant.ts';

export function buildScheduling(scope: FileScope, source: SchedulingSource): SchedulingConfig {
  const names = new Set<string>();
  for (const [index, { name }] of source.classes.entries()) {
    if (names.has(name))
      scope.report({ path: ['scheduling', 'classes', index, 'name'] }, `${name} stands twice`, 'rename one');
    names.add(name);
  }
  if (source.maxQueuedCallsPerTenant > source.maxQueuedCalls)
    scope.report(
      { path: ['scheduling', 'maxQueuedCallsPerTenant'] },
      'is more than scheduling.maxQueuedCalls, of all tenants together',
      'make it less, or maxQueuedCalls more',
    );
  return {
    concurrentCalls: source.concurrentCalls,
    maxQueuedCalls: source.maxQueuedCalls,
    maxQueuedCallsPerTenant: source.maxQueuedCallsPerTenant,
    maxWaitMs: source.maxWait,
    classes: source.classes,
  };
}

export function buildPriority(scope: FileScope, source: PrioritySource, roles: ReadonlySet<string>): PriorityConfig {
  for (const [index, rule] of source.classes.entries()) {
    for (const [at, role] of (rule.roles ?? []).entries()) {
      if (roles.has(role)) continue;
      const near = nearest(role, [...roles]);
      const fix = near === undefined ? 'name a role of this file' : `did you mean ${near}?`;
      scope.report({ path: ['priority', 'classes', index, 'roles', at] }, `there is no role ${role}`, fix);
    }
  }
  return {
    weight: source.weight,
    class: source.class,
    rules: source.classes.map(({ class: of, methods, roles: by }) => ({
      class: of,
      ...(methods === undefined ? {} : { methods }),
      ...(by === undefined ? {} : { roles: by }),
    })),
  };
}

/** Which tenants name classes that are not there, or have priorities where nothing waits. */
export function judgePriorities(
  draft: { readonly scheduling?: SchedulingConfig } | undefined,
  tenants: readonly BuiltTenant[],
): readonly Finding[] {
  // While the main file is wrong, nobody knows which there are.
  if (draft === undefined) return [];
  const names = draft.scheduling?.classes.map(({ name }) => name);
  const findings: Finding[] = [];
  for (const { document, draft: tenant } of tenants) {
    const { priority } = tenant ?? {};
    if (priority === undefined) continue;
    if (names === undefined) {
      const fix = 'add scheduling to the main file, or remove it';
      findings.push(
        document.finding({ path: ['priority'], at: 'key' }, 'has no meaning: no call waits for its turn', fix),
      );
      continue;
    }
    const named = [
      { path: ['priority', 'class'], name: priority.class },
      ...priority.rules.map((rule, index) => ({ path: ['priority', 'classes', index, 'class'], name: rule.class })),
    ];
    for (const { path, name } of named) {
      if (name === undefined || names.includes(name)) continue;
      const near = nearest(name, names);
      const fix = near === undefined ? `write one of ${names.join(', ')}` : `did you mean ${near}?`;
      findings.push(document.finding({ path }, `the main file has no class ${name}`, fix));
    }
  }
  return findings;
}

/** Gives the tenants the terms of the main file. A change of those is one of each tenant. */
export function withScheduling(
  drafts: readonly TenantDraft[],
  scheduling: SchedulingConfig | undefined,
): readonly TenantDraft[] {
  if (scheduling === undefined) return drafts;
  const text = JSON.stringify(scheduling);
  const indexOf = (name: string | undefined): number =>
    Math.max(
      0,
      scheduling.classes.findIndex((one) => one.name === name),
    );
  return drafts.map((draft) => {
    const { priority } = draft;
    const digest = createHash('sha256').update(draft.digest).update(text).digest('hex');
    return {
      ...draft,
      digest,
      scheduling: {
        ...scheduling,
        weight: priority?.weight ?? 1,
        defaultClass: indexOf(priority?.class),
        rules: (priority?.rules ?? []).map((rule) => ({ ...rule, class: indexOf(rule.class) })),
      },
    };
  });
}
