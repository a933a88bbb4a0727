/**
 * Usage, made of the audit records: each call is on record once, so it is counted once. The roll-up follows the writers' segments from
 * cursors on, and keeps the cursors with the sums in one file: whenever the process is killed, the next one goes on exactly there. Calls
 * cost nothing for it; a call belongs to the hour in which it ended.
 *
 * `advance` takes in what was written since, `save` brings it to the disk. Opened for reading only, it does the first in memory.
 */
import { setImmediate } from 'node:timers/promises';
import { CallView, TEXT } from '../audit/call-view.ts';
import { RECORD_CALL } from '../audit/codec.ts';
import type { Cursor } from '../audit/cursor.ts';
import { decodeRecord } from '../audit/decode-record.ts';
import type { SegmentHeader } from '../audit/segment.ts';
import { listAllSegments } from '../audit/segment-list.ts';
import { type TailFrame, WriterTail } from '../audit/writer-tail.ts';
import { Bucket, type BucketKey } from './bucket.ts';
import { dayKey, HOUR_MICROS, hourKey, hourOf, isDay } from './bucket-time.ts';
import { addCall, addNumbers, type Numbers, noNumbers } from './units.ts';
import {
  listBuckets,
  type OpenUsage,
  readBucket,
  readOpen,
  setAside,
  type UsageGap,
  usageDirectory,
} from './usage-files.ts';

export interface RollUpOptions {
  readonly auditDirectory: string;
  /** Rows of one tenant in one hour, callers by models. */
  maxRows(): number;
  /** Microseconds since the Unix epoch. */
  now(): number;
  /** Something is not as it should be; said once, in words for the operator. */
  warn(what: string): void;
  /** Nothing on disk is touched. */
  readonly readOnly: boolean;
}

/** Gaps that are kept by name; an operator who has so many has been told. */
export const MAX_GAPS = 100;
/** Records between two turns of the event loop. */
const SLICE_RECORDS = 1_000;
/** How often new writers are looked for, and chains that began anew. */
const DISCOVER_MS = 1_000;
const READ_BUFFER_BYTES = 256 * 1024;
/** Callers by models whose numbers are found by the bytes of their names. */
const MAX_KNOWN_PAIRS = 4_096;

interface Followed {
  readonly tail: WriterTail;
  bucket: Bucket | undefined;
  sequence: number;
}

interface Pair {
  readonly numbers: Numbers;
  readonly total: Numbers;
}

export class RollUp {
  readonly #options: RollUpOptions;
  readonly directory: string;
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
  readonly #view = new CallView();
  readonly #followed = new Map<string, Followed>();
  readonly #open = new Map<BucketKey, Bucket>();
  readonly #totals: Map<string, Numbers>;
  readonly #gaps: UsageGap[];
  readonly #sinceMicros: number;
  /** Of writers that nothing is left of, too. */
  readonly #cursors: Map<string, Cursor>;
  /** Hours and days that have a file. */
  readonly files: Set<BucketKey>;
  /** Hours that had a file when everything else began to be counted anew. */
  #counted: ReadonlySet<BucketKey>;
  #hour = -1;
  #hourBucket: Bucket | undefined;
  readonly #pairs = new Map<string, Pair>();
  #discoveredAt = Number.NEGATIVE_INFINITY;
  #left = 0;
  #changed = false;
  #unreadable = 0;

  constructor(options: RollUpOptions) {
    this.#options = options;
    this.directory = usageDirectory(options.auditDirectory);
    // In this order: an hour that has left the one file is in the other.
    const read = this.#read();
    this.files = new Set(filesIn(this.directory));
    const usage = read ?? this.#fromFiles();
    this.#cursors = new Map(usage.cursors);
    this.#totals = new Map(usage.totals);
    this.#gaps = [...usage.gaps];
    this.#sinceMicros = usage.sinceMicros;
    for (const bucket of usage.buckets) this.#open.set(bucket.key, bucket);
    this.#counted = read === undefined ? new Set(this.files) : new Set();
  }

