/**
 * The limits of one tenant beyond its two rates and its concurrency: its organisation's, its own, its callers' and its models',
 * as one worker sees them under one generation.
 *
 * All that a call's headers decide (organisation, tenant, caller) are looked at together and taken from together; a model's when the
 * first message that names it has been permitted. Everything here runs with the locks held that `quota-gate.ts` takes.
 */
import { Glob } from '../authz/glob.ts';
import type { LimitBound, LimitConfig, LimitLevel } from '../config/quota-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { QuotaUnit } from '../kernel/denial.ts';
import type { CallerKey } from './caller-buckets.ts';
import { type CellKey, CONCURRENCY, type LimitCells } from './limit-cells.ts';
import type { JournalEntry } from './limit-journal.ts';
import { type Meter, meterOf } from './meter.ts';
import type { SharedTables } from './shared-state.ts';

/** A limit without room for the call. */
export interface Exhausted {
  readonly name: string;
  readonly level: LimitLevel;
  readonly unit: QuotaUnit;
  readonly bound: LimitBound;
  /** Until there is room; Infinity: not by time. */
  readonly micros: number;
}

/** The journal cannot be written: nothing may be taken that would be forgotten. */
export interface Unwritten {
  readonly unwritten: string;
}

/** What a message is counted in. */
export type ByteUnit = Exclude<QuotaUnit, 'calls'>;

const BYTE_UNITS = ['requestBytes', 'responseBytes'] as const;

/** What a call has taken, for as long as it runs. */
export interface Holding {
  /** That it took from. */
  readonly limits: LimitSet;
  readonly caller: CallerKey;
  readonly takenAt: number;
  /** Counts of concurrency that it is in: meter and cell, in turn. */
  readonly counts: (readonly [Meter, number])[];
  /** Models that it has been charged for. */
  readonly models: string[];
}

/** Hears of a limit how much is left and for how many microseconds, or Infinity; `model`: that has it to itself. */
export type LimitListener = (limit: LimitConfig, model: string | undefined, left: number, micros: number) => void;

/** A call that names more models than this pays again for those that it named first: what is remembered of a call is bounded. */
const MAX_REMEMBERED_MODELS = 64;
/** Keys of models that are kept, so that they need not be hashed for each call. */
const MAX_KNOWN_MODELS = 256;
/** Call, or byte. */
const ONE = 1;

export class LimitSet {
  /** The organisation's region, when it has limits for this tenant. */
  readonly organisationRegion: number | undefined;
  readonly #cells: LimitCells;
  readonly #salt: string;
  readonly #callLimits: readonly Limit[];
  readonly #callerLimits: readonly Limit[];
  readonly #modelLimits: readonly Limit[];
  /** Of all levels. */
  readonly #byteLimits: Readonly<Record<ByteUnit, readonly Limit[]>>;
  /** Own cells of each region that the configuration knows. */
  readonly #ownKeys: ReadonlyMap<number, readonly CellKey[]>;
  readonly #callers = new WeakMap<CallerKey, ReadonlyMap<Limit, CellKey>>();
  readonly #models = new Map<string, readonly (CellKey | undefined)[]>();
  /** Cells that were looked at, so that they need not be found again to take from them. */
  readonly #found: number[] = [];

  /** undefined: the tenant has no such limits, and is to cost nothing for them. */
  static of(tables: SharedTables, tenant: TenantConfig): LimitSet | undefined {
    const { organisation } = tenant;
    if ((tenant.quota.limits ?? []).length === 0 && organisation === undefined) return undefined;
    return new LimitSet(tables, tenant);
  }

