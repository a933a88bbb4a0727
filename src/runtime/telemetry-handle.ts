/**
 * The supervisor's end of the telemetry thread. The thread reads what the workers wrote; its death loses nothing, and it is
 * started again where its cursor stands. So does a change of where it delivers to.
 */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { Generation, TelemetryConfig } from '../config/generation.ts';
import type { FromTelemetry, TelemetryBirth, TelemetryStatus, ToTelemetry } from '../telemetry/thread-messages.ts';
import type { UsageTotals } from '../telemetry/usage-metrics.ts';

export interface TelemetryHandleOptions {
  readonly serviceVersion: string;
  readonly instanceId: string;
  readonly log: Logger;
}

const RESTART_MS = 1_000;
/** A thread that is to deliver elsewhere first delivers what it has in hand, if its collector answers. */
const CHANGE_DRAIN_MS = 2_000;
/** After its time a thread that does not end is ended. */
const END_GRACE_MS = 1_000;

export class TelemetryHandle {
  readonly #options: TelemetryHandleOptions;
  readonly #auditDirectory: string;
  #telemetry: TelemetryConfig;
  #thread: Worker | undefined;
  #restart: NodeJS.Timeout | undefined;
  #changing: Promise<void> = Promise.resolve();
  #stopping = false;
  #usageError: string | undefined;
  #status: TelemetryStatus | undefined;

  constructor({ audit, telemetry }: Generation, options: TelemetryHandleOptions) {
    this.#options = options;
    this.#auditDirectory = audit.directory;
    this.#telemetry = telemetry;
  }

  /** What the thread last said; undefined when nothing is exported. */
  get status(): TelemetryStatus | undefined {
    return this.#status;
  }

  start(): void {
    clearTimeout(this.#restart);
    const birth = this.#birth();
    if (birth === undefined || this.#stopping || this.#thread !== undefined) return;
    const thread = new Worker(new URL('../telemetry/thread.ts', import.meta.url), {
      workerData: birth,
      name: 'telemetry',
    });
    this.#thread = thread;
    const { log } = this.#options;
    thread.on('message', (message: FromTelemetry) => this.#hear(message));
    thread.on('error', (error) => log.error({ err: error }, 'the telemetry thread died; it is started again'));
    thread.on('exit', () => {
      // One that was ended on purpose is not the one any more.
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      this.#restart = setTimeout(() => this.start(), RESTART_MS).unref();
    });
  }

  /**
   * Delivers with these settings from now on: the thread ends, and another begins where its cursor stands. Nothing is lost; what the
   * old collector has not acknowledged goes to the new one. The sampled share is the workers' affair, and needs no other thread.
   */
  apply(telemetry: TelemetryConfig): void {
    const isSame = deliveryOf(telemetry) === deliveryOf(this.#telemetry);
    this.#telemetry = telemetry;
    if (isSame || this.#stopping) return;
    this.#changing = this.#changing.then(async () => {
      await this.#end(CHANGE_DRAIN_MS);
      this.#status = undefined;
      this.start();
      const { otlp } = this.#telemetry;
      this.#options.log.info({ endpoint: otlp?.endpoint ?? 'none' }, 'telemetry goes where the configuration now says');
    });
  }

  /** Has these sums sent as metrics. Only while it runs; what was not sent is in the sums that come next. */
  sendUsage(totals: UsageTotals): void {
    const message: ToTelemetry = { type: 'usage', totals };
    this.#thread?.postMessage(message);
  }

  /** Delivers what is there, up to the limit. Returns the bytes that stay for the next start. */
  async drain(timeoutMs: number): Promise<number> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    await this.#changing;
    return this.#end(timeoutMs);
  }

  #birth(): TelemetryBirth | undefined {
    const { serviceVersion, instanceId } = this.#options;
    const telemetry = this.#telemetry;
    if (telemetry.otlp === undefined) return undefined;
    return { auditDirectory: this.#auditDirectory, telemetry, serviceVersion, instanceId };
  }

  async #end(timeoutMs: number): Promise<number> {
    clearTimeout(this.#restart);
    const thread = this.#thread;
    this.#thread = undefined;
    if (thread === undefined) return 0;
    const undelivered = await new Promise<number>((resolve) => {
      const known = (): void => resolve(this.#status?.backlogBytes ?? 0);
      thread.on('message', (message: FromTelemetry) => {
        if (message.type === 'drained') resolve(message.undeliveredBytes);
      });
      thread.on('exit', known);
      const message: ToTelemetry = { type: 'drain', timeoutMs };
      thread.postMessage(message);
      setTimeout(known, timeoutMs + END_GRACE_MS).unref();
    });
    await thread.terminate();
    return undelivered;
  }

  #hear(message: FromTelemetry): void {
    if (message.type === 'usage') this.#hearUsage(message.error);
    if (message.type !== 'status') return;
    if (message.status.lastError !== undefined && message.status.lastError !== this.#status?.lastError) {
      this.#options.log.warn(
        { error: message.status.lastError, backlogBytes: message.status.backlogBytes },
        'telemetry cannot be delivered; it is kept',
      );
    }
    this.#status = message.status;
  }

  /** Said when it changes: a collector without a pipeline for metrics would be told of every minute. */
  #hearUsage(error: string | undefined): void {
    if (error !== undefined && error !== this.#usageError)
      this.#options.log.warn({ error }, 'usage cannot be sent as metrics; the next sums have it in them');
    this.#usageError = error;
  }
}

/** What the thread is made of. */
function deliveryOf({ otlp, serviceName }: TelemetryConfig): string {
  return JSON.stringify({ otlp, serviceName });
}
