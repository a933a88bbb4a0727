/**
 * When API keys were last used, for the day on which somebody asks whether a key may be taken away: a small file beside the audit log, so
 * that a restart forgets nothing. It is written a minute at most after a use, and at the end; who kills the process loses that minute.
 */
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyUse } from '../authn/key-uses.ts';
import { apiKeysOf, type StoredTenant } from '../config/stored-tenant.ts';

/** Its name in the audit log's directory. */
export const KEY_USE_FILE = 'key-uses.json';

/** Disks wear out, and nobody needs it to the second. */
const WRITE_EVERY_MS = 60_000;

/** By tenant and by key; a key's secret before has a name of its own (`KnownKey.name`). Unix seconds. */
export type LastUses = ReadonlyMap<string, ReadonlyMap<string, number>>;

export interface KeyUseFileOptions {
  /** Of the audit log. */
  readonly directory: string;
  nowMs(): number;
  failed(why: string): void;
}

export class KeyUseFile {
  readonly #options: KeyUseFileOptions;
  readonly #uses = new Map<string, Map<string, number>>();
  #changed = false;
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  #writing: Promise<void> = Promise.resolve();

  /** Takes over what was written before, if it can be read. */
  constructor(options: KeyUseFileOptions) {
    this.#options = options;
    const before = readKeyUses(join(options.directory, KEY_USE_FILE));
    if (typeof before === 'string') options.failed(before);
    else for (const [tenant, uses] of before ?? []) this.#uses.set(tenant, new Map(uses));
  }

  /** When a key's secret was last used, in Unix seconds; undefined: not since this is written down. */
  lastUse(tenant: string, key: string): number | undefined {
    return this.#uses.get(tenant)?.get(key);
  }

  note(uses: readonly KeyUse[]): void {
    for (const { tenant, key, atSeconds } of uses) {
      let known = this.#uses.get(tenant);
      if (known === undefined) {
        known = new Map();
        this.#uses.set(tenant, known);
      }
      // Workers tell in any order.
      if ((known.get(key) ?? 0) >= atSeconds) continue;
      known.set(key, atSeconds);
      this.#changed = true;
    }
  }

  /** Writes the uses of keys that there still are, if it is time to, or `now`. Never rejects. */
  write(tenants: readonly StoredTenant[], now = false): Promise<void> {
    const nowMs = this.#options.nowMs();
    if (!this.#changed || (!now && nowMs - this.#writtenAtMs < WRITE_EVERY_MS)) return this.#writing;
    this.#changed = false;
    this.#writtenAtMs = nowMs;
    this.#forgetOthers(tenants);
    const text = `${JSON.stringify({ tenants: Object.fromEntries([...this.#uses].map(written)) }, undefined, 1)}\n`;
    this.#writing = this.#writing.then(() => this.#put(text));
    return this.#writing;
  }

  async #put(text: string): Promise<void> {
    const path = join(this.#options.directory, KEY_USE_FILE);
    try {
      await writeFile(`${path}.new`, text, { mode: 0o600 });
      await rename(`${path}.new`, path);
    } catch (cause) {
      this.#changed = true;
      this.#options.failed(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }

  #forgetOthers(tenants: readonly StoredTenant[]): void {
    const configured = new Map(tenants.map((tenant) => [String(tenant.id), tenant]));
    for (const [id, uses] of this.#uses) {
      const tenant = configured.get(id);
      const ids = new Set(tenant === undefined ? [] : apiKeysOf(tenant).map((key) => key.id));
      for (const key of uses.keys()) if (!ids.has(key.split(' ')[0] ?? '')) uses.delete(key);
      if (uses.size === 0) this.#uses.delete(id);
    }
  }
}

function written([tenant, uses]: readonly [string, ReadonlyMap<string, number>]): readonly [string, object] {
  const times = [...uses].map(([key, seconds]) => [key, new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')]);
  return [tenant, Object.fromEntries(times)];
}

/** Reads such a file; undefined: there is none; a text: why it cannot be read. */
export function readKeyUses(path: string): LastUses | undefined | string {
  let tenants: unknown;
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    tenants = typeof parsed === 'object' && parsed !== null && 'tenants' in parsed ? parsed.tenants : undefined;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    return `${path}: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
  if (typeof tenants !== 'object' || tenants === null) return `${path}: no list of tenants`;
  return new Map(Object.entries(tenants).map(([tenant, uses]) => [tenant, timesOf(uses)]));
}

/** What is no time is left away: a use that is unknown, as one that was never written. */
function timesOf(uses: unknown): ReadonlyMap<string, number> {
  if (typeof uses !== 'object' || uses === null) return new Map();
  return new Map(
    Object.entries(uses).flatMap(([key, time]) => {
      const ms = typeof time === 'string' ? Date.parse(time) : Number.NaN;
      return Number.isNaN(ms) ? [] : [[key, Math.floor(ms / 1000)] as const];
    }),
  );
}
