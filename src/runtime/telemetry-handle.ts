/**
 * The supervisor's end of the telemetry thread. The thread reads what the workers wrote; its death loses nothing, and it is
 * started again where its cursor stands.
 */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { Generation } from '../config/generation.ts';
import type { FromTelemetry, TelemetryBirth, TelemetryStatus } from '../telemetry/thread-messages.ts';

export interface TelemetryHandleOptions {
  readonly serviceVersion: string;
  readonly instanceId: string;
  readonly log: Logger;
}

const RESTART_MS = 1_000;

export class TelemetryHandle {
  readonly #birth: TelemetryBirth | undefined;
  readonly #log: Logger;
  #thread: Worker | undefined;
  #stopping = false;
  #status: TelemetryStatus | undefined;
  #drained: ((undeliveredBytes: number) => void) | undefined;

  constructor(generation: Generation, options: TelemetryHandleOptions) {
    this.#log = options.log;
    const { audit, telemetry } = generation;
    this.#birth =
      telemetry.otlp === undefined
        ? undefined
        : {
            auditDirectory: audit.directory,
            telemetry,
            serviceVersion: options.serviceVersion,
            instanceId: options.instanceId,
          };
  }

  /** What the thread last said; undefined when nothing is exported. */
  get status(): TelemetryStatus | undefined {
    return this.#status;
  }

  start(): void {
    if (this.#birth === undefined || this.#stopping) return;
    const thread = new Worker(new URL('../telemetry/thread.ts', import.meta.url), {
      workerData: this.#birth,
      name: 'telemetry',
    });
    this.#thread = thread;
    thread.on('message', (message: FromTelemetry) => this.#hear(message));
    thread.on('error', (error) => this.#log.error({ err: error }, 'the telemetry thread died; it is started again'));
    thread.on('exit', () => {
      this.#thread = undefined;
      this.#drained?.(this.#status?.backlogBytes ?? 0);
      if (!this.#stopping) setTimeout(() => this.start(), RESTART_MS).unref();
    });
  }

  /** Delivers what is there, up to the limit. Returns the bytes that stay for the next start. */
  async drain(timeoutMs: number): Promise<number> {
    this.#stopping = true;
    const thread = this.#thread;
    if (thread === undefined) return 0;
    const undelivered = await new Promise<number>((resolve) => {
      this.#drained = resolve;
      thread.postMessage({ type: 'drain', timeoutMs });
      setTimeout(() => resolve(this.#status?.backlogBytes ?? 0), timeoutMs + 1_000).unref();
    });
    await thread.terminate();
    return undelivered;
  }

  #hear(message: FromTelemetry): void {
    if (message.type === 'status') {
      if (message.status.lastError !== undefined && message.status.lastError !== this.#status?.lastError) {
        this.#log.warn(
          { error: message.status.lastError, backlogBytes: message.status.backlogBytes },
          'telemetry cannot be delivered; it is kept',
        );
      }
      this.#status = message.status;
    } else this.#drained?.(message.undeliveredBytes);
  }
}
