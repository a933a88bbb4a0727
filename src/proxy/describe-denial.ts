import type { Denial } from '../kernel/denial.ts';

/** A denial's own facts as `name=value` pairs, for the audit record. Never a secret: no arm carries one. */
export function describe(denial: Denial): string {
  if (denial.kind === 'internal') return denial.cause instanceof Error ? denial.cause.message : String(denial.cause);
  const facts: string[] = [];
  for (const [name, value] of Object.entries(denial)) {
    if (name !== 'kind') facts.push(`${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
  }
  return facts.join(' ');
}
