/**
 * What the matrix does not try, in words: combinations without a row, methods that a row cannot be tried on, and proofs that
 * cannot be given.
 */
import { type Aspect, type Check, DEFECTS, DIMENSIONS, type Gap, KINDS, QUOTAS } from './check.ts';
import type { MatrixMethod } from './methods.ts';

const HEAD = `# What the denial matrix does not try, and why. Written and compared by denial-matrix.test.ts.
`;

/** Stands where somebody has to say why. */
export const NO_REASON = 'nobody has said why';

export function uncoveredText(
  checks: readonly Check[],
  methods: readonly MatrixMethod[],
  gaps: readonly Gap[],
): string {
  return [
    HEAD,
    '# Combinations without a row.',
    ...listed(combinations(checks, gaps)),
    '',
    '# Methods that no row of an aspect can be tried on, with any kind of credential.',
    ...listed(untried(checks, methods)),
    '',
    '# Rows that are proven by one of their two counter-proofs only: not by the same call made right, or not by a configuration',
    '# without the check.',
    ...listed(proofs(checks)),
    '',
  ].join('\n');
}

/** Groups `[why, what]` by why. */
function listed(entries: readonly (readonly [why: string, what: string])[]): readonly string[] {
  const byWhy = Map.groupBy(entries, ([why]) => why);
  return [...byWhy].flatMap(([why, all]) => [`${why}:`, ...all.map(([, what]) => `  ${what}`)]);
}

function combinations(checks: readonly Check[], gaps: readonly Gap[]): readonly (readonly [string, string])[] {
  const tried = new Set(checks.map(({ kind, aspect }) => `${kind} × ${aspect}`));
  const all = KINDS.flatMap((kind) => [...DEFECTS, ...DIMENSIONS].map((aspect) => ({ kind, aspect })));
  return [...all, ...QUOTAS.map((aspect) => ({ kind: 'any' as const, aspect }))]
    .filter(({ kind, aspect }) => !tried.has(`${kind} × ${aspect}`))
    .map(({ kind, aspect }) => {
      const gap = gaps.find((each) => each.kind === kind && each.aspect === aspect);
      return [gap?.why ?? NO_REASON, `${kind} × ${aspect}`];
    });
}

/** Per kind, since a row of one kind proves nothing of another; what is the same for all kinds is said once. */
function untried(checks: readonly Check[], methods: readonly MatrixMethod[]): readonly (readonly [string, string])[] {
  const entries = new Map<string, readonly [string, string]>();
  for (const [, rows] of Map.groupBy(checks, ({ kind, aspect }) => `${kind} ${aspect}`)) {
    const [first] = rows;
    if (first === undefined) continue;
    for (const method of methods) {
      const why = reasonNotTried(rows, method);
      if (why !== undefined) entries.set(`${first.aspect} ${method.label}`, [why, what(first.aspect, method)]);
    }
  }
  return [...entries.values()].toSorted(([, a], [, b]) => (a < b ? -1 : 1));
}

function reasonNotTried(rows: readonly Check[], method: MatrixMethod): string | undefined {
  const reasons = rows.map(({ cannot }) => cannot?.(method));
  return reasons.includes(undefined) ? undefined : reasons[0];
}

function what(aspect: Aspect, { label }: MatrixMethod): string {
  return `${aspect}: ${label}`;
}

function proofs(checks: readonly Check[]): readonly (readonly [string, string])[] {
  return checks.flatMap(({ kind, name, satisfied, lax }) =>
    [satisfied, lax].flatMap((proof) => ('notShown' in proof ? [[proof.notShown, `${kind}: ${name}`] as const] : [])),
  );
}
