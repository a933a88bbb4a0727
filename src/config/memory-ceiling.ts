/**
 * How much memory the tenants together may make the process hold (`limits.maxHeld`): as written, or a part of what there is.
 */
import { totalmem } from 'node:os';
import type { Finding } from './finding.ts';
import type { BuiltTenant } from './tenant.ts';

/** What a container may use is the sidecar's alone: half of it for the tenants, half for the runtime, connections and garbage. */
const PART_OF_CONTAINER = 1 / 2;
/** The machine has others on it, first of all the model server. */
const PART_OF_MACHINE = 1 / 4;
/** As the least that may be written. */
const LEAST_BYTES = 64 * 1024 ** 2;

/** What a call is beside its bytes lies in the workers' heaps: calls that hold nothing else must reach the ceiling before a heap's limit. */
const PART_OF_HEAPS = 1 / 2;

/** The memory that this process may use. */
export interface Memory {
  /** That of its control group; one without a limit says 0, or more than the machine has. */
  readonly containerBytes: number;
  readonly machineBytes: number;
  /** All workers' heaps. */
  readonly heapBytes: number;
}

/** `heapBytes`: all workers' heaps. */
export function memoryOfProcess(heapBytes: number): Memory {
  return { containerBytes: process.constrainedMemory(), machineBytes: totalmem(), heapBytes };
}

/** In bytes. */
export function ceilingBytes(written: number | 'auto', memory: Memory): number {
  if (written !== 'auto') return written;
  const { containerBytes, machineBytes, heapBytes } = memory;
  const contained = containerBytes > 0 && containerBytes < machineBytes;
  const part = contained ? containerBytes * PART_OF_CONTAINER : machineBytes * PART_OF_MACHINE;
  return Math.max(LEAST_BYTES, Math.floor(Math.min(part, heapBytes * PART_OF_HEAPS)));
}

/** A byte account above a ceiling that the operator wrote can never be full: one of the two numbers is a mistake. */
export function judgeAccounts(ceiling: number | undefined, tenants: readonly BuiltTenant[]): readonly Finding[] {
  if (ceiling === undefined) return [];
  return tenants
    .filter(({ draft }) => draft !== undefined && draft.byteAccountBytes > ceiling)
    .map(({ document }) => document.finding({ path: ['byteAccount'] }, ABOVE_CEILING, ABOVE_CEILING_FIX));
}

export const ABOVE_CEILING = 'is more than limits.maxHeld of the main file, which holds for all tenants together';
export const ABOVE_CEILING_FIX = 'make it less, or raise limits.maxHeld';
