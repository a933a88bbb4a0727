/**
 * Recomputes usage from the audit segments that are there, hash by hash, and compares: a different way to the same numbers, so that
 * sums which were altered, lost or counted twice are found. An hour can be recomputed when all segments that had records of it are kept.
 */
import { basename } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { CallView, TEXT } from '../audit/call-view.ts';
import { RECORD_CALL } from '../audit/codec.ts';
import { segmentFileName } from '../audit/segment.ts';
import { listAllSegments, type SegmentFile } from '../audit/segment-list.ts';
import { scanSegment } from '../audit/segment-scan.ts';
import type { Bucket, BucketKey } from './bucket.ts';
import { dayKey, hourKey, hourOf } from './bucket-time.ts';
import type { RollUp } from './roll-up.ts';
import { addCall, addNumbers, type Numbers, noNumbers, UNITS, type Unit } from './units.ts';
import { bucketKeys, bucketOf } from './usage-report.ts';

export interface UsageDifference {
  /** `2026-11-24T13`. */
  readonly hour: BucketKey;
  readonly tenant: string;
  /** Absent: of all callers and models together. */
  readonly caller?: string;
  readonly model?: string;
  readonly unit: Unit;
  readonly usage: number;
  readonly audit: number;
}

export interface UsageVerification {
  /** Nothing is different, and nothing is wrong with what was compared. */
  readonly ok: boolean;
  /** Hours (and days) that could be recomputed and were compared. */
  readonly compared: readonly BucketKey[];
  /** Calls on record in them. */
  readonly calls: number;
  /** Hours of which not all segments are there any more. */
  readonly notComparable: readonly BucketKey[];
  readonly differences: readonly UsageDifference[];
  /** Segments that are not intact, files of usage that are not, and hours that are missing. */
  readonly problems: readonly string[];
}

/** Differences that are told one by one. */
export const MAX_DIFFERENCES = 1_000;
const SLICE_RECORDS = 2_000;

/** Compares what `rollUp` has with the records that it has read. It must have advanced, and must not while this runs. */
export async function verifyUsage(rollUp: RollUp, auditDirectory: string): Promise<UsageVerification> {
  const recount = new Recount(rollUp);
  const segments = listAllSegments(auditDirectory);
  for (const segment of segments) await recount.segment(segment);
  const comparison = new Comparison(recount);
  comparison.problems.push(...holesIn(segments));
  const known = bucketKeys(rollUp);
  for (const key of known) {
    const bucket = bucketOf(rollUp, key);
    if (typeof bucket === 'string') comparison.problems.push(bucket);
    else comparison.compare(bucket);
    await setImmediate();
  }
  const oldest = known.at(0);
  for (const [key, tenants] of recount.buckets) {
    if (known.includes(key)) continue;
    // What is older than all that is kept was kept for its time.
    if (oldest !== undefined && key < oldest) comparison.notComparable.push(key);
    else comparison.missing(key, tenants);
  }
  return comparison.result();
}

/** Old segments go as they are delivered; one between others has been taken away. */
function holesIn(segments: readonly SegmentFile[]): readonly string[] {
  return segments.flatMap(({ writer, sequence }, index) => {
    const before = segments[index - 1];
    if (before?.writer !== writer || before.sequence + 1 === sequence) return [];
    const name = segmentFileName({ writer, sequence: before.sequence + 1 });
    return [`${name} was removed, and the segments before it were not`];
  });
}

/** Caller by caller and model by model, as many as there are. */
type Pairs = Map<string, { readonly caller: string; readonly model: string; readonly numbers: Numbers }>;

class Recount {
  readonly buckets = new Map<BucketKey, Map<string, Pairs>>();
  /** Intact and read: `worker-0/3`. */
  readonly kept = new Set<string>();
  readonly problems: string[] = [];
  readonly #rollUp: RollUp;
  readonly #view = new CallView();
  readonly #days: ReadonlySet<BucketKey>;

  constructor(rollUp: RollUp) {
    this.#rollUp = rollUp;
    this.#days = new Set(bucketKeys(rollUp));
  }

  async segment({ path, writer, sequence }: SegmentFile): Promise<void> {
    const cursor = this.#rollUp.state.cursors.get(writer);
    // What was written since is not in the usage, and need not be.
    if (cursor === undefined || sequence > cursor.sequence) return;
    const last = sequence === cursor.sequence ? cursor.record : Number.POSITIVE_INFINITY;
    let records = 0;
    let seen = 0;
    const scan = scanSegment(path);
    let step = scan.next();
    for (; step.done !== true; step = scan.next()) {
      if (++seen % SLICE_RECORDS === 0) await setImmediate();
      const { number, payload, hash } = step.value;
      if (number > last) continue;
      records = number;
      if (payload[0] === RECORD_CALL) this.#call(payload);
      if (number === last && hash !== cursor.hash)
        this.problems.push(`${basename(path)} record ${number}: it is not the record that was counted`);
    }
    const { rest } = step.value;
    if (rest.kind === 'bad' && rest.record <= last) {
      this.problems.push(`${basename(path)} record ${rest.record}: ${rest.why}`);
      return;
    }
    if (sequence === cursor.sequence && records < cursor.record) {
      this.problems.push(
        `${basename(path)}: records ${records + 1} to ${cursor.record} were counted, and are not there`,
      );
      return;
    }
    this.kept.add(`${writer}/${sequence}`);
  }

