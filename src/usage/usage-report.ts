/**
 * A question about usage and its answer: who used what, from when until when, by the hour, day or month, per tenant, caller or model.
 *
 * What is kept is kept by the hour in UTC, and by the day when it is long ago: so an answer is of whole hours, those that touch the time
 * that was asked for, and days in another time zone are made of the hours that begin in them.
 */
import { setImmediate } from 'node:timers/promises';
import type { Bucket, BucketKey, UsageRow } from './bucket.ts';
import { endMs, isDay, startMs } from './bucket-time.ts';
import { gapText, type RollUp } from './roll-up.ts';
import { addNumbers, type Numbers, noNumbers, numbersObject, type Unit } from './units.ts';
import { readBucket } from './usage-files.ts';

export const SPANS = ['hour', 'day', 'month', 'total'] as const;
export type Span = (typeof SPANS)[number];
export const DIMENSIONS = ['tenant', 'caller', 'model', 'caller+model'] as const;
export type Dimension = (typeof DIMENSIONS)[number];

export interface UsageQuestion {
  /** Undefined: all. */
  readonly tenant: string | undefined;
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly by: Span;
  readonly per: Dimension;
  /** IANA name; UTC unless asked otherwise. */
  readonly zone: string;
}

export interface UsageLine {
  /** `2026-11-24T13:00Z`, `2026-11-24`, `2026-11`; in the zone that was asked for. Empty by `total`. */
  readonly time: string;
  readonly tenant: string;
  /** Empty: nobody was authenticated. Null: other callers, together. Absent when it was not asked for. */
  readonly caller?: string | null;
  /** Empty: the call named none. Null: other models, together. */
  readonly model?: string | null;
  readonly used: Readonly<Record<Unit, number>>;
}

export interface UsageReport {
  /** Of the hours that are in it, RFC 3339; null when there are none. */
  readonly from: string | null;
  readonly until: string | null;
  readonly by: Span;
  readonly per: Dimension;
  readonly zone: string;
  readonly lines: readonly UsageLine[];
  readonly total: Readonly<Record<Unit, number>>;
  /** Calls in progress in workers that died: they are on no record, and in no sum. Of all tenants. */
  readonly interruptedCalls: number;
  /** Records that the audit log had to drop (`audit.whenFull: drop`): in no sum. Of all tenants. */
  readonly lostRecords: number;
  /** What the reader should know: what is missing, and why. */
  readonly notes: readonly string[];
  /** Whether something is known to be missing. */
  readonly complete: boolean;
}

/** The keys of all that is kept, in order. */
export function bucketKeys(rollUp: RollUp): readonly BucketKey[] {
  return [...new Set([...rollUp.files, ...rollUp.state.buckets.map(({ key }) => key)])].sort();
}

/** A bucket, or why it cannot be had. */
export function bucketOf(rollUp: RollUp, key: BucketKey): Bucket | string {
  const open = rollUp.openBucket(key);
  if (open !== undefined) return open;
  const read = readBucket(rollUp.directory, key);
  if (!read.ok) return read.error;
  return read.value ?? `the file of ${key} has gone while it was looked for: ask again`;
}

/**
 * Answers a question from what has been rolled up. With more than `maxLines` lines it ends where it is, and is of no use: tenants make
 * lines by naming callers and models, and must not fill the memory of who asks.
 */
