/**
 * Which limits are about a call, by its method: sorted once, so that no call asks a limit that it is not about.
 */
import { isForMethod, isForModel, type Limit, type MeteredUnit } from './limit.ts';
import type { CellKey } from './limit-cells.ts';

/** A limit that is about a model, and the key of the model's own cell where it has one. */
export interface ModelLimit {
  readonly limit: Limit;
  readonly key: CellKey | undefined;
}

/** Keys of models that are kept, so that they need not be hashed for each call. */
const MAX_KNOWN_MODELS = 256;

export class MethodLimits {
  /** Of calls, of the organisation and the tenant. */
  readonly calls: readonly Limit[];
  /** Of calls, of each caller. */
  readonly callers: readonly Limit[];
  /** Of other units, as far as the headers say whose they are. */
  readonly metered: readonly Limit[];
  /** Of any unit, when a message has said which model it is about. */
  readonly byModel: readonly Limit[];
  /** What is counted of a call beside itself; undefined: nothing. */
  readonly units: ReadonlySet<MeteredUnit> | undefined;
  readonly #models = new Map<string, readonly ModelLimit[]>();

  constructor(limits: readonly Limit[]) {
    const known = limits.filter(({ byModel }) => !byModel);
    const calls = known.filter(({ unit }) => unit === 'calls');
    this.calls = calls.filter(({ config: { level } }) => level !== 'caller');
    this.callers = calls.filter(({ config: { level } }) => level === 'caller');
    this.metered = known.filter(({ unit }) => unit !== 'calls');
    this.byModel = limits.filter(({ byModel }) => byModel);
    const units = new Set(limits.map(({ unit }) => unit).filter((unit) => unit !== 'calls'));
    this.units = units.size === 0 ? undefined : units;
  }

  /** Those that are about a model. `keyOf`: makes the key of a limit's cell for a subject. */
  ofModel(model: string, version: string, keyOf: (limit: Limit, subject: string) => CellKey): readonly ModelLimit[] {
    // Neither has a control character in it.
    const id = `${model}\n${version}`;
    const known = this.#models.get(id);
    if (known !== undefined) return known;
    const found = this.byModel
      .filter((limit) => isForModel(limit, model, version))
      .map((limit) => ({ limit, key: limit.config.level === 'model' ? keyOf(limit, model) : undefined }));
    if (this.#models.size >= MAX_KNOWN_MODELS) {
      const [oldest] = this.#models.keys();
      if (oldest !== undefined) this.#models.delete(oldest);
    }
    this.#models.set(id, found);
    return found;
  }
}

/** Methods that are kept: those of an opaque service are the caller's to invent. */
const MAX_KNOWN_METHODS = 256;

/** The limits of one tenant, by method. */
export class LimitsByMethod {
  readonly #limits: readonly Limit[];
  /** When none is narrowed to methods: the same for all. */
  readonly #every: MethodLimits | undefined;
  readonly #methods = new Map<string, MethodLimits>();

  constructor(limits: readonly Limit[]) {
    this.#limits = limits;
    this.#every = limits.some(({ methods }) => methods !== undefined) ? undefined : new MethodLimits(limits);
  }

  of(method: string): MethodLimits {
    const known = this.#every ?? this.#methods.get(method);
    if (known !== undefined) return known;
    const made = new MethodLimits(this.#limits.filter((limit) => isForMethod(limit, method)));
    if (this.#methods.size >= MAX_KNOWN_METHODS) {
      const [oldest] = this.#methods.keys();
      if (oldest !== undefined) this.#methods.delete(oldest);
    }
    this.#methods.set(method, made);
    return made;
  }
}
