/**
 * `bulkhead keys list`: which API keys a tenant has, and until when.
 */
import { printJson, timeText } from '../certificates/report.ts';
import type { CliIo } from '../io.ts';
import { sayProblem, TenantFile, type WrittenKey } from './tenant-file.ts';

export interface ListOptions {
  readonly expiring?: number;
  readonly json?: true;
}

type KeyState = 'active' | 'rotating' | 'expired' | 'revoked';

/** Prints the keys of a tenant's file. */
export function list(name: string, { expiring, json }: ListOptions, io: CliIo): void {
  const now = Date.now();
  const file = TenantFile.read(name);
  if (!file.ok) return sayProblem(io, file.error);
  const { tenant, keys } = file.value;
  const shown =
    expiring === undefined
      ? keys
      : keys.filter((key) => !key.revoked && (key.expires ?? NEVER) * 1000 <= now + expiring);
  if (expiring !== undefined && shown.length > 0) io.exit(3);
  if (json === true) return printJson(io, { tenant, keys: shown.map((key) => keyJson(key, now)) });
  if (shown.length > 0) io.out(table(shown, now));
  else io.out(expiring === undefined ? `tenant ${tenant} has no API keys\n` : 'nothing ends so soon\n');
}

const NEVER = Number.POSITIVE_INFINITY;

function stateOf({ revoked, expires, previous }: WrittenKey, now: number): KeyState {
  if (revoked) return 'revoked';
  if ((expires ?? NEVER) * 1000 <= now) return 'expired';
  return previous !== undefined && previous.expires * 1000 > now ? 'rotating' : 'active';
}

function keyJson(key: WrittenKey, now: number): object {
  return {
    id: key.id,
    state: stateOf(key, now),
    expires: key.expires === undefined ? null : timeText(key.expires * 1000),
    ...(key.previous === undefined ? {} : { previousExpires: timeText(key.previous.expires * 1000) }),
    scopes: key.scopes ?? [],
  };
}

function table(keys: readonly WrittenKey[], now: number): string {
  const rows = keys.map((key) => {
    const state = stateOf(key, now);
    const before =
      state === 'rotating' ? ` (the secret before until ${timeText((key.previous?.expires ?? 0) * 1000)})` : '';
    const end = key.expires === undefined ? 'never' : timeText(key.expires * 1000);
    return [key.id, `${state}${before}`, end, (key.scopes ?? []).join(' ')];
  });
  const all = [['ID', 'STATE', 'UNTIL', 'SCOPES'], ...rows];
  const width = (column: number): number => Math.max(...all.map((row) => row[column]?.length ?? 0));
  const line = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(width(column))).join('  ');
  return all.map((row) => `${line(row).trimEnd()}\n`).join('');
}