  private constructor(tables: SharedTables, tenant: TenantConfig) {
    const { organisation } = tenant;
    this.#cells = tables.limits;
    this.#salt = tables.state.salt;
    const ownRegion = this.#cells.tenantRegion(tenant.slot);
    const make = (owner: string, region: number) => (config: LimitConfig) => this.#limit(tables, owner, region, config);
    const own = (tenant.quota.limits ?? []).map(make(tenantOwner(tenant.id), ownRegion));
    this.organisationRegion =
      organisation === undefined ? undefined : this.#cells.organisationRegion(organisation.slot);
    const shared =
      organisation === undefined || this.organisationRegion === undefined
        ? []
        : organisation.limits.map(make(organisationOwner(organisation.name), this.organisationRegion));
    const all = [...shared, ...own];
    const calls = all.filter(({ unit }) => unit === 'calls');
    this.#byteLimits = {
      requestBytes: all.filter(({ unit }) => unit === 'requestBytes'),
      responseBytes: all.filter(({ unit }) => unit === 'responseBytes'),
    };
    this.#callLimits = calls.filter(({ config: { level } }) => level === 'organisation' || level === 'tenant');
    this.#callerLimits = calls.filter(({ config }) => config.level === 'caller');
    this.#modelLimits = calls.filter(({ config }) => config.level === 'model');
    this.#ownKeys = new Map([
      [ownRegion, own.map(({ key }) => key)],
      ...(this.organisationRegion === undefined
        ? []
        : [[this.organisationRegion, shared.map(({ key }) => key)] as const]),
    ]);
  }

  get chargesModels(): boolean {
    return this.#modelLimits.length > 0;
  }

  counts(unit: ByteUnit): boolean {
    return this.#byteLimits[unit].length > 0;
  }

  /** Looks at all that the headers decide. Returns those without room, or undefined when the call fits into all of them. */
  look(caller: CallerKey, now: number): Exhausted[] | undefined {
    let exhausted: Exhausted[] | undefined;
    let at = 0;
    for (const limit of this.#callLimits) {
      const word = this.#own(limit);
      this.#found[at++] = word;
      exhausted = lookAt(limit, word, ONE, now, exhausted);
    }
    for (const limit of this.#callerLimits) {
      const word = this.#ofCaller(limit, caller, now);
      this.#found[at++] = word;
      exhausted = lookAt(limit, word, ONE, now, exhausted);
    }
    // How many bytes there will be nobody knows yet; where there is no room for one, it is not worth beginning.
    for (const unit of BYTE_UNITS)
      for (const limit of this.#byteLimits[unit])
        exhausted = lookAt(limit, this.#ofCaller(limit, caller, now), ONE, now, exhausted);
    return exhausted;
  }

  /** Takes a message's bytes from all limits that count them, or from none. Returns those without room. */
  takeBytes({ caller }: Holding, unit: ByteUnit, bytes: number, now: number): Exhausted[] | Unwritten | undefined {
    const limits = this.#byteLimits[unit];
    let exhausted: Exhausted[] | undefined;
    for (const [index, limit] of limits.entries()) {
      const word = this.#ofCaller(limit, caller, now);
      this.#found[index] = word;
      exhausted = lookAt(limit, word, bytes, now, exhausted);
    }
    if (exhausted !== undefined) return exhausted;
    const unwritten = this.#promise(limits, 0, bytes);
    if (unwritten !== undefined) return unwritten;
    for (const [index, { meter }] of limits.entries()) meter.take(this.#found[index] ?? 0, bytes, now);
    return undefined;
  }

  /** Gives back what of a message's bytes never came. */
  giveBackBytes({ caller }: Holding, unit: ByteUnit, bytes: number, takenAt: number): void {
    for (const limit of this.#byteLimits[unit])
      limit.meter.giveBack(this.#ofCaller(limit, caller, takenAt), bytes, takenAt);
  }

  /** Has the journal say what is about to be taken of all that were just looked at. Returns why it cannot, if so. */
  promise(): Unwritten | undefined {
    return this.#promise(this.#callLimits, 0, ONE) ?? this.#promise(this.#callerLimits, this.#callLimits.length, ONE);
  }

  /** `from`: where the cells that were found for these limits begin; of those that are undefined none was. */
  #promise(limits: readonly (Limit | undefined)[], from: number, amount: number): Unwritten | undefined {
    const { journal } = this.#cells;
    if (journal === undefined) return undefined;
    for (let index = 0; index < limits.length; index++) {
      const limit = limits[index];
      if (limit === undefined) continue;
      const word = this.#found[from + index] ?? 0;
      const promised = limit.meter.promise(word, amount);
      if (promised === undefined) continue;
      const { high, low, set } = this.#cells.keyIn(word);
      const own = this.#cells.isOwn(limit.region, word);
      const written = journal.append({ ...limit.owner, high, low, set, kind: limit.meter.kind, own, ...promised });
      if (!written.ok) return { unwritten: written.error };
      limit.meter.promised(word, promised.amount);
    }
    return undefined;
  }

  /** Takes one call from all that were just looked at. */
  take(caller: CallerKey, now: number): Holding {
    const holding: Holding = { limits: this, caller, takenAt: now, counts: [], models: [] };
    let at = 0;
    for (const limit of this.#callLimits) takeFrom(limit, this.#found[at++] ?? 0, now, holding);
    for (const limit of this.#callerLimits) takeFrom(limit, this.#found[at++] ?? 0, now, holding);
    return holding;
  }

  /** Whether the call has still to be charged for a model. */
  isNew(holding: Holding, model: string): boolean {
    return !holding.models.includes(model);
  }

  /** Charges a call for a model that it names. Returns the limits without room; then nothing was taken. */
  charge(holding: Holding, model: string, now: number): Exhausted[] | Unwritten | undefined {
    const keys = this.#modelKeys(model);
    let exhausted: Exhausted[] | undefined;
    for (const [index, limit] of this.#modelLimits.entries()) {
      const key = keys[index];
      if (key === undefined) continue;
      const word = this.#subject(limit, key, now);
      this.#found[index] = word;
      exhausted = lookAt(limit, word, ONE, now, exhausted);
    }
    if (exhausted !== undefined) return exhausted;
    const charged = this.#modelLimits.map((limit, index) => (keys[index] === undefined ? undefined : limit));
    const unwritten = this.#promise(charged, 0, ONE);
    if (unwritten !== undefined) return unwritten;
    for (const [index, limit] of this.#modelLimits.entries())
      if (keys[index] !== undefined) takeFrom(limit, this.#found[index] ?? 0, now, holding);
    if (holding.models.length >= MAX_REMEMBERED_MODELS) holding.models.shift();
    holding.models.push(model);
    return undefined;
  }

  /**
   * Tells each limit of a call that its client is to know of, with what is left: its tenant's, its caller's, and those of the model that
   * it named last. Not the organisation's: what other tenants use is none of its business.
   */
  tell({ caller, models }: Pick<Holding, 'caller' | 'models'>, now: number, listener: LimitListener): void {
    const own = [...this.#callLimits, ...this.#callerLimits, ...BYTE_UNITS.flatMap((unit) => this.#byteLimits[unit])];
    for (const limit of own) {
      if (limit.config.level === 'organisation') continue;
      const word = this.#ofCaller(limit, caller, now);
      listener(limit.config, undefined, limit.meter.left(word, now), limit.meter.renews(word, now));
    }
    const model = models.at(-1);
    if (model === undefined) return;
    const keys = this.#modelKeys(model);
    for (const [index, limit] of this.#modelLimits.entries()) {
      const key = keys[index];
      if (key === undefined) continue;
      const word = this.#subject(limit, key, now);
      listener(limit.config, model, limit.meter.left(word, now), limit.meter.renews(word, now));
    }
  }

  /** Gives back what the headers of a call took that was refused before anything of it went on. Rates are not given back. */
  refund({ caller, takenAt }: Holding): void {
    for (const limit of this.#callLimits) giveBackTo(limit, this.#own(limit), takenAt);
    for (const limit of this.#callerLimits) giveBackTo(limit, this.#ofCaller(limit, caller, takenAt), takenAt);
  }

  #limit(tables: SharedTables, owner: string, region: number, config: LimitConfig): Limit {
    const meter = meterOf(config.bound, this.#cells, tables.state.epoch, tables.workerIndex);
    const { unit = 'calls' } = config;
    const id = `${owner}:${config.level}:${config.name}:${unit}:${meter.signature}`;
    const globs = config.models?.map((pattern) => new Glob(pattern));
    const whose = this.#cells.ownerOf(this.#salt, owner);
    return { config, unit, region, owner: whose, meter, id, key: this.#cells.keyOf(this.#salt, id, ''), globs };
  }

  #own({ region, key, meter }: Limit): number {
    return this.#cells.own(region, key, meter.kind, this.#ownKeys.get(region) ?? []);
  }

  /** Whoever finds no cell shares the limit's own. */
  #subject(limit: Limit, key: CellKey | undefined, now: number): number {
    const word = key === undefined ? -1 : this.#cells.subject(limit.region, key, limit.meter.kind, now);
    return word === -1 ? this.#own(limit) : word;
  }

  /** The cell of whatever has the limit to itself, where that is known by the headers. */
  #ofCaller(limit: Limit, caller: CallerKey, now: number): number {
    if (limit.config.level !== 'caller') return this.#own(limit);
    let keys = this.#callers.get(caller);
    if (keys === undefined) {
      const bytes = BYTE_UNITS.flatMap((unit) => this.#byteLimits[unit]);
      const limits = [...this.#callerLimits, ...bytes];
      keys = new Map(limits.map((one) => [one, this.#cells.keyOf(this.#salt, one.id, caller.id)]));
      this.#callers.set(caller, keys);
    }
    return this.#subject(limit, keys.get(limit), now);
  }

  /** Only of the limits that are for the model. */
  #modelKeys(model: string): readonly (CellKey | undefined)[] {
    let keys = this.#models.get(model);
    if (keys !== undefined) return keys;
    keys = this.#modelLimits.map(({ id, globs }) =>
      globs?.some((glob) => glob.matches(model)) === false ? undefined : this.#cells.keyOf(this.#salt, id, model),
    );
    if (this.#models.size >= MAX_KNOWN_MODELS) {
      const [oldest] = this.#models.keys();
      if (oldest !== undefined) this.#models.delete(oldest);
    }
    this.#models.set(model, keys);
    return keys;
  }
}

/** How the regions' owners are named in keys and in the journal. */
export function tenantOwner(id: string): string {
  return `tenant ${id}`;
}

export function organisationOwner(name: string): string {
  return `organisation ${name}`;
}

interface Limit {
  readonly config: LimitConfig;
  readonly unit: QuotaUnit;
  readonly region: number;
  /** Of the region, for the journal. */
  readonly owner: Pick<JournalEntry, 'ownerHigh' | 'ownerLow'>;
  readonly meter: Meter;
  readonly id: string;
  /** Of its own cell: what it is for itself, or for all subjects that found no place. */
  readonly key: CellKey;
  readonly globs: readonly Glob[] | undefined;
}

function lookAt(
  limit: Limit,
  word: number,
  amount: number,
  now: number,
  exhausted: Exhausted[] | undefined,
): Exhausted[] | undefined {
  const micros = limit.meter.wait(word, amount, now);
  if (micros <= 0) return exhausted;
  const { name, level, bound } = limit.config;
  const one: Exhausted = { name, level, unit: limit.unit, bound, micros };
  if (exhausted === undefined) return [one];
  exhausted.push(one);
  return exhausted;
}

function takeFrom({ meter }: Limit, word: number, now: number, holding: Holding): void {
  meter.take(word, ONE, now);
  if (meter.kind === CONCURRENCY) holding.counts.push([meter, word]);
}

/** What is in progress is counted out when the call ends. */
function giveBackTo({ meter }: Limit, word: number, takenAt: number): void {
  if (meter.kind !== CONCURRENCY) meter.giveBack(word, ONE, takenAt);
}
