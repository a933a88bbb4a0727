/**
 * The main thread's part in the journal of limits: reads it when the process starts, keeps it short while it runs, and leaves exact
 * numbers when it ends.
 *
 * To keep it short, all that the cells hold is written into a new snapshot, and workers go on in new files. A worker may be at the very
 * moment between its record and its cell; so the files that were written to until now are kept until the snapshot after this one.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Generation } from '../config/generation.ts';
import { type CellKey, LimitCells } from './limit-cells.ts';
import { decode, encode, type JournalEntry, RECORD_BYTES } from './limit-journal.ts';
import { organisationOwner, tenantOwner } from './limit-set.ts';
import { journaledIn, restoreInto } from './meter.ts';
import type { SharedState } from './shared-state.ts';

/** Whose cells are where. */
export type Regions = Pick<Generation, 'tenants' | 'organisations'>;

/** Beyond it the journal is written anew. */
const MAX_JOURNAL_BYTES = 8 * 1024 * 1024;
const SALT = /^[0-9a-f]{32}$/;

export class LimitStore {
  readonly #directory: string;
  /** Keys cells, as long as the directory is there: what is in the journal is found by it. */
  readonly salt: string;
  #shared: SharedState | undefined;
  #cells: LimitCells | undefined;
  /** Files of which the last fsync has had this much. */
  readonly #synced = new Map<string, number>();

  private constructor(directory: string, salt: string) {
    this.#directory = directory;
    this.salt = salt;
  }

