/**
 * Checks a directory of segments: every hash, every link between records and between segments, and that nothing is missing
 * that the cursors say was there. What files alone cannot show is the removal of the newest records that no collector has
 * seen yet: compare the head hash with the one in the collector's last log.
 */
import { basename } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { CallView } from './call-view.ts';
import { RECORD_CALL } from './codec.ts';
import { type Cursor, readCursor } from './cursor.ts';
import { decodeRecord } from './decode-record.ts';
import { segmentFileName, ZERO_HASH } from './segment.ts';
import { listSegments, listWriters, type SegmentFile } from './segment-list.ts';
import { type Frame, type ScanEnd, scanSegment } from './segment-scan.ts';

export interface VerifyReport {
  /** No record is bad, and none is missing. */
  readonly ok: boolean;
  readonly directory: string;
  readonly writers: readonly WriterReport[];
}

export interface WriterReport {
  readonly writer: string;
  readonly segments: number;
  /** Sequence of the oldest segment that is there; above 1 when delivered ones were removed. */
  readonly firstSequence: number;
  readonly records: number;
  /** Of the first and last record, µs since the epoch; undefined when there is none. */
  readonly firstAtMicros: number | undefined;
  readonly lastAtMicros: number | undefined;
  /** Last hash of the chain: whoever notes it down can tell later whether anything before it was touched. */
  readonly headHash: string;
  /** Bytes of a last record that is not all there: it is being written now, or a crash cut it. It was never acknowledged. */
  readonly unfinishedBytes: number;
  readonly bad: BadRecord | undefined;
}

export interface BadRecord {
  readonly file: string;
  readonly offset: number;
  /** Number in the segment, from 1; 0: the segment's header, or the segment itself. */
  readonly record: number;
  readonly why: string;
}

/** Verifies all writers of a directory. Throws when the directory or a file cannot be read. */
export async function verifyDirectory(directory: string): Promise<VerifyReport> {
  const writers: WriterReport[] = [];
  for (const writer of listWriters(directory)) writers.push(await verifyWriter(directory, writer));
  return { ok: writers.every((writer) => writer.bad === undefined), directory, writers };
}

async function verifyWriter(directory: string, writer: string): Promise<WriterReport> {
  const segments = listSegments(directory, writer);
  const tally = new Tally(readCursor(directory, writer, 'logs'));
  for (const [index, segment] of segments.entries()) {
    tally.segment(segment, segments[index + 1] === undefined, writer);
    if (tally.bad !== undefined) break;
    await setImmediate();
  }
  tally.finish(segments);
  return {
    writer,
    segments: segments.length,
    firstSequence: segments[0]?.sequence ?? 0,
    records: tally.records,
    firstAtMicros: tally.firstAtMicros,
    lastAtMicros: tally.lastAtMicros,
    headHash: tally.headHash,
    unfinishedBytes: tally.unfinishedBytes,
    bad: tally.bad,
  };
}

/** What is known of one writer's chain so far. */
class Tally {
  records = 0;
  firstAtMicros: number | undefined;
  lastAtMicros: number | undefined;
  headHash = '';
  unfinishedBytes = 0;
  bad: BadRecord | undefined;
  readonly #cursor: Cursor | undefined;
  readonly #view = new CallView();
  #previous: SegmentFile | undefined;
  #previousEnd: ScanEnd | undefined;

  constructor(cursor: Cursor | undefined) {
    this.#cursor = cursor;
  }

  segment(segment: SegmentFile, isLast: boolean, writer: string): void {
    const file = basename(segment.path);
    const previous = this.#previous;
    if (previous !== undefined && segment.sequence !== previous.sequence + 1) {
      this.bad = {
        file: missingFiles(writer, previous.sequence + 1, segment.sequence - 1),
        offset: 0,
        record: 0,
        why: 'the segment was removed',
      };
      return;
    }
    const scan = scanSegment(segment.path);
    let step = scan.next();
    for (; step.done !== true; step = scan.next()) {
      const problem = this.#frame(step.value, segment);
      if (problem === undefined) continue;
      this.bad = { file, offset: step.value.offset, record: step.value.number, why: problem };
      scan.return(EMPTY_SCAN);
      return;
    }
    this.bad =
      this.#links(step.value, segment, writer) ??
      restProblem(step.value, file, isLast) ??
      this.#cutBehindCursor(step.value, segment, file);
    if (this.bad !== undefined) return;
    if (step.value.rest.kind === 'torn') this.unfinishedBytes = step.value.rest.bytes;
    this.headHash = step.value.lastHash === '' ? this.headHash : step.value.lastHash;
    this.#previous = segment;
    this.#previousEnd = step.value;
  }