  #call(payload: Buffer): void {
    const view = this.#view;
    if (view.read(payload, 0, payload.length) !== undefined) return;
    const hour = hourKey(hourOf(view.startedAt + view.durationMicros));
    const key = this.#days.has(dayKey(hour)) ? dayKey(hour) : hour;
    const tenants = getOr(this.buckets, key, () => new Map<string, Pairs>());
    const pairs = getOr(tenants, view.text(TEXT.tenant), (): Pairs => new Map());
    const [caller, model] = [view.text(TEXT.caller), view.text(TEXT.model)];
    const pair = getOr(pairs, JSON.stringify([caller, model]), () => ({ caller, model, numbers: noNumbers() }));
    addCall(pair.numbers, view);
  }
}

class Comparison {
  readonly problems: string[];
  readonly notComparable: BucketKey[] = [];
  readonly #recount: Recount;
  readonly #compared: BucketKey[] = [];
  readonly #differences: UsageDifference[] = [];
  #moreDifferences = 0;
  #calls = 0;

  constructor(recount: Recount) {
    this.#recount = recount;
    this.problems = [...recount.problems];
  }

  compare(bucket: Bucket): void {
    const lost = this.#lostSegment(bucket);
    if (lost !== undefined) {
      this.notComparable.push(bucket.key);
      return;
    }
    this.#compared.push(bucket.key);
    const audited = this.#recount.buckets.get(bucket.key);
    for (const tenant of new Set([...bucket.tenants, ...(audited?.keys() ?? [])]))
      this.#tenant(bucket, tenant, audited?.get(tenant) ?? new Map());
  }

  /** On record, and in no hour of the usage. */
  missing(key: BucketKey, tenants: ReadonlyMap<string, Pairs>): void {
    this.#compared.push(key);
    for (const [tenant, pairs] of tenants) this.#differ({ hour: key, tenant }, noNumbers(), this.#sum(pairs));
  }

  result(): UsageVerification {
    const { problems, notComparable } = this;
    if (this.#moreDifferences > 0) problems.push(`there are ${this.#moreDifferences} more differences`);
    return {
      ok: this.#differences.length === 0 && problems.length === 0,
      compared: this.#compared.sort(),
      calls: this.#calls,
      notComparable: notComparable.sort(),
      differences: this.#differences,
      problems,
    };
  }

  #lostSegment(bucket: Bucket): string | undefined {
    for (const [writer, [first, last]] of bucket.sources) {
      for (let sequence = first; sequence <= last; sequence++)
        if (!this.#recount.kept.has(`${writer}/${sequence}`)) return segmentFileName({ writer, sequence });
    }
    return undefined;
  }

  /** A row with a name has all that was used under it; rows of others have the rest. */
  #tenant(bucket: Bucket, tenant: string, pairs: Pairs): void {
    const total = noNumbers();
    let named = true;
    for (const { caller, model, numbers } of bucket.rows(tenant)) {
      addNumbers(total, numbers);
      if (caller === null || model === null || bucket.key.length === DAY_LENGTH) {
        named = false;
        continue;
      }
      const audited = pairs.get(JSON.stringify([caller, model]))?.numbers ?? noNumbers();
      this.#differ({ hour: bucket.key, tenant, caller, model }, numbers, audited);
    }
    const sum = this.#sum(pairs);
    // With every row named, what is missing among them is in none of the rows compared above.
    if (!named || !isEqual(total, sum)) this.#differ({ hour: bucket.key, tenant }, total, sum);
  }

  #sum(pairs: Pairs): Numbers {
    const sum = noNumbers();
    for (const { numbers } of pairs.values()) addNumbers(sum, numbers);
    this.#calls += sum[0] ?? 0;
    return sum;
  }

  #differ(where: Omit<UsageDifference, 'unit' | 'usage' | 'audit'>, usage: Numbers, audit: Numbers): void {
    for (const [index, unit] of UNITS.entries()) {
      const [had, has] = [usage[index] ?? 0, audit[index] ?? 0];
      if (had === has) continue;
      if (this.#differences.length < MAX_DIFFERENCES)
        this.#differences.push({ ...where, unit, usage: had, audit: has });
      else this.#moreDifferences += 1;
    }
  }
}

const DAY_LENGTH = 10;

function isEqual(a: Numbers, b: Numbers): boolean {
  return a.every((number, index) => number === b[index]);
}

function getOr<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
