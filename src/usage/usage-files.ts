/**
 * Usage on disk, below the audit log's directory:
 *
 *     usage/open.json              hours that are not over, how far each writer's records are in them, sums of all time: one atomic write
 *     usage/2026-11-24T13.json     an hour that is over, written once
 *     usage/2026-10-01.json        a day, made of its hours when they are too many
 *
 * Each file's first line has a checksum over the rest. A file is written beside its name, brought to the disk, and renamed, so a crash
 * leaves the old one or the new one. An hour that `open.json` has counts as it is there: that file alone says what belongs to its cursors.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cursor } from '../audit/cursor.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { Bucket, type BucketKey } from './bucket.ts';
import { isBucketKey } from './bucket-time.ts';
import { type Numbers, noNumbers, UNITS } from './units.ts';

const MAGIC = 'bulkhead-usage';
const FORMAT = 1;
const HEAD = new RegExp(`^${MAGIC} (\\d+) sha256=([0-9a-f]{64})$`);
const OPEN = 'open.json';

/** Records that were removed before they were in the usage. */
export interface UsageGap {
  readonly writer: string;
  /** The last that is in it; 0: none of an earlier segment. */
  readonly afterSegment: number;
  readonly afterRecord: number;
  /** The next that is in it begins this segment, made at this time (µs since the epoch). */
  readonly nextSegment: number;
  readonly atMicros: number;
}

export interface OpenUsage {
  readonly cursors: ReadonlyMap<string, Cursor>;
  readonly buckets: readonly Bucket[];
  /** Of all time, by tenant. */
  readonly totals: ReadonlyMap<string, Numbers>;
  /** Since when they are counted, µs since the epoch. */
  readonly sinceMicros: number;
  readonly gaps: readonly UsageGap[];
}

/** What the keeper does to the disk, so that a test can have it fail or end at any step. */
export interface UsageFiles {
  writeOpen(directory: string, usage: OpenUsage): Promise<void>;
  writeBucket(directory: string, bucket: Bucket): Promise<void>;
  removeBucket(directory: string, key: BucketKey): Promise<void>;
}

export function usageDirectory(auditDirectory: string): string {
  return join(auditDirectory, 'usage');
}

/** Keys of the hours and days that have a file, in order. */
export function listBuckets(directory: string): readonly BucketKey[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json') && isBucketKey(name.slice(0, -5)))
    .map((name) => name.slice(0, -5))
    .sort();
}

/** Reads `open.json`: undefined when there is none; an error says what is wrong with it. */
export function readOpen(directory: string): Result<OpenUsage | undefined, string> {
  const path = join(directory, OPEN);
  const body = readBody(path);
  if (!body.ok || body.value === undefined) return body.ok ? ok(undefined) : body;
  const { cursors, buckets, totals, since, gaps, units } = body.value;
  // The checksum is right: it is what we wrote.
  const columns = units as readonly string[];
  return ok({
    cursors: new Map(Object.entries(cursors as Readonly<Record<string, Cursor>>)),
    buckets: (buckets as readonly StoredBucket[]).map((stored) => bucketOf(stored, columns)),
    totals: new Map((totals as readonly StoredTotal[]).map(([tenant, ...of]) => [tenant, numbersOf(of, columns)])),
    sinceMicros: since as number,
    gaps: gaps as readonly UsageGap[],
  });
}

/** Reads the file of an hour or a day; undefined when there is none. */
export function readBucket(directory: string, key: BucketKey): Result<Bucket | undefined, string> {
  const path = bucketPath(directory, key);
  const body = readBody(path);
  if (!body.ok || body.value === undefined) return body.ok ? ok(undefined) : body;
  const stored = body.value as unknown as StoredBucket & { readonly units: readonly string[] };
  return stored.bucket === key
    ? ok(bucketOf(stored, stored.units))
    : err(`${path}: it is the file of ${stored.bucket}`);
}

/** Puts `open.json` in the place of the one before. Rejects with what the file system says. */
function writeOpen(directory: string, usage: OpenUsage): Promise<void> {
  const body = {
    units: UNITS,
    since: usage.sinceMicros,
    cursors: Object.fromEntries(usage.cursors),
    gaps: usage.gaps,
    totals: [...usage.totals].map(([tenant, numbers]) => [tenant, ...numbers]),
    buckets: usage.buckets.map(storedOf),
  };
  return writeWhole(directory, OPEN, body);
}

