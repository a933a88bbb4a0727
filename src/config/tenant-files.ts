/**
 * The tenants' files and what was built from them, from one load to the next: what may have changed is looked at, what has changed
 * is built again, and all the rest stays as it is.
 */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { YamlDocument } from './document.ts';
import type { FileCache } from './file-cache.ts';
import type { Finding } from './finding.ts';
import { Neighbours } from './neighbours.ts';
import { type BuiltTenant, buildTenant } from './tenant.ts';
import { isWorkloadName } from './workload-material.ts';
import { renewTenant } from './workload-sources.ts';

/** Where the tenants' files are, and how findings and records name that place. */
export interface TenantsPlace {
  /** Absolute. */
  readonly directory: string;
  /** As one would type it from where the main file's path was typed. */
  readonly typed: string;
  /** From the main file's directory. */
  readonly display: string;
}

interface CachedTenant {
  readonly built: BuiltTenant;
  /** Its own file first, then those that it names; absolute. */
  readonly files: readonly string[];
  /** Of each of these files. */
  readonly revisions: readonly string[];
}

/** After so many tenants the event loop gets a turn: the admin port answers during a load of thousands. */
const TENANTS_PER_TURN = 50;

export class TenantFiles {
  readonly #cache: FileCache;
  readonly #neighbours = new Neighbours();
  readonly #tenants = new Map<string, CachedTenant>();
  #built: readonly BuiltTenant[] = [];
  #place: TenantsPlace | undefined;
  readonly #lost = new Set<string>();

  constructor(cache: FileCache) {
    this.#cache = cache;
  }

  /** All tenants, in the order of their files' names. */
  get built(): readonly BuiltTenant[] {
    return this.#built;
  }

  /** What must not be the same in two of them, and is. */
  judgeNeighbours(): readonly Finding[] {
    return this.#neighbours.judge(this.#built);
  }

  /** Brings all of them to what the load that the cache has begun finds. `names`: of the files, sorted. */
  async refresh(place: TenantsPlace, names: readonly string[]): Promise<void> {
    if (place.directory !== this.#place?.directory || place.typed !== this.#place.typed) this.clear();
    this.#place = place;
    this.#keepOnly(names);
    const { suspects } = this.#cache;
    if (suspects === undefined) await this.#renewAll(place, names);
    else await this.#renewAffected(place, names, suspects);
    this.#built = names.map((name) => this.#tenants.get(name)?.built).filter((built) => built !== undefined);
  }

  async #renewAffected(place: TenantsPlace, names: readonly string[], suspects: ReadonlySet<string>): Promise<void> {
    // Looking at a tenant's files may show that one has changed which others name too.
    const done = new Set<string>();
    for (let next: ReadonlySet<string> = suspects; next.size > 0; ) {
      const affected = names.filter((name) => this.#tenants.get(name)?.files.some((file) => next.has(file)) ?? true);
      for (const file of next) done.add(file);
      await this.#renewAll(place, affected);
      next = new Set([...this.#cache.moved].filter((file) => !done.has(file)));
    }
  }

  /** Forgets all of them. */
  clear(): void {
    this.#keepOnly([]);
    this.#built = [];
  }

  /** Of files that tenants have named since the last time, and of `others`, those that no tenant names now. */
  takeLost(others: Iterable<string>): Set<string> {
    const lost = new Set([...this.#lost, ...others]);
    this.#lost.clear();
    if (lost.size > 0) for (const { files } of this.#tenants.values()) for (const file of files) lost.delete(file);
    return lost;
  }

  #keepOnly(names: readonly string[]): void {
    const kept = new Set(names);
    for (const [name, tenant] of this.#tenants) {
      if (kept.has(name)) continue;
      this.#neighbours.leave(tenant.built);
      for (const file of tenant.files) this.#lost.add(file);
      this.#tenants.delete(name);
    }
  }

  async #renewAll(place: TenantsPlace, names: readonly string[]): Promise<void> {
    for (const [index, name] of names.entries()) {
      if (index % TENANTS_PER_TURN === TENANTS_PER_TURN - 1) await setImmediate();
      this.#renew(place, name);
    }
  }

  /** Looks at all files of a tenant, together: a certificate and its key change one after the other. */
  #renew(place: TenantsPlace, name: string): void {
    const path = join(place.directory, name);
    const known = this.#tenants.get(name);
    let renewed: BuiltTenant | undefined;
    if (known !== undefined) {
      for (const file of known.files) this.#cache.suspect(file);
      const changed = known.files.filter((file, index) => this.#cache.revision(file) !== known.revisions[index]);
      if (changed.length === 0) return;
      if (changed.every(isWorkloadName))
        renewed = renewTenant(known.built, path, join(place.display, name), this.#cache);
      this.#neighbours.leave(known.built);
      for (const file of known.files) this.#lost.add(file);
    }
    const built = renewed ?? this.#build(path, join(place.typed, name), join(place.display, name));
    const files = [path, ...built.dependents];
    this.#neighbours.enter(built);
    this.#tenants.set(name, { built, files, revisions: files.map((file) => this.#cache.revision(file)) });
  }

  #build(path: string, typed: string, display: string): BuiltTenant {
    const text = this.#cache.read(path);
    return text.ok
      ? buildTenant(new YamlDocument(typed, text.value.text), path, display, this.#cache)
      : unreadable(typed, text.error);
  }
}

function unreadable(file: string, message: string): BuiltTenant {
  return {
    document: new YamlDocument(file, ''),
    draft: undefined,
    facts: undefined,
    fetched: [],
    findings: [
      { file, line: 0, column: 0, path: '', message, fix: 'make the file readable, or remove it', severity: 'error' },
    ],
    validities: [],
    dependents: [],
  };
}
