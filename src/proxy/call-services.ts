import type { AuditRecord, CallRecord } from '../audit/record.ts';
import type { LimitsConfig } from '../config/generation.ts';
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { Deadlines } from './deadlines.ts';

/** What a call needs of its worker. */
export interface CallServices {
  readonly now: () => EpochMicros;
  readonly deadlines: Deadlines;
  readonly limits: LimitsConfig;
  readonly generation: number;
  readonly sampleRatio: number;
  append(record: AuditRecord): void;
  count(record: CallRecord): void;
  /** A chunk of a message has arrived, from either side. */
  arrived(bytes: number): void;
  /** Why no call may begin now, if so. */
  refusing(): Denial | undefined;
}
