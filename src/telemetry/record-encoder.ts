/** What a signal makes of a record: spans, or a log. */
import { CallView } from '../audit/call-view.ts';
import { RECORD_CALL } from '../audit/codec.ts';
import type { Signal } from '../audit/cursor.ts';
import { decodeRecord } from '../audit/decode-record.ts';
import type { TailFrame } from '../audit/writer-tail.ts';
import { chainBlock, LogWriter } from './log-writer.ts';
import type { OtlpBytes } from './otlp-bytes.ts';
import { SpanWriter } from './span-writer.ts';

/** Appends a record's entries; returns how many, or what is wrong with the record. */
export type RecordEncoder = (frame: TailFrame, out: OtlpBytes) => number | string;

export function recordEncoder(signal: Signal): RecordEncoder {
  return signal === 'traces' ? spanEncoder() : logEncoder();
}

function spanEncoder(): RecordEncoder {
  const view = new CallView();
  const spans = new SpanWriter();
  return (frame, out) => {
    if (frame.bytes[frame.start] !== RECORD_CALL) return 0;
    return view.read(frame.bytes, frame.start, frame.end) ?? spans.write(out, view);
  };
}

function logEncoder(): RecordEncoder {
  const view = new CallView();
  const logs = new LogWriter();
  let segment: Buffer = Buffer.alloc(0);
  let writer = '';
  let sequence = 0;
  return (frame, out) => {
    if (frame.writer !== writer || frame.sequence !== sequence) {
      ({ writer, sequence } = frame);
      segment = chainBlock(writer, sequence);
    }
    const position = { segment, record: frame.number, bytes: frame.bytes, hashAt: frame.hashAt };
    if (frame.bytes[frame.start] === RECORD_CALL) {
      const problem = view.read(frame.bytes, frame.start, frame.end);
      if (problem !== undefined) return problem;
      logs.call(out, view, position);
      return 1;
    }
    const record = decodeRecord(frame.bytes.subarray(frame.start, frame.end));
    if (!record.ok) return record.error;
    if (record.value.type === 'refusal') logs.refusal(out, record.value, position);
    if (record.value.type === 'event') logs.event(out, record.value, position);
    return 1;
  };
}
