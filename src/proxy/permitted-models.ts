/**
 * The models that messages of one call were permitted for beside that of its last message, for the day on which it is judged again. A
 * call that names one model all the time has none of these.
 */
import type { ModelTarget } from '../inspection/message-inspector.ts';

/** Models and versions of one call that are judged again, beside that of its last message. Of more the earliest are forgotten. */
export const MAX_PERMITTED_MODELS = 32;

export class PermittedModels {
  /** Earliest first. */
  readonly #targets: ModelTarget[] = [];

  get all(): readonly ModelTarget[] {
    return this.#targets;
  }

  keep({ model, version }: ModelTarget): void {
    const known = this.#targets.findIndex((target) => target.model === model && target.version === version);
    if (known !== -1) this.#targets.splice(known, 1);
    else if (this.#targets.length === MAX_PERMITTED_MODELS) this.#targets.shift();
    this.#targets.push({ model, version });
  }
}