  /** What is to be written, so that it can be gone on with. */
  get state(): OpenUsage {
    for (const [writer, { tail }] of this.#followed) {
      if (tail.cursor !== undefined) this.#cursors.set(writer, tail.cursor);
    }
    return {
      cursors: this.#cursors,
      buckets: [...this.#open.values()],
      totals: this.#totals,
      sinceMicros: this.#sinceMicros,
      gaps: this.#gaps,
    };
  }

  /** Whether there is something that is not on disk. */
  get changed(): boolean {
    return this.#changed;
  }

  /** Records that could not be read as such. */
  get unreadable(): number {
    return this.#unreadable;
  }

  get totals(): ReadonlyMap<string, Numbers> {
    return this.#totals;
  }

  openBucket(key: BucketKey): Bucket | undefined {
    return this.#open.get(key);
  }

  /** It is on disk. */
  saved(): void {
    this.#changed = false;
  }

  /** These hours have their files now. */
  sealed(keys: Iterable<BucketKey>): void {
    for (const key of keys) {
      this.#open.delete(key);
      this.files.add(key);
    }
    this.#forgetPairs();
  }

  /** Takes in all records that are there, at once also those of writers that are new. One call at a time. */
  async advance(): Promise<void> {
    this.#discover();
    for (const { tail } of this.#followed.values()) tail.lookBehindGap();
    return this.follow();
  }

  /** The same, where writers that are new may wait for a second. */
  async follow(): Promise<void> {
    if (performance.now() - this.#discoveredAt >= DISCOVER_MS) this.#discover();
    for (const followed of this.#followed.values()) {
      do {
        this.#left = SLICE_RECORDS;
        followed.tail.read((frame) => this.#take(followed, frame));
        if (this.#left <= 0) await setImmediate();
      } while (this.#left <= 0);
    }
    this.#counted = new Set();
  }

  close(): void {
    for (const { tail } of this.#followed.values()) tail.close();
    this.#followed.clear();
  }

  #read(): OpenUsage | undefined {
    const read = readOpen(this.directory);
    if (read.ok) return read.value;
    const aside = this.#options.readOnly ? 'it is left as it is' : `it is now ${setAside(this.directory)}`;
    this.#options.warn(`${read.error}; ${aside}, and usage is made anew from the audit records that are kept`);
    return undefined;
  }

  /** Hours that have a file stay as they are; the rest is counted from the records that there are. */
  #fromFiles(): OpenUsage {
    const totals = new Map<string, Numbers>();
    for (const key of this.files) {
      const bucket = readBucket(this.directory, key);
      if (!bucket.ok) this.#options.warn(bucket.error);
      else if (bucket.value !== undefined) addTotals(totals, bucket.value);
    }
    return { cursors: new Map(), buckets: [], totals, sinceMicros: this.#options.now(), gaps: [] };
  }

  #discover(): void {
    this.#discoveredAt = performance.now();
    const newest = new Map<string, number>();
    for (const { writer, sequence } of listAllSegments(this.#options.auditDirectory)) newest.set(writer, sequence);
    for (const [writer, sequence] of newest) {
      const cursor = this.#followed.get(writer)?.tail.cursor ?? this.#cursors.get(writer);
      const beganAnew = cursor !== undefined && sequence < cursor.sequence;
      if (beganAnew) {
        this.#followed.get(writer)?.tail.close();
        this.#followed.delete(writer);
        this.#cursors.delete(writer);
        this.#addGap({
          writer,
          afterSegment: cursor.sequence,
          afterRecord: cursor.record,
          nextSegment: 1,
          atMicros: this.#options.now(),
        });
      }
      if (!this.#followed.has(writer)) this.#follow(writer);
    }
  }

  #follow(writer: string): void {
    const tail = new WriterTail(
      this.#options.auditDirectory,
      writer,
      this.#cursors.get(writer),
      this.#buffer,
      (last, next) => this.#gap(writer, last, next),
    );
    this.#followed.set(writer, { tail, bucket: undefined, sequence: 0 });
  }

  #gap(writer: string, last: Cursor | undefined, next: SegmentHeader): void {
    this.#addGap({
      writer,
      afterSegment: last?.sequence ?? 0,
      afterRecord: last?.record ?? 0,
      nextSegment: next.sequence,
      atMicros: next.createdAtMicros,
    });
  }

  #addGap(gap: UsageGap): void {
    this.#changed = true;
    if (this.#gaps.length < MAX_GAPS) this.#gaps.push(gap);
    this.#options.warn(gapText(gap));
  }

  /** A record, once. */
  #take(followed: Followed, frame: TailFrame): boolean {
    this.#changed = true;
    if (frame.bytes[frame.start] === RECORD_CALL) this.#takeCall(followed, frame);
    else this.#takeOther(followed, frame);
    this.#left -= 1;
    return this.#left > 0;
  }

  #takeCall(followed: Followed, frame: TailFrame): void {
    const view = this.#view;
    if (view.read(frame.bytes, frame.start, frame.end) !== undefined) {
      this.#unreadable += 1;
      return;
    }
    const bucket = this.#bucketAt(view.startedAt + view.durationMicros);
    if (bucket === undefined) return;
    touch(followed, bucket, frame.sequence);
    const { numbers, total } = this.#pairOf(bucket, view);
    addCall(numbers, view);
    addCall(total, view);
  }

