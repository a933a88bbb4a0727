/** What a call has consumed of the units that limits count beside calls and bytes: those that were counted of it; 0 are the others. */
export interface Consumption {
  readonly tensorElements: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Time of the model server times the model's weight, in microseconds. */
  readonly computeMicros: number;
}
