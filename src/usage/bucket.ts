/**
 * What was used in one hour (or, when it is long ago, one day), in UTC: for each tenant one row of numbers per caller and model.
 *
 * A tenant has so many rows and no more. What comes when they are all there is added to rows for other callers, by model, and at last to
 * one for other callers and models: sums are never dropped. Once a tenant has such a row no new name is taken in, so that a row with a
 * name has all that was used under it.
 */
import { addNumbers, type Numbers, noNumbers } from './units.ts';

/** Rows for other callers that are still told apart by model. */
export const MAX_OTHER_MODELS = 50;
/** Rows of all tenants of an hour that are aimed at: with many tenants each has the fewer. */
export const MAX_ROWS_OF_ALL = 100_000;
/** But so many each has in any case. */
export const MIN_ROWS_OF_TENANT = 20;

export interface UsageRow {
  /** As on record, empty when nobody was authenticated; null: other callers, together. */
  readonly caller: string | null;
  /** Empty when the call named none; null: other models, together. */
  readonly model: string | null;
  readonly numbers: Numbers;
}

/** First and last segment of a writer's that had calls of the bucket. */
export type SegmentSpan = readonly [first: number, last: number];

/** `2026-11-24T13`, or `2026-11-24`. */
export type BucketKey = string;

export class Bucket {
  readonly key: BucketKey;
  readonly #tenants = new Map<string, TenantRows>();
  readonly #sources = new Map<string, [first: number, last: number]>();
  /** Records that the audit log had to drop, as the operator chose. */
  lostRecords = 0;
  /** Calls that were in progress in a worker that died: nobody was left to record them. */
  interruptedCalls = 0;

  constructor(key: BucketKey) {
    this.key = key;
  }

  get tenants(): Iterable<string> {
    return this.#tenants.keys();
  }

  get sources(): ReadonlyMap<string, SegmentSpan> {
    return this.#sources;
  }

  rows(tenant: string): Iterable<UsageRow> {
    return this.#tenants.get(tenant)?.rows() ?? [];
  }

  /** The numbers to which a caller's calls for a model are added. */
  numbers(tenant: string, caller: string | null, model: string | null, maxRows: number): Numbers {
    let rows = this.#tenants.get(tenant);
    if (rows === undefined) {
      rows = new TenantRows();
      this.#tenants.set(tenant, rows);
    }
    const fair = Math.max(MIN_ROWS_OF_TENANT, Math.floor(MAX_ROWS_OF_ALL / this.#tenants.size));
    return rows.numbers(caller, model, Math.min(maxRows, fair));
  }

  /** Takes in a row as it was written, however many there are. */
  restore(tenant: string, row: UsageRow): void {
    let rows = this.#tenants.get(tenant);
    if (rows === undefined) {
      rows = new TenantRows();
      this.#tenants.set(tenant, rows);
    }
    rows.restore(row);
  }

  /** A record of the bucket stands in this segment. */
  touch(writer: string, sequence: number): void {
    const span = this.#sources.get(writer);
    if (span === undefined) this.#sources.set(writer, [sequence, sequence]);
    else if (sequence < span[0]) span[0] = sequence;
    else if (sequence > span[1]) span[1] = sequence;
  }

  /** Adds all of another's. */
  merge(other: Bucket, maxRows: number): void {
    for (const tenant of other.tenants) {
      for (const { caller, model, numbers } of other.rows(tenant))
        addNumbers(this.numbers(tenant, caller, model, maxRows), numbers);
    }
    for (const [writer, [first, last]] of other.sources) {
      this.touch(writer, first);
      this.touch(writer, last);
    }
    this.lostRecords += other.lostRecords;
    this.interruptedCalls += other.interruptedCalls;
  }
}

class TenantRows {
  readonly #rows = new Map<string, UsageRow>();
  #others = 0;

  rows(): Iterable<UsageRow> {
    return this.#rows.values();
  }

  numbers(caller: string | null, model: string | null, maxRows: number): Numbers {
    const known = this.#rows.get(keyOf(caller, model));
    if (known !== undefined) return known.numbers;
    if (caller !== null && model !== null) {
      if (this.#others === 0 && this.#rows.size < maxRows) return this.#add(caller, model);
      return this.numbers(null, model, maxRows);
    }
    if (model !== null && this.#others >= MAX_OTHER_MODELS) return this.numbers(null, null, maxRows);
    this.#others += 1;
    return this.#add(caller, model);
  }

  restore(row: UsageRow): void {
    if (row.caller === null || row.model === null) this.#others += 1;
    this.#rows.set(keyOf(row.caller, row.model), row);
  }

  #add(caller: string | null, model: string | null): Numbers {
    const numbers = noNumbers();
    this.#rows.set(keyOf(caller, model), { caller, model, numbers });
    return numbers;
  }
}

/** No two pairs have the same. */
function keyOf(caller: string | null, model: string | null): string {
  const first = caller === null ? '*' : `${caller.length}:${caller}`;
  return model === null ? `${first}*` : `${first}/${model}`;
}