  /** Opens the directory, and makes it when it is not there. Throws what the file system throws. */
  static open(directory: string): LimitStore {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, 'salt');
    try {
      const salt = readFileSync(path, 'utf8').trim();
      if (SALT.test(salt)) return new LimitStore(directory, salt);
    } catch (cause) {
      if (!isMissing(cause)) throw cause;
    }
    // Without its salt no record can be found again.
    const salt = randomBytes(16).toString('hex');
    for (const name of filesOf(directory)) unlinkSync(join(directory, name));
    writeWhole(path, Buffer.from(`${salt}\n`));
    return new LimitStore(directory, salt);
  }

  /**
   * Puts what was used into the cells. Before any worker is there. `now`: microseconds since the Unix epoch. Returns for how many cells
   * there was no room: what they held is forgotten.
   */
  restore(shared: SharedState, regions: Regions, now: number): number {
    this.#shared = shared;
    this.#cells = new LimitCells(shared.limits);
    const entries = this.#read(now);
    const lost = this.#place(entries, regionsByOwner(this.#cells, this.salt, regions));
    const epoch = Math.max(0, ...filesOf(this.#directory).map(epochOf)) + 1;
    Atomics.store(new Int32Array(shared.limits.journalEpoch), 0, epoch);
    return lost;
  }

  /** Puts what was used by owners that are new in `next` into their cells, which are empty. */
  welcome(before: Regions, next: Regions, now: number): void {
    const cells = this.#cells;
    if (cells === undefined) return;
    const known = regionsByOwner(cells, this.salt, before);
    const fresh = [...regionsByOwner(cells, this.salt, next)].filter(([owner]) => !known.has(owner));
    if (fresh.length > 0) this.#place(this.#read(now), new Map(fresh));
  }

  /** Once a second: what was written is brought to the disk, and a journal that has grown long is written anew. */
  async tick(regions: Regions, now: number): Promise<void> {
    let bytes = 0;
    for (const name of filesOf(this.#directory)) {
      const path = join(this.#directory, name);
      const { size } = statSync(path);
      if (name.startsWith('journal-')) bytes += size;
      if (this.#synced.get(name) === size) continue;
      await sync(path);
      this.#synced.set(name, size);
    }
    if (bytes > MAX_JOURNAL_BYTES) this.compact(regions, now);
  }

  /** Writes a new snapshot, and removes what is older than the one before. */
  compact(regions: Regions, now: number): void {
    const shared = this.#shared;
    if (shared === undefined) return;
    const epoch = Atomics.add(new Int32Array(shared.limits.journalEpoch), 0, 1) + 1;
    this.#snapshot(`snapshot-${epoch}.log`, regions, now, false);
    for (const name of filesOf(this.#directory)) if (epochOf(name) < epoch - 1) this.#remove(name);
  }

  /** Leaves exactly what was used. When no worker is there any more. */
  close(regions: Regions, now: number): void {
    const shared = this.#shared;
    if (shared === undefined) return;
    const before = filesOf(this.#directory);
    const epoch = Atomics.add(new Int32Array(shared.limits.journalEpoch), 0, 1) + 1;
    this.#snapshot(`snapshot-${epoch}.log`, regions, now, true);
    for (const name of before) this.#remove(name);
  }

  /** All that matters still, each cell's windows with the most that is known of them. */
  #read(now: number): readonly JournalEntry[] {
    const known = new Map<string, JournalEntry>();
    for (const name of filesOf(this.#directory)) {
      for (const entry of decode(readFileSync(join(this.#directory, name)))) {
        if (entry.staleAfter <= now) continue;
        const id = `${cellOf(entry)}:${entry.mark}`;
        const before = known.get(id);
        if (before === undefined || before.amount < entry.amount) known.set(id, entry);
      }
    }
    return [...known.values()];
  }

  /** Returns for how many cells of these regions there was no room. */
  #place(entries: readonly JournalEntry[], regions: ReadonlyMap<string, number>): number {
    const byCell = new Map<string, [JournalEntry, ...JournalEntry[]]>();
    for (const entry of entries) {
      const cell = byCell.get(cellOf(entry));
      if (!regions.has(ownerOf(entry))) continue;
      if (cell === undefined) byCell.set(cellOf(entry), [entry]);
      else cell.push(entry);
    }
    let lost = 0;
    for (const cell of byCell.values()) if (!this.#fill(cell, regions.get(ownerOf(cell[0])))) lost += 1;
    return lost;
  }

  #fill(entries: readonly [JournalEntry, ...JournalEntry[]], region: number | undefined): boolean {
    const [cells, shared] = [this.#cells, this.#shared];
    if (cells === undefined || shared === undefined || region === undefined) return true;
    const [{ high, low, set, kind, own }] = entries;
    const key: CellKey = { high, low, set, word: 0 };
    const word = cells.reclaim(region, key, kind, own);
    if (word === -1) return false;
    if (word !== undefined) restoreInto(cells.words, word, kind, shared.epoch, entries);
    return true;
  }

  #snapshot(name: string, regions: Regions, now: number, exact: boolean): void {
    const [cells, shared] = [this.#cells, this.#shared];
    if (cells === undefined || shared === undefined) return;
    const records: Buffer[] = [];
    const write = (entry: JournalEntry): void => {
      if (entry.amount <= 0 || entry.staleAfter <= now) return;
      const record = Buffer.alloc(RECORD_BYTES);
      encode(record, entry);
      records.push(record);
    };
    const present = regionsByOwner(cells, this.salt, regions);
    for (const [owner, region] of present) {
      const [ownerHigh = 0, ownerLow = 0] = owner.split(':').map(Number);
      for (const { word, key, kind, own } of cells.used(region)) {
        const { high, low, set } = key;
        for (const promised of journaledIn(cells.words, word, kind, shared.epoch, exact))
          write({ ownerHigh, ownerLow, high, low, set, kind, own, ...promised });
      }
    }
    // Of owners that are not configured, or are no longer: kept until it does not matter.
    for (const entry of this.#read(now)) if (!present.has(ownerOf(entry))) write(entry);
    writeWhole(join(this.#directory, name), Buffer.concat(records));
  }

  #remove(name: string): void {
    unlinkSync(join(this.#directory, name));
    this.#synced.delete(name);
  }
}

function regionsByOwner(cells: LimitCells, salt: string, { tenants, organisations }: Regions): Map<string, number> {
  const regions = new Map<string, number>();
  for (const { id, slot, quota } of tenants) {
    if (quota.limits === undefined) continue;
    regions.set(ownerOf(cells.ownerOf(salt, tenantOwner(id))), cells.tenantRegion(slot));
  }
  for (const { name, slot } of organisations ?? [])
    regions.set(ownerOf(cells.ownerOf(salt, organisationOwner(name))), cells.organisationRegion(slot));
  return regions;
}

function ownerOf({ ownerHigh, ownerLow }: Pick<JournalEntry, 'ownerHigh' | 'ownerLow'>): string {
  return `${ownerHigh}:${ownerLow}`;
}

function cellOf(entry: JournalEntry): string {
  return `${ownerOf(entry)}:${entry.high}:${entry.low}`;
}

const FILE = /^(?:journal|snapshot)-(\d+)(?:-w\d+-\d+)?\.log$/;

function filesOf(directory: string): readonly string[] {
  return readdirSync(directory).filter((name) => FILE.test(name));
}

function epochOf(name: string): number {
  return Number(FILE.exec(name)?.[1] ?? 0);
}

/** Under its name only when all of it is on the disk. */
function writeWhole(path: string, bytes: Buffer): void {
  const fd = openSync(`${path}.new`, 'w', 0o600);
  try {
    writeSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}
