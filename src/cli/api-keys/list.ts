/**
 * `bulkhead keys list`: which API keys a tenant has, and until when.
 */
import { join } from 'node:path';
import { KEY_USE_FILE, readKeyUses } from '../../runtime/key-use-file.ts';
import { printJson, timeText } from '../certificates/report.ts';
import type { CliIo } from '../io.ts';
import { sayProblem, TenantFile, type WrittenKey } from './tenant-file.ts';

export interface ListOptions {
  readonly expiring?: number;
  /** Directory of the audit log. */
  readonly uses?: string;
  readonly json?: true;
}

type KeyState = 'active' | 'rotating' | 'expired' | 'revoked';

/** Prints the keys of a tenant's file. */
export function list(name: string, { expiring, uses: directory, json }: ListOptions, io: CliIo): void {
  const now = Date.now();
  const file = TenantFile.read(name);
  if (!file.ok) return sayProblem(io, file.error);
  const { tenant, keys } = file.value;
  const read = directory === undefined ? undefined : (readKeyUses(join(directory, KEY_USE_FILE)) ?? 'no such file yet');
  if (typeof read === 'string') {
    const fix = 'name the directory of the audit log of a sidecar that has run for a minute';
    return sayProblem(io, { message: `when keys were used is not known: ${read}`, fix, exitCode: 2 });
  }
  const uses = read && (read.get(tenant) ?? new Map<string, number>());
  const shown =
    expiring === undefined
      ? keys
      : keys.filter((key) => !key.revoked && (key.expires ?? NEVER) * 1000 <= now + expiring);
  if (expiring !== undefined && shown.length > 0) io.exit(3);
  if (json === true) return printJson(io, { tenant, keys: shown.map((key) => keyJson(key, now, uses)) });
  if (shown.length > 0) io.out(table(shown, now, uses));
  else io.out(expiring === undefined ? `tenant ${tenant} has no API keys\n` : 'nothing ends so soon\n');
}

const NEVER = Number.POSITIVE_INFINITY;

function stateOf({ revoked, expires, previous }: WrittenKey, now: number): KeyState {
  if (revoked) return 'revoked';
  if ((expires ?? NEVER) * 1000 <= now) return 'expired';
  return previous !== undefined && previous.expires * 1000 > now ? 'rotating' : 'active';
}

function keyJson(key: WrittenKey, now: number, uses: Uses | undefined): object {
  return {
    id: key.id,
    state: stateOf(key, now),
    expires: key.expires === undefined ? null : timeText(key.expires * 1000),
    ...(key.previous === undefined ? {} : { previousExpires: timeText(key.previous.expires * 1000) }),
    scopes: key.scopes ?? [],
    ...(uses === undefined ? {} : { lastUsed: usedText(uses, key.id) ?? null }),
    ...(uses === undefined || key.previous === undefined
      ? {}
      : { previousLastUsed: usedText(uses, `${key.id} before`) ?? null }),
  };
}

/** By the names of a key's secrets, in Unix seconds. */
type Uses = ReadonlyMap<string, number>;

function usedText(uses: Uses, name: string): string | undefined {
  const seconds = uses.get(name);
  return seconds === undefined ? undefined : timeText(seconds * 1000);
}

/** While two secrets are good, the question is whether anybody still uses the one before. */
function usedCell(uses: Uses, key: WrittenKey, state: KeyState): string {
  const used = usedText(uses, key.id) ?? 'never';
  return state === 'rotating' ? `${used} (the one before: ${usedText(uses, `${key.id} before`) ?? 'never'})` : used;
}

function table(keys: readonly WrittenKey[], now: number, uses: Uses | undefined): string {
  const rows = keys.map((key) => {
    const state = stateOf(key, now);
    const before =
      state === 'rotating' ? ` (the secret before until ${timeText((key.previous?.expires ?? 0) * 1000)})` : '';
    const end = key.expires === undefined ? 'never' : timeText(key.expires * 1000);
    const used = uses === undefined ? [] : [usedCell(uses, key, state)];
    return [key.id, `${state}${before}`, end, ...used, (key.scopes ?? []).join(' ')];
  });
  const all = [['ID', 'STATE', 'UNTIL', ...(uses === undefined ? [] : ['LAST USED']), 'SCOPES'], ...rows];
  const width = (column: number): number => Math.max(...all.map((row) => row[column]?.length ?? 0));
  const line = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(width(column))).join('  ');
  return all.map((row) => `${line(row).trimEnd()}\n`).join('');
}