/** Writes the file of an hour or a day. */
function writeBucket(directory: string, bucket: Bucket): Promise<void> {
  return writeWhole(directory, `${bucket.key}.json`, { units: UNITS, ...storedOf(bucket) });
}

function removeBucket(directory: string, key: BucketKey): Promise<void> {
  return unlink(bucketPath(directory, key));
}

/** The real ones. */
export const diskUsageFiles: UsageFiles = { writeOpen, writeBucket, removeBucket };

/** Moves a file that cannot be read to the first free name beside it, and returns that name. */
export function setAside(directory: string, name: string = OPEN): string {
  for (let attempt = 0; ; attempt++) {
    const aside = join(directory, `${name}.damaged${attempt === 0 ? '' : `-${attempt}`}`);
    if (existsSync(aside)) continue;
    renameSync(join(directory, name), aside);
    return aside;
  }
}

export function bucketPath(directory: string, key: BucketKey): string {
  return join(directory, `${key}.json`);
}

type StoredRow = readonly [caller: string | null, model: string | null, ...numbers: number[]];
type StoredTotal = readonly [tenant: string, ...numbers: number[]];

interface StoredBucket {
  readonly bucket: BucketKey;
  readonly lostRecords: number;
  readonly interruptedCalls: number;
  readonly sources: readonly (readonly [writer: string, first: number, last: number])[];
  readonly tenants: readonly (readonly [tenant: string, rows: readonly StoredRow[]])[];
}

function storedOf(bucket: Bucket): StoredBucket {
  return {
    bucket: bucket.key,
    lostRecords: bucket.lostRecords,
    interruptedCalls: bucket.interruptedCalls,
    sources: [...bucket.sources].map(([writer, [first, last]]) => [writer, first, last]),
    tenants: [...bucket.tenants].map((tenant) => [
      tenant,
      [...bucket.rows(tenant)].map(({ caller, model, numbers }) => [caller, model, ...numbers]),
    ]),
  };
}

function bucketOf(stored: StoredBucket, columns: readonly string[]): Bucket {
  const bucket = new Bucket(stored.bucket);
  for (const [tenant, rows] of stored.tenants) {
    for (const [caller, model, ...numbers] of rows)
      bucket.restore(tenant, { caller, model, numbers: numbersOf(numbers, columns) });
  }
  for (const [writer, first, last] of stored.sources) {
    bucket.touch(writer, first);
    bucket.touch(writer, last);
  }
  bucket.lostRecords = stored.lostRecords;
  bucket.interruptedCalls = stored.interruptedCalls;
  return bucket;
}

/** By name: the list of units may have grown since. */
function numbersOf(stored: readonly number[], columns: readonly string[]): Numbers {
  const numbers = noNumbers();
  for (const [index, unit] of UNITS.entries()) numbers[index] = stored[columns.indexOf(unit)] ?? 0;
  return numbers;
}

function readBody(path: string): Result<Readonly<Record<string, unknown>> | undefined, string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return ok(undefined);
    throw cause;
  }
  const end = text.indexOf('\n');
  const [, format, digest] = HEAD.exec(text.slice(0, end)) ?? [];
  if (format === undefined) return err(`${path}: it is no file of usage`);
  if (Number(format) !== FORMAT) return err(`${path}: format ${format} is of a newer version`);
  const body = text.slice(end + 1);
  if (sha256(body) !== digest)
    return err(`${path}: its checksum is wrong: it was altered, or the disk lost a part of it`);
  const parsed: unknown = JSON.parse(body);
  return ok(parsed as Readonly<Record<string, unknown>>);
}

/** Under its name only when all of it is on the disk; the name as well. */
async function writeWhole(directory: string, name: string, body: object): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const text = `${JSON.stringify(body)}\n`;
  const path = join(directory, name);
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(`${MAGIC} ${FORMAT} sha256=${sha256(text)}\n${text}`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const folder = await open(directory, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