  /** The cursor must not know of more than there is. */
  finish(segments: readonly SegmentFile[]): void {
    const last = segments.at(-1);
    if (this.bad !== undefined || this.#cursor === undefined || last === undefined) return;
    if (this.#cursor.sequence <= last.sequence) return;
    this.bad = {
      file: segmentFileName({ writer: last.writer, sequence: this.#cursor.sequence }),
      offset: 0,
      record: 0,
      why: 'the segment was removed: the collector had records of it',
    };
  }

  #frame(frame: Frame, segment: SegmentFile): string | undefined {
    const at = this.#timeOf(frame.payload);
    if (typeof at === 'string') return at;
    this.records++;
    this.firstAtMicros ??= at;
    this.lastAtMicros = at;
    const cursor = this.#cursor;
    const delivered = cursor?.sequence === segment.sequence && cursor.record === frame.number;
    return delivered && cursor.hash !== frame.hash
      ? 'it is not the record that was delivered to the collector'
      : undefined;
  }

  /** The collector has records of this segment that are no longer in it. */
  #cutBehindCursor(end: ScanEnd, segment: SegmentFile, file: string): BadRecord | undefined {
    const cursor = this.#cursor;
    if (cursor?.sequence !== segment.sequence || cursor.record <= end.records) return undefined;
    return {
      file,
      offset: end.intactBytes,
      record: end.records + 1,
      why: `it was removed: the collector has this segment up to record ${cursor.record}`,
    };
  }

  /** Calls are not decoded as a whole: their view checks as much, ten times as fast. */
  #timeOf(payload: Buffer): number | string {
    if (payload[0] === RECORD_CALL) {
      return this.#view.read(payload, 0, payload.length) ?? this.#view.startedAt;
    }
    const record = decodeRecord(payload);
    if (!record.ok) return record.error;
    return record.value.type === 'call' ? record.value.startedAt : record.value.at;
  }

  #links(end: ScanEnd, segment: SegmentFile, writer: string): BadRecord | undefined {
    const file = basename(segment.path);
    const bad = (why: string): BadRecord => ({ file, offset: 0, record: 0, why });
    if (!end.header.ok) return end.header.error === 'header cut short' ? undefined : bad(end.header.error);
    const header = end.header.value;
    if (header.writer !== writer || header.sequence !== segment.sequence) {
      return bad(`it is ${segmentFileName(header)} under another name`);
    }
    const previousEnd = this.#previousEnd;
    if (previousEnd === undefined) {
      return segment.sequence === 1 && header.previousHash !== ZERO_HASH
        ? bad('a first segment that has a predecessor')
        : undefined;
    }
    if (header.previousHash !== previousEnd.lastHash) {
      const before = this.#previous;
      return {
        file: before === undefined ? file : basename(before.path),
        offset: previousEnd.intactBytes,
        record: previousEnd.records + 1,
        why: 'records at the end of the segment were removed: the next segment follows on another hash',
      };
    }
    return undefined;
  }
}

const EMPTY_SCAN: ScanEnd = {
  header: { ok: false, error: 'not read' },
  records: 0,
  intactBytes: 0,
  lastHash: '',
  rest: { kind: 'none' },
};

/** What follows a segment's intact records may be nothing, or in a writer's newest segment a record that is not finished. */
function restProblem(end: ScanEnd, file: string, isLast: boolean): BadRecord | undefined {
  const at = { file, offset: end.intactBytes, record: end.records + 1 };
  switch (end.rest.kind) {
    case 'none':
      return undefined;
    case 'torn':
      return isLast ? undefined : { ...at, why: `only ${end.rest.bytes} bytes of it are there` };
    case 'bad':
      return { ...at, record: end.rest.record, why: end.rest.why };
  }
}

function missingFiles(writer: string, from: number, to: number): string {
  const first = segmentFileName({ writer, sequence: from });
  return from === to ? first : `${first} to ${segmentFileName({ writer, sequence: to })}`;
}
