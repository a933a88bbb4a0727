import type { CallRecord } from '../audit/record.ts';
import type { ResetCause } from '../http2/contract.ts';
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

/** Whether a call that ended with this denial was refused by a rule, or failed. */
export function outcomeOf(denial: Denial): CallRecord['outcome'] {
  switch (denial.kind) {
    case 'upstream_unavailable':
    case 'upstream_protocol':
    case 'circuit_open':
    case 'deadline_exceeded':
    case 'internal':
      return 'failed';
    default:
      return 'denied';
  }
}

/** How a client's stream died, for the audit record. */
export function describeReset(cause: ResetCause): string {
  switch (cause.by) {
    case 'peer':
      return `reset with code ${cause.code}`;
    case 'us':
      return cause.why;
    case 'connection':
      return `connection: ${cause.end.kind}`;
  }
}
