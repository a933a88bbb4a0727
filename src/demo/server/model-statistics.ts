/**
 * What one model has done since the server started, in the counters of ModelStatistics.
 */
import type { ModelStatisticsMessage, StatisticDuration } from '../inference-protocol.ts';

/** Nanoseconds of one successful inference, by part. */
export interface InferenceTimes {
  readonly computeInput: bigint;
  readonly computeInfer: bigint;
  readonly computeOutput: bigint;
}

type Counter = 'success' | 'fail' | 'computeInput' | 'computeInfer' | 'computeOutput';

export class ModelStatistics {
  readonly #name: string;
  readonly #version: string;
  readonly #durations: Record<Counter, { count: bigint; ns: bigint }>;
  #lastInferenceMs = 0;
  #rows = 0n;
  #executions = 0n;

  constructor(name: string, version: string) {
    this.#name = name;
    this.#version = version;
    const zero = (): { count: bigint; ns: bigint } => ({ count: 0n, ns: 0n });
    this.#durations = {
      success: zero(),
      fail: zero(),
      computeInput: zero(),
      computeInfer: zero(),
      computeOutput: zero(),
    };
  }

  /** Counts one run over `rows` rows, ended at `nowMs` (Unix milliseconds). */
  succeeded(rows: number, times: InferenceTimes, nowMs: number): void {
    this.#rows += BigInt(rows);
    this.#executions += 1n;
    this.#lastInferenceMs = nowMs;
    this.#add('computeInput', times.computeInput);
    this.#add('computeInfer', times.computeInfer);
    this.#add('computeOutput', times.computeOutput);
    this.#add('success', times.computeInput + times.computeInfer + times.computeOutput);
  }

  /** Counts one request for this model that got no answer. */
  failed(ns: bigint): void {
    this.#add('fail', ns);
  }

  toMessage(): ModelStatisticsMessage {
    return {
      name: this.#name,
      version: this.#version,
      lastInference: String(this.#lastInferenceMs),
      inferenceCount: String(this.#rows),
      executionCount: String(this.#executions),
      inferenceStats: {
        success: this.#read('success'),
        fail: this.#read('fail'),
        computeInput: this.#read('computeInput'),
        computeInfer: this.#read('computeInfer'),
        computeOutput: this.#read('computeOutput'),
      },
    };
  }

  #add(counter: Counter, ns: bigint): void {
    const duration = this.#durations[counter];
    duration.count += 1n;
    duration.ns += ns;
  }

  #read(counter: Counter): StatisticDuration {
    const { count, ns } = this.#durations[counter];
    return { count: String(count), ns: String(ns) };
  }
}