  /** Most calls have the names of one before: those are known by their bytes, without being made texts. */
  #pairOf(bucket: Bucket, view: CallView): Pair {
    // From the tenant's length to the model's last byte.
    const name = view.bytes.toString('latin1', (view.textStart[TEXT.tenant] ?? 1) - 1, view.textEnd[TEXT.model]);
    const known = bucket === this.#hourBucket ? this.#pairs.get(name) : undefined;
    if (known !== undefined) return known;
    const tenant = view.text(TEXT.tenant);
    const pair = {
      numbers: bucket.numbers(tenant, view.text(TEXT.caller), view.text(TEXT.model), this.#options.maxRows()),
      total: this.#totalOf(tenant),
    };
    if (bucket !== this.#hourBucket) return pair;
    if (this.#pairs.size >= MAX_KNOWN_PAIRS) this.#pairs.clear();
    this.#pairs.set(name, pair);
    return pair;
  }

  #totalOf(tenant: string): Numbers {
    let total = this.#totals.get(tenant);
    if (total === undefined) {
      total = noNumbers();
      this.#totals.set(tenant, total);
    }
    return total;
  }

  /** Of the other records, those that say that calls are on no record. */
  #takeOther(followed: Followed, frame: TailFrame): void {
    const decoded = decodeRecord(frame.bytes.subarray(frame.start, frame.end));
    if (!decoded.ok) {
      this.#unreadable += 1;
      return;
    }
    const record = decoded.value;
    if (record.type !== 'event') return;
    const lost = record.event === 'audit.records_lost' ? numberIn(/^(\d+) records were not written/, record.detail) : 0;
    const interrupted = record.event === 'worker_died' ? numberIn(/calls in progress: (\d+)$/, record.detail) : 0;
    if (lost === 0 && interrupted === 0) return;
    const bucket = this.#bucketAt(record.at);
    if (bucket === undefined) return;
    touch(followed, bucket, frame.sequence);
    bucket.lostRecords += lost;
    bucket.interruptedCalls += interrupted;
  }

  /** Undefined: what belongs there is counted already. */
  #bucketAt(micros: number): Bucket | undefined {
    const hour = hourOf(micros);
    if (hour === this.#hour && this.#hourBucket !== undefined) return this.#hourBucket;
    const key = hourKey(hour);
    const day = dayKey(key);
    const wanted = this.#open.has(day) || this.files.has(day) ? day : key;
    if (this.#counted.has(wanted)) return undefined;
    const bucket = this.#open.get(wanted) ?? this.#reopened(wanted) ?? new Bucket(wanted);
    this.#open.set(wanted, bucket);
    this.#forgetPairs();
    this.#hour = hour;
    this.#hourBucket = bucket;
    return bucket;
  }

  /** A record of an hour that is over comes late: a worker was behind, or the clock was set back. */
  #reopened(key: BucketKey): Bucket | undefined {
    if (!this.files.has(key)) return undefined;
    const read = readBucket(this.directory, key);
    if (read.ok) return read.value;
    const aside = this.#options.readOnly ? '' : `; it is now ${setAside(this.directory, `${key}.json`)}`;
    this.#options.warn(`${read.error}${aside}`);
    return undefined;
  }

  #forgetPairs(): void {
    this.#pairs.clear();
    this.#hourBucket = undefined;
    this.#hour = -1;
  }
}

/** Hours beside their day are what a crash left when the day was made of them. */
function filesIn(directory: string): readonly BucketKey[] {
  const all = listBuckets(directory);
  const days = new Set(all.filter(isDay));
  return all.filter((key) => isDay(key) || !days.has(dayKey(key)));
}

/** In words. */
export function gapText({ writer, afterSegment, afterRecord, nextSegment, atMicros }: UsageGap): string {
  const when = new Date(atMicros / 1_000).toISOString();
  if (afterSegment === 0) {
    return `audit records of ${writer} before segment ${nextSegment} (${when}) were removed before they were counted: what was used until then is not in the usage`;
  }
  return `audit records of ${writer} after record ${afterRecord} of segment ${afterSegment} and before segment ${nextSegment} (${when}) are not there, or not as they were: their calls are not in the usage`;
}

/** Keys of the hours that are over, so that nothing of them is to be expected. */
export function overAt(buckets: readonly Bucket[], nowMicros: number): readonly Bucket[] {
  const lastHour = hourKey(hourOf(nowMicros - SEAL_AFTER_MICROS));
  return buckets.filter(({ key }) => (isDay(key) ? key < dayKey(lastHour) : key < lastHour));
}

/** After so long an hour's sums are written for good. What comes later still is added, at the cost of writing them again. */
const SEAL_AFTER_MICROS = HOUR_MICROS / 30;

function touch(followed: Followed, bucket: Bucket, sequence: number): void {
  if (followed.bucket === bucket && followed.sequence === sequence) return;
  followed.bucket = bucket;
  followed.sequence = sequence;
  bucket.touch(followed.tail.writer, sequence);
}

function addTotals(totals: Map<string, Numbers>, bucket: Bucket): void {
  for (const tenant of bucket.tenants) {
    const total = totals.get(tenant) ?? noNumbers();
    totals.set(tenant, total);
    for (const { numbers } of bucket.rows(tenant)) addNumbers(total, numbers);
  }
}

function numberIn(pattern: RegExp, text: string): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}
