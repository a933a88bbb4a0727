/**
 * What usage is counted in. One list: a number that is added here, and read from the record in `addCall`, is rolled up, kept, reported,
 * exported and recomputed by `--verify`.
 */
import type { CallView } from '../audit/call-view.ts';
import { FLAG_CONSUMED } from '../audit/codec.ts';

export const UNITS = [
  'calls',
  'ok',
  'failed',
  'cancelled',
  'denied',
  /** Of those denied: UNAUTHENTICATED, … */
  'deniedCredentials',
  'deniedPermission',
  'deniedLimit',
  'deniedUnavailable',
  'deniedOther',
  'requestBytes',
  'responseBytes',
  'requestMessages',
  'responseMessages',
  /** From a call's first byte to its last. */
  'durationMicros',
  'tensorElements',
  'inputTokens',
  'outputTokens',
  'computeMicros',
] as const;
export type Unit = (typeof UNITS)[number];

/** One number for each unit, in their order. */
export type Numbers = Float64Array;

export function noNumbers(): Numbers {
  return new Float64Array(UNITS.length);
}

const AT = Object.fromEntries(UNITS.map((unit, index) => [unit, index])) as Readonly<Record<Unit, number>>;

/** By the record's outcome: `OUTCOMES` of the codec. */
const OUTCOME_AT = [AT.ok, AT.denied, AT.failed, AT.cancelled] as const;
const DENIED = 1;

/** The number of a unit. */
export function numberOf(numbers: Numbers, unit: Unit): number {
  return numbers[AT[unit]] ?? 0;
}

/** Adds a call. */
export function addCall(numbers: Numbers, view: CallView): void {
  add(numbers, AT.calls, 1);
  add(numbers, OUTCOME_AT[view.outcome] ?? AT.failed, 1);
  if (view.outcome === DENIED) add(numbers, deniedAt(view.grpcStatus), 1);
  add(numbers, AT.requestBytes, view.requestBytes);
  add(numbers, AT.responseBytes, view.responseBytes);
  add(numbers, AT.requestMessages, view.requestMessages);
  add(numbers, AT.responseMessages, view.responseMessages);
  add(numbers, AT.durationMicros, view.durationMicros);
  if ((view.flags & FLAG_CONSUMED) === 0) return;
  add(numbers, AT.tensorElements, view.tensorElements);
  add(numbers, AT.inputTokens, view.inputTokens);
  add(numbers, AT.outputTokens, view.outputTokens);
  add(numbers, AT.computeMicros, view.computeMicros);
}

/** Adds sums to sums. */
export function addNumbers(to: Numbers, from: Numbers): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] ?? 0) + (from[i] ?? 0);
}

/** As an object with a field for each unit. */
export function numbersObject(numbers: Numbers): Readonly<Record<Unit, number>> {
  // Exactly the units' names.
  return Object.fromEntries(UNITS.map((unit, index) => [unit, numbers[index] ?? 0])) as Record<Unit, number>;
}

function add(numbers: Numbers, at: number, by: number): void {
  numbers[at] = (numbers[at] ?? 0) + by;
}

/** The group of reasons that a refusal belongs to is what its caller was told. */
function deniedAt(grpcStatus: number): number {
  switch (grpcStatus) {
    case 16: // UNAUTHENTICATED
      return AT.deniedCredentials;
    case 7: // PERMISSION_DENIED
      return AT.deniedPermission;
    case 8: // RESOURCE_EXHAUSTED
      return AT.deniedLimit;
    case 4: // DEADLINE_EXCEEDED
    case 14: // UNAVAILABLE
      return AT.deniedUnavailable;
    default:
      return AT.deniedOther;
  }
}
