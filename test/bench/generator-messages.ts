/** What the bench and its generator say to each other. */
import type { CallTarget } from './caller.ts';

interface Numbered {
  readonly id: number;
}

interface Called {
  readonly target: CallTarget;
  readonly token: string;
  readonly bodyFile: string;
  readonly connections: number;
}

export interface OpenLoop extends Called {
  readonly callsPerSecond: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export type Order =
  | ({ readonly kind: 'open-loop' } & OpenLoop)
  | ({ readonly kind: 'hold' } & Called)
  | { readonly kind: 'release' };
export type ToGenerator = Order & Numbered;

/** Microseconds from the scheduled time to the end of the answer. */
export interface Latencies {
  readonly calls: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** How late the generator itself was: above some 100 µs the numbers say more of it than of the subject. */
  readonly sentLateP99: number;
}

export type FromGenerator = Numbered & ({ readonly result: Latencies | undefined } | { readonly error: string });
