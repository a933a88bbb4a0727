/**
 * Calls without a pause on several clients, so that a test can change something under load and count what the callers saw.
 */
import type { InferRequest } from '../../../src/demo/inference-protocol.ts';

/** Whoever can call ModelInfer, and never rejects. */
export interface Inferring {
  infer(request: InferRequest): Promise<{ readonly code: string; readonly message: string }>;
}

export interface LoadedCall {
  /** `Date.now()` at its start. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly code: string;
  readonly message: string;
}

export class SteadyLoad {
  readonly calls: LoadedCall[] = [];
  #running = true;
  readonly #loops: readonly Promise<void>[];

  /** Starts `perClient` loops on each client; each call answers after `delayMs`. */
  constructor(clients: readonly Inferring[], perClient: number, model: string, delayMs: number) {
    this.#loops = clients.flatMap((client) =>
      Array.from({ length: perClient }, () => this.#loop(client, model, delayMs)),
    );
  }

  /** Lets every loop finish its call. */
  async stop(): Promise<readonly LoadedCall[]> {
    this.#running = false;
    await Promise.all(this.#loops);
    return this.calls;
  }

  get failed(): readonly LoadedCall[] {
    return this.calls.filter((call) => call.code !== 'OK');
  }

  async #loop(client: Inferring, model: string, delayMs: number): Promise<void> {
    while (this.#running) {
      const startedAt = Date.now();
      const { code, message } = await client.infer({ modelName: model, id: `delay:${delayMs}`, inputs: [] });
      this.calls.push({ startedAt, endedAt: Date.now(), code, message });
      // A sidecar that is gone answers at once: without a pause the loop would only spin.
      if (code !== 'OK') await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
