/**
 * `bulkhead pki list`: what there is, and until when.
 */
import type { TenantId } from '../../kernel/ids.ts';
import { PkiDirectory } from '../../pki/directory.ts';
import { endsSoon, type InventoryItem, inventory } from '../../pki/inventory.ts';
import type { CliIo } from '../io.ts';
import { timeText } from './report.ts';

export interface ListOptions {
  readonly directory: string;
  readonly tenant?: TenantId;
  readonly expiring?: number;
  readonly all?: true;
  readonly json?: true;
}

/** Prints what there is. */
export function list(options: ListOptions, io: CliIo): void {
  const now = Date.now();
  const { expiring } = options;
  const items = inventory(PkiDirectory.open(options.directory), options.tenant, now);
  const found = expiring === undefined ? items : items.filter((item) => endsSoon(item, expiring, now));
  if (expiring !== undefined && found.length > 0) io.exit(3);
  if (options.json === true) {
    io.out(`${JSON.stringify({ items: found.map(itemJson) }, null, 2)}\n`);
    return;
  }
  const shown = found.filter(({ state }) => options.all === true || (state !== 'superseded' && state !== 'retired'));
  if (shown.length > 0) io.out(table(shown));
  else io.out(expiring === undefined ? 'nothing was issued yet\n' : 'nothing ends so soon\n');
}

function itemJson(item: InventoryItem): object {
  const { notAfterMs, revoked, ...rest } = item;
  return {
    ...rest,
    notAfter: timeText(notAfterMs),
    ...(revoked === undefined ? {} : { revoked: { at: timeText(revoked.atMs), reason: revoked.reason } }),
  };
}

function table(items: readonly InventoryItem[]): string {
  const rows = items.map((item) => [
    item.tenant ?? '-',
    item.kind,
    item.name,
    item.revoked === undefined ? item.state : `revoked (${item.revoked.reason})`,
    timeText(item.notAfterMs),
    item.serial,
  ]);
  const all = [['TENANT', 'KIND', 'NAME', 'STATE', 'UNTIL', 'SERIAL'], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  return all
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
