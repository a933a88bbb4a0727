/**
 * What the process-wide ceiling tells the byte accounts of one table on this thread: from which total it wants to hear of charges,
 * and which tenants are over their share. Far below the ceiling it says nothing, and asking costs one comparison.
 */
export class Pressure {
  /** A charge that brings this worker's total to so many bytes rings. */
  alarmAtBytes = Number.POSITIVE_INFINITY;
  ring: () => void = () => undefined;
  /** Slots of those who get no more window; undefined while nobody is. */
  squeezed: ReadonlySet<number> | undefined;
}
