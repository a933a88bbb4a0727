/**
 * What seldom changes from call to call of a connection, as it was written last time: nine texts that are compared instead of encoded.
 *
 * Connections stand in a few slots by their ports. Who shares one with another costs both the comparison and no more: what is copied is
 * what the record says, letter by letter.
 */
import type { CallRecord } from './record.ts';

interface Slot {
  certificateSha256: string;
  tenant: string;
  caller: string;
  peerAddress: string;
  method: string;
  model: string;
  modelVersion: string;
  rule: string;
  upstream: string;
  bytes: Buffer;
  /** Zero: nothing is here yet. */
  length: number;
}

/** Writes the run of a record at `at` and returns where it ends. */
export type RunWriter = (record: CallRecord, target: Buffer, at: number) => number;

export class StableRuns {
  readonly #write: RunWriter;
  readonly #slots: Slot[] = [];

  constructor(write: RunWriter) {
    this.#write = write;
  }

  write(record: CallRecord, target: Buffer, at: number): number {
    const index = record.peerPort & (SLOTS - 1);
    while (this.#slots.length <= index) this.#slots.push(emptySlot());
    const slot = this.#slots[index];
    if (slot !== undefined && slot.length > 0 && isSame(slot, record)) {
      slot.bytes.copy(target, at, 0, slot.length);
      return at + slot.length;
    }
    const end = this.#write(record, target, at);
    if (slot !== undefined && end - at <= MAX_RUN_BYTES) keep(slot, record, target, at, end);
    return end;
  }
}

/** Power of two. */
const SLOTS = 64;
/** So that all slots together take 32 KiB. */
const MAX_RUN_BYTES = 512;
const NOTHING = Buffer.alloc(0);

function emptySlot(): Slot {
  return {
    certificateSha256: '',
    tenant: '',
    caller: '',
    peerAddress: '',
    method: '',
    model: '',
    modelVersion: '',
    rule: '',
    upstream: '',
    bytes: NOTHING,
    length: 0,
  };
}

function isSame(slot: Slot, record: CallRecord): boolean {
  return (
    slot.model === record.model &&
    slot.caller === record.caller &&
    slot.method === record.method &&
    slot.rule === record.rule &&
    slot.modelVersion === record.modelVersion &&
    slot.tenant === record.tenant &&
    slot.upstream === record.upstream &&
    slot.peerAddress === record.peerAddress &&
    slot.certificateSha256 === record.certificateSha256
  );
}

function keep(slot: Slot, record: CallRecord, from: Buffer, start: number, end: number): void {
  if (slot.bytes.length === 0) slot.bytes = Buffer.allocUnsafeSlow(MAX_RUN_BYTES);
  from.copy(slot.bytes, 0, start, end);
  slot.length = end - start;
  slot.certificateSha256 = record.certificateSha256;
  slot.tenant = record.tenant;
  slot.caller = record.caller;
  slot.peerAddress = record.peerAddress;
  slot.method = record.method;
  slot.model = record.model;
  slot.modelVersion = record.modelVersion;
  slot.rule = record.rule;
  slot.upstream = record.upstream;
}
