/**
 * What the model server saw, by the id that each request carries: its own log, not the sidecar's word. There the id stands behind its
 * tenant's, in whose namespace it is.
 */
import { setTimeout } from 'node:timers/promises';
import type { LogLine } from '../setup/children.ts';
import type { Stage } from '../stage.ts';
import { type Check, check } from '../step.ts';

/** A line may come a moment after the call: so long one is waited for, and so long for one that must not come. */
const ARRIVAL_TIMEOUT_MS = 1_000;
const SETTLE_MS = 100;

/** The model server must have been told this tenant and principal of the request with this id, and no credential. */
export async function toldCheck(stage: Stage, id: string, tenant: string, principal: string): Promise<Check> {
  const told = await stage.sink.waitFor(
    () => linesOf(stage, (one) => one === `${tenant}:${id}`)[0],
    ARRIVAL_TIMEOUT_MS,
  );
  const expected = describe(tenant, principal, []);
  const credentials: readonly unknown[] = Array.isArray(told?.['credentials']) ? told['credentials'] : ['?'];
  const seen = told === undefined ? 'nothing' : describe(text(told['tenant']), text(told['principal']), credentials);
  return check('the model server was told', seen, seen === expected, expected);
}

/** No request whose id begins with `prefix` may have reached the model server. */
export async function nothingReached(stage: Stage, prefix: string): Promise<Check> {
  await setTimeout(SETTLE_MS);
  const reached = linesOf(stage, (id) => id.slice(id.indexOf(':') + 1).startsWith(prefix)).length;
  return check('refused calls that reached the model server', String(reached), reached === 0, '0');
}

function linesOf(stage: Stage, wanted: (id: string) => boolean): readonly LogLine[] {
  return stage.modelServer.lines.filter((line) => line['event'] === 'call' && wanted(text(line['id'])));
}

function describe(tenant: string, principal: string, credentials: readonly unknown[]): string {
  return `${tenant}, ${principal}; ${credentials.length === 0 ? 'no credential' : credentials.join(', ')}`;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '?';
}