export async function usageReport(
  rollUp: RollUp,
  question: UsageQuestion,
  maxLines = Number.POSITIVE_INFINITY,
): Promise<UsageReport> {
  const asked = bucketKeys(rollUp).filter((key) => startMs(key) < question.untilMs && endMs(key) > question.sinceMs);
  const sheet = new Sheet(question);
  const notes: string[] = [];
  for (const key of asked) {
    if (sheet.lines > maxLines) break;
    const bucket = bucketOf(rollUp, key);
    if (typeof bucket === 'string') notes.push(`${bucket}; it is in no sum`);
    else sheet.add(bucket);
    await setImmediate();
  }
  const missing = rollUp.state.gaps.filter(({ atMicros }) => {
    const at = atMicros / 1_000;
    return at >= question.sinceMs && at < question.untilMs + HOUR_MS;
  });
  notes.push(...missing.map(gapText));
  if (rollUp.unreadable > 0)
    notes.push(`${rollUp.unreadable} audit records could not be read: ask bulkhead audit verify`);
  const [first, last] = [asked.at(0), asked.at(-1)];
  return {
    from: first === undefined ? null : timeText(startMs(first)),
    until: last === undefined ? null : timeText(endMs(last)),
    by: question.by,
    per: question.per,
    zone: question.zone,
    ...sheet.answer(),
    complete: notes.length === 0,
    notes: [...notes, ...remarks(asked, question)],
  };
}

const HOUR_MS = 3_600_000;

/** What is as it should be, and may surprise. */
function remarks(keys: readonly BucketKey[], { by, zone }: UsageQuestion): readonly string[] {
  const days = keys.filter(isDay);
  if (days.length === 0) return [];
  const until = days.at(-1) ?? '';
  if (by === 'hour') return [`until ${until} usage is kept by the day only`];
  return zone === 'UTC' ? [] : [`until ${until} usage is kept by the day in UTC, and not in ${zone}`];
}

class Sheet {
  readonly #question: UsageQuestion;
  readonly #lines = new Map<string, { readonly line: Omit<UsageLine, 'used'>; readonly numbers: Numbers }>();
  readonly #total = noNumbers();
  #interruptedCalls = 0;
  #lostRecords = 0;

  constructor(question: UsageQuestion) {
    this.#question = question;
  }

  get lines(): number {
    return this.#lines.size;
  }

  add(bucket: Bucket): void {
    const time = timeOf(bucket.key, this.#question);
    this.#interruptedCalls += bucket.interruptedCalls;
    this.#lostRecords += bucket.lostRecords;
    for (const tenant of bucket.tenants) {
      if (this.#question.tenant !== undefined && tenant !== this.#question.tenant) continue;
      for (const row of bucket.rows(tenant)) this.#addRow(time, tenant, row);
    }
  }

  answer(): Pick<UsageReport, 'lines' | 'total' | 'interruptedCalls' | 'lostRecords'> {
    const lines = [...this.#lines.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      lines: lines.map(([, { line, numbers }]) => ({ ...line, used: numbersObject(numbers) })),
      total: numbersObject(this.#total),
      interruptedCalls: this.#interruptedCalls,
      lostRecords: this.#lostRecords,
    };
  }

  #addRow(time: string, tenant: string, { caller, model, numbers }: UsageRow): void {
    const { per } = this.#question;
    const line = {
      time,
      tenant,
      ...(per === 'caller' || per === 'caller+model' ? { caller } : {}),
      ...(per === 'model' || per === 'caller+model' ? { model } : {}),
    };
    const key = JSON.stringify(line);
    let entry = this.#lines.get(key);
    if (entry === undefined) {
      entry = { line, numbers: noNumbers() };
      this.#lines.set(key, entry);
    }
    addNumbers(entry.numbers, numbers);
    addNumbers(this.#total, numbers);
  }
}

function timeOf(key: BucketKey, { by, zone }: UsageQuestion): string {
  if (by === 'total') return '';
  // A day that is kept as one is the day that it is, in UTC.
  if (isDay(key)) return by === 'month' ? key.slice(0, 7) : key;
  const local = Temporal.Instant.fromEpochMilliseconds(startMs(key)).toZonedDateTimeISO(zone);
  const date = local.toPlainDate().toString();
  if (by === 'month') return date.slice(0, 7);
  if (by === 'day') return date;
  return `${date}T${local.toPlainTime().toString({ smallestUnit: 'minute' })}${zone === 'UTC' ? 'Z' : local.offset}`;
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/:00\.000Z$/, 'Z');
}
