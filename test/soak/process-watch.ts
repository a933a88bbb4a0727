/**
 * What a process holds while the soak runs: resident memory and file descriptors, as the kernel counts them.
 */
import { readdirSync } from 'node:fs';
import type { Child } from '../e2e/harness/child.ts';

export interface Sample {
  readonly atMs: number;
  readonly residentBytes: number;
  readonly descriptors: number;
}

export class ProcessWatch {
  readonly name: string;
  readonly samples: Sample[] = [];
  readonly #child: Child;
  readonly #from = Date.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(name: string, child: Child) {
    this.name = name;
    this.#child = child;
  }

  start(everyMs: number): void {
    this.#timer = setInterval(() => this.samples.push(this.now()), everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  now(): Sample {
    return {
      atMs: Date.now() - this.#from,
      residentBytes: this.#child.residentBytes(),
      descriptors: readdirSync(`/proc/${this.#child.pid}/fd`).length,
    };
  }

  /** Growth per minute from so late on (least squares); undefined when there is too little to tell. */
  slope(fromMs: number, of: 'residentBytes' | 'descriptors'): number | undefined {
    const samples = this.samples.filter(({ atMs }) => atMs >= fromMs);
    if (samples.length < MIN_SAMPLES) return undefined;
    const meanX = mean(samples.map(({ atMs }) => atMs));
    const meanY = mean(samples.map((sample) => sample[of]));
    let above = 0;
    let below = 0;
    for (const sample of samples) {
      above += (sample.atMs - meanX) * (sample[of] - meanY);
      below += (sample.atMs - meanX) ** 2;
    }
    return (above / below) * 60_000;
  }

  /** The mean from so late on. */
  mean(fromMs: number, of: 'residentBytes' | 'descriptors'): number {
    return mean(this.samples.filter(({ atMs }) => atMs >= fromMs).map((sample) => sample[of]));
  }
}

const MIN_SAMPLES = 10;

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
