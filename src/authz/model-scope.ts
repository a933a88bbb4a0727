/**
 * Models and their versions by patterns: what a role is for, and what an API key is narrowed to.
 */
import { Glob } from './glob.ts';

export class ModelScope {
  readonly #models: readonly Glob[];
  readonly #versions: readonly Glob[];
  readonly #anyModel: boolean;

  constructor({ models, versions }: { readonly models: readonly string[]; readonly versions: readonly string[] }) {
    this.#models = models.map((pattern) => new Glob(pattern));
    this.#versions = versions.map((pattern) => new Glob(pattern));
    this.#anyModel = models.includes('*');
  }

  /**
   * An empty version is what the server takes as the latest, and is matched as `latest`. An empty model may mean any, so only
   * a scope of all models (`*` itself) has it.
   */
  has(model: string, version: string): boolean {
    const modelFits = model === '' ? this.#anyModel : this.#models.some((glob) => glob.matches(model));
    const named = version === '' ? 'latest' : version;
    return modelFits && this.#versions.some((glob) => glob.matches(named));
  }
}
