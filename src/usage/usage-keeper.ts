/**
 * The running process's usage: takes in what the workers have written, brings it to the disk, and answers questions up to now. Whatever
 * it is asked happens one after the other, so that nothing changes while it is written.
 */
import { CursorFile } from '../audit/cursor.ts';
import type { UsageConfig } from '../config/generation.ts';
import { Bucket, type BucketKey } from './bucket.ts';
import { dayKey, isDay } from './bucket-time.ts';
import { overAt, RollUp } from './roll-up.ts';
import type { Numbers } from './units.ts';
import { diskUsageFiles, listBuckets, readBucket, setAside, type UsageFiles } from './usage-files.ts';

export interface UsageKeeperOptions {
  readonly auditDirectory: string;
  /** As it is now. */
  config(): UsageConfig;
  now(): number;
  warn(what: string): void;
  readonly files?: UsageFiles;
}

/** What was read is on disk after so long; what a crash leaves unread is read again. */
const SAVE_EVERY_MICROS = 30_000_000;
const HOURS_OF_DAY = 24;

export class UsageKeeper {
  readonly #options: UsageKeeperOptions;
  readonly #files: UsageFiles;
  readonly #rollUp: RollUp;
  readonly #cursorFiles = new Map<string, CursorFile>();
  /** Segment of each writer's up to which segments may be removed. */
  readonly #freed = new Map<string, number>();
  #savedAt = 0;
  #working: Promise<void> = Promise.resolve();
  #isCaughtUp = false;
  #ticking = false;
  #questions = 0;
  #failure: string | undefined;

  constructor(options: UsageKeeperOptions) {
    this.#options = options;
    this.#files = options.files ?? diskUsageFiles;
    this.#rollUp = new RollUp({
      auditDirectory: options.auditDirectory,
      maxRows: () => options.config().maxRows,
      now: () => options.now(),
      warn: (what) => options.warn(what),
      readOnly: false,
    });
  }

  /**
   * Since it has been counted, by tenant; as of the last `tick` or question. Undefined until what was written before the start has been
   * taken in: it would be less than was told before.
   */
  get totals(): ReadonlyMap<string, Numbers> | undefined {
    return this.#isCaughtUp ? this.#rollUp.totals : undefined;
  }

  /** Questions that are not answered yet. */
  get questions(): number {
    return this.#questions;
  }

  /** When that began, in microseconds since the Unix epoch. */
  get sinceMicros(): number {
    return this.#rollUp.state.sinceMicros;
  }

  /** Takes in what is new, and saves when it is time. Never rejects. */
  async tick(): Promise<void> {
    // One that is behind does the work of those after it.
    if (this.#ticking) return;
    this.#ticking = true;
    await this.#inTurn(async () => {
      await this.#rollUp.follow();
      this.#isCaughtUp = true;
      if (this.#isTimeToSave()) await this.#save();
    });
    this.#ticking = false;
  }

  /** Takes in all that was written until now, and answers from it. */
  async ask<T>(question: (rollUp: RollUp) => Promise<T>): Promise<T> {
    let answer: { readonly value: T } | undefined;
    this.#questions += 1;
    await this.#inTurn(async () => {
      await this.#rollUp.advance();
      answer = { value: await question(this.#rollUp) };
    });
    this.#questions -= 1;
    if (answer === undefined) throw new Error(this.#failure ?? 'the audit records cannot be read');
    return answer.value;
  }

  /** When nothing more is written: takes in the rest, and saves it. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#rollUp.advance();
      await this.#save();
    });
    this.#rollUp.close();
    for (const file of this.#cursorFiles.values()) file.close();
    this.#cursorFiles.clear();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#working = this.#working.then(work).then(
      () => {
        this.#failure = undefined;
      },
      (cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause);
        // Four times a second is too often to be told.
        if (why !== this.#failure) this.#options.warn(`usage cannot be kept: ${why}`);
        this.#failure = why;
      },
    );
    return this.#working;
  }

  /** Segments that the roll-up has left behind may be needed as room: then at once. */
  #isTimeToSave(): boolean {
    const { cursors, buckets } = this.#rollUp.state;
    const now = this.#options.now();
    for (const [writer, { sequence }] of cursors) if ((this.#freed.get(writer) ?? 0) < sequence) return true;
    if (overAt(buckets, now).length > 0) return true;
    return this.#rollUp.changed && Math.abs(now - this.#savedAt) >= SAVE_EVERY_MICROS;
  }

  /** In this order: what is counted and how far, the files of the hours that are over, and only then that they are over. */
  async #save(): Promise<void> {
    const rollUp = this.#rollUp;
    const now = this.#options.now();
    await this.#files.writeOpen(rollUp.directory, rollUp.state);
    const over = overAt(rollUp.state.buckets, now);
    for (const bucket of over) await this.#files.writeBucket(rollUp.directory, bucket);
    if (over.length > 0) {
      rollUp.sealed(over.map(({ key }) => key));
      await this.#files.writeOpen(rollUp.directory, rollUp.state);
    }
    rollUp.saved();
    this.#savedAt = now;
    this.#free();
    if (over.length > 0) await this.#keepLess();
  }

  /** Segments before these cursors are not needed any more. */
  #free(): void {
    for (const [writer, cursor] of this.#rollUp.state.cursors) {
      let file = this.#cursorFiles.get(writer);
      if (file === undefined) {
        file = new CursorFile(this.#options.auditDirectory, writer, 'usage');
        this.#cursorFiles.set(writer, file);
      }
      file.write(cursor);
      this.#freed.set(writer, cursor.sequence);
    }
  }

  /** Too many hours become days, too many days go. */
  async #keepLess(): Promise<void> {
    const { files, directory } = this.#rollUp;
    const { hourlyDays, dailyDays } = this.#options.config();
    for (const key of listBuckets(directory)) if (!files.has(key)) await this.#files.removeBucket(directory, key);
    const hours = [...files].filter((key) => !isDay(key)).sort();
    let tooMany = hours.length - hourlyDays * HOURS_OF_DAY;
    for (const [day, ofDay] of Map.groupBy(hours, dayKey)) {
      if (tooMany < ofDay.length) break;
      if (ofDay.some((key) => this.#rollUp.openBucket(key) !== undefined)) continue;
      await this.#makeDay(day, ofDay);
      tooMany -= ofDay.length;
    }
    const days = [...files].filter(isDay).sort();
    for (const day of days.slice(0, Math.max(0, days.length - dailyDays))) {
      await this.#files.removeBucket(directory, day);
      files.delete(day);
    }
  }

  async #makeDay(day: BucketKey, hours: readonly BucketKey[]): Promise<void> {
    const { files, directory } = this.#rollUp;
    const bucket = new Bucket(day);
    for (const key of hours) {
      const hour = readBucket(directory, key);
      if (!hour.ok) this.#options.warn(`${hour.error}; it is now ${setAside(directory, `${key}.json`)}`);
      else if (hour.value !== undefined) bucket.merge(hour.value, this.#options.config().maxRows);
    }
    await this.#files.writeBucket(directory, bucket);
    files.add(day);
    for (const key of hours) {
      await this.#files.removeBucket(directory, key).catch(ignoreMissing);
      files.delete(key);
    }
  }
}

function ignoreMissing(cause: unknown): void {
  if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) throw cause;
}
