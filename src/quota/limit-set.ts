/**
 * The limits of one tenant beyond its two rates and its concurrency: its organisation's, its own, its callers' and its models',
 * as one worker sees them under one generation.
 *
 * All that a call's headers decide (organisation, tenant, caller) are looked at together and taken from together; what a message
 * decides (its model, and what it costs) when that has been permitted. Everything here runs with the locks held that `quota-gate.ts`
 * takes.
 */
import type { LimitConfig } from '../config/quota-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { CallerKey } from './caller-buckets.ts';
import {
  type Account,
  accountOf,
  type Demand,
  type Holding,
  isNamed,
  type NamedModel,
  type Target,
} from './holding.ts';
import { type Exhausted, type Limit, lookAt, type MeteredUnit, makeLimit, stepsOf, type Unwritten } from './limit.ts';
import { type CellKey, CONCURRENCY, type LimitCells } from './limit-cells.ts';
import { LimitsByMethod, type MethodLimits } from './method-limits.ts';
import type { SharedTables } from './shared-state.ts';

/** Hears of a limit how much is left and for how many microseconds, or Infinity; `model`: that has it to itself. */
export type LimitListener = (limit: LimitConfig, model: string | undefined, left: number, micros: number) => void;

/** A call that names more models than this pays again for those that it named first: what is remembered of a call is bounded. */
const MAX_REMEMBERED_MODELS = 64;
/** Call, or the least of another unit. */
const ONE = 1;

export class LimitSet {
  /** The organisation's region, when it has limits for this tenant. */
  readonly organisationRegion: number | undefined;
  readonly #cells: LimitCells;
  readonly #methods: LimitsByMethod;
  /** Own cells of each region that the configuration knows. */
  readonly #ownKeys: ReadonlyMap<number, readonly CellKey[]>;
  readonly #callers = new WeakMap<CallerKey, Map<Limit, CellKey>>();
  /** What was looked at, so that it need not be found again to take from it: limits, cells and amounts, in turn. */
  readonly #limits: Limit[] = [];
  readonly #words: number[] = [];
  readonly #amounts: number[] = [];
  /** With what others are to take from the same cell: those that found no place of their own share one. */
  readonly #sums: number[] = [];
  #looked = 0;

  /** undefined: the tenant has no such limits, and is to cost nothing for them. */
  static of(tables: SharedTables, tenant: TenantConfig): LimitSet | undefined {
    const { organisation } = tenant;
    if ((tenant.quota.limits ?? []).length === 0 && organisation === undefined) return undefined;
    return new LimitSet(tables, tenant);
  }

  private constructor(tables: SharedTables, tenant: TenantConfig) {
    const { organisation } = tenant;
    this.#cells = tables.limits;
    const ownRegion = this.#cells.tenantRegion(tenant.slot);
    const make = (owner: string, region: number) => (config: LimitConfig) => makeLimit(tables, owner, region, config);
    const own = (tenant.quota.limits ?? []).map(make(tenantOwner(tenant.id), ownRegion));
    this.organisationRegion =
      organisation === undefined ? undefined : this.#cells.organisationRegion(organisation.slot);
    const shared =
      organisation === undefined || this.organisationRegion === undefined
        ? []
        : organisation.limits.map(make(organisationOwner(organisation.name), this.organisationRegion));
    this.#methods = new LimitsByMethod([...shared, ...own]);
    this.#ownKeys = new Map([
      [ownRegion, own.map(({ key }) => key)],
      ...(this.organisationRegion === undefined
        ? []
        : [[this.organisationRegion, shared.map(({ key }) => key)] as const]),
    ]);
  }

  /** Those that are about calls of a method (`package.Service/Method`). */
  of(method: string): MethodLimits {
    return this.#methods.of(method);
  }

  /** Looks at all that the headers decide. Returns those without room, or undefined when the call fits into all of them. */
  look({ calls, callers, metered }: MethodLimits, caller: CallerKey, now: number): Exhausted[] | undefined {
    this.#looked = 0;
    let exhausted: Exhausted[] | undefined;
    for (const limit of calls) exhausted = this.#look(limit, undefined, ONE, now, exhausted);
    for (const limit of callers) exhausted = this.#look(limit, this.#keyOf(limit, caller), ONE, now, exhausted);
    // How much there will be nobody knows yet; where there is no room for the least, it is not worth beginning.
    for (const limit of metered)
      exhausted = lookAt(limit, this.#word(limit, this.#keyOf(limit, caller), now), ONE, now, exhausted);
    return exhausted;
  }

  /** Takes one call from all that were just looked at. */
  take(limits: MethodLimits, caller: CallerKey, now: number): Holding {
    const counts: Holding['counts'] = [];
    for (let at = 0; at < this.#looked; at++) {
      const [limit, word] = [this.#limits[at], this.#words[at]];
      if (limit !== undefined && word !== undefined) takeCall(limit, word, now, counts);
    }
    const { metered } = limits;
    const accounts =
      metered.length === 0 ? NO_ACCOUNTS : metered.map((limit) => accountOf(limit, this.#keyOf(limit, caller)));
    return { limits, caller, takenAt: now, counts, accounts, models: [], begun: false };
  }

  /**
   * Takes what a call needs from all limits that count it, or from none. Returns those without room. `known`: bytes that are paid for
   * before the message's model is known, so that limits which depend on that are left out.
   */
  pay(
    holding: Holding,
    demands: readonly Demand[],
    now: number,
    known?: 'headers only',
  ): Exhausted[] | Unwritten | undefined {
    const accounts = known === undefined ? accountsOf(holding, holding.models) : holding.accounts;
    this.#looked = 0;
    const claims: Claim[] = [];
    const lack = this.#claim(accounts, demands, now, claims, undefined) ?? this.promise();
    if (lack === undefined) this.#takeFor(claims, now);
    return lack;
  }

  /** Writes down what was used and cannot be undone, whether there is room for it or not. */
  overdraw(holding: Holding, demands: readonly Demand[], now: number): void {
    this.#looked = 0;
    const claims: Claim[] = [];
    this.#claim(accountsOf(holding, holding.models), demands, now, claims, undefined);
    // Of what the journal does not take it is known at least until the process ends.
    this.promise();
    this.#takeFor(claims, now);
  }

  /**
   * Charges a call for a message that was permitted: for the models that it names, once for each, and for what it costs. Returns the
   * limits without room; then nothing was taken.
   */
  charge(
    holding: Holding,
    targets: readonly Target[],
    demands: readonly Demand[],
    now: number,
  ): Exhausted[] | Unwritten | undefined {
    const fresh = this.#freshModels(holding, targets, now);
    this.#looked = 0;
    let exhausted: Exhausted[] | undefined;
    for (const { calls } of fresh)
      for (const { limit, key } of calls) exhausted = this.#look(limit, key, ONE, now, exhausted);
    const calls = this.#looked;
    const claims: Claim[] = [];
    if (demands.length > 0)
      exhausted = this.#claim(accountsOf(holding, namedOf(holding, targets, fresh)), demands, now, claims, exhausted);
    // A unit that nothing is asked of yet: where there is no room for the least, it is not worth going on.
    for (const { accounts } of fresh)
      for (const { limit, key } of accounts)
        if (!demands.some(({ unit }) => unit === limit.unit))
          exhausted = lookAt(limit, this.#word(limit, key, now), ONE, now, exhausted);
    const lack = exhausted ?? this.promise();
    if (lack !== undefined) return lack;
    for (let at = 0; at < calls; at++) {
      const [limit, word] = [this.#limits[at], this.#words[at]];
      if (limit !== undefined && word !== undefined) takeCall(limit, word, now, holding.counts);
    }
    this.#takeFor(claims, now);
    for (const model of fresh) this.#remember(holding, model);
    holding.begun = true;
    return undefined;
  }

  /** Gives back what was paid of a unit and never came; `takenAt`: when it was paid. */
  giveBack(holding: Holding, unit: MeteredUnit, amount: number, takenAt: number, known?: 'headers only'): void {
    for (const account of known === undefined ? accountsOf(holding, holding.models) : holding.accounts)
      if (account.limit.unit === unit) this.#giveBackTo(account, amount, takenAt);
  }

  /** Gives back what was reserved and not used: the call is over. */
  settle(holding: Holding): void {
    for (const account of holding.accounts) this.#settle(account);
    for (const { accounts } of holding.models) for (const account of accounts) this.#settle(account);
  }

  /**
   * Tells each limit of a call that its client is to know of, with what is left: its tenant's, its caller's, and those of the model that
   * it named last. Not the organisation's: what other tenants use is none of its business.
   */
  tell({ limits, caller, models }: Holding, now: number, listener: LimitListener): void {
    for (const limit of [...limits.calls, ...limits.callers, ...limits.metered])
      if (limit.config.level !== 'organisation')
        this.#tell(limit, this.#keyOf(limit, caller), undefined, now, listener);
    const last = models.at(-1);
    if (last === undefined) return;
    for (const { limit, key } of limits.ofModel(last.model, last.version, this.#makeKey))
      if (limit.config.level !== 'organisation')
        this.#tell(limit, key ?? this.#keyOf(limit, caller), last.model, now, listener);
  }

  #tell(limit: Limit, key: CellKey | undefined, model: string | undefined, now: number, listener: LimitListener): void {
    const word = this.#word(limit, key, now);
    const left = Math.floor(limit.meter.left(word, now) / stepsOf(limit.unit));
    listener(limit.config, model, left, limit.meter.renews(word, now));
  }

  /** Gives back all that a call took of windows and totals, but for bytes, which have passed. */
  refundAll(holding: Holding): void {
    this.refund(holding);
    for (const { calls, takenAt } of holding.models)
      for (const { limit, key } of calls) this.#giveBackCall(limit, key, takenAt);
    for (const account of accountsOf(holding, holding.models))
      if (account.limit.unit !== 'requestBytes' && account.limit.unit !== 'responseBytes' && account.taken > 0)
        this.#giveBackTo(account, account.taken, account.firstAt);
  }

  /** Gives back what the headers of a call took that was refused before anything of it went on. Rates are not given back. */
  refund({ limits, caller, takenAt }: Holding): void {
    for (const limit of limits.calls) this.#giveBackCall(limit, undefined, takenAt);
    for (const limit of limits.callers) this.#giveBackCall(limit, this.#keyOf(limit, caller), takenAt);
  }

  /** Has the journal say what is about to be taken of all that were just looked at. Returns why it cannot, if so. */
  promise(): Unwritten | undefined {
    const { journal } = this.#cells;
    if (journal === undefined) return undefined;
    for (let at = 0; at < this.#looked; at++) {
      const [limit, word, sum] = [this.#limits[at], this.#words[at], this.#sums[at]];
      if (limit === undefined || word === undefined || sum === undefined) continue;
      const promised = limit.meter.promise(word, sum);
      if (promised === undefined) continue;
      const { high, low, set } = this.#cells.keyIn(word);
      const own = this.#cells.isOwn(limit.region, word);
      const written = journal.append({ ...limit.owner, high, low, set, kind: limit.meter.kind, own, ...promised });
      if (!written.ok) return { unwritten: written.error };
      limit.meter.promised(word, promised.amount);
    }
    return undefined;
  }

  /** Looks at a limit, and notes what is to be taken from it. */
  #look(
    limit: Limit,
    key: CellKey | undefined,
    amount: number,
    now: number,
    exhausted: Exhausted[] | undefined,
  ): Exhausted[] | undefined {
    const word = this.#word(limit, key, now);
    const at = this.#looked++;
    let sum = amount;
    if (key !== undefined)
      for (let before = 0; before < at; before++) if (this.#words[before] === word) sum += this.#amounts[before] ?? 0;
    this.#limits[at] = limit;
    this.#words[at] = word;
    this.#amounts[at] = amount;
    this.#sums[at] = sum;
    return amount === 0 ? exhausted : lookAt(limit, word, sum, now, exhausted);
  }

  /** Looks at what these accounts have not taken before of what is demanded. */
  #claim(
    accounts: readonly Account[],
    demands: readonly Demand[],
    now: number,
    claims: Claim[],
    before: Exhausted[] | undefined,
  ): Exhausted[] | undefined {
    let exhausted = before;
    for (const account of accounts)
      for (const { unit, use, reserve, whenModel } of demands) {
        if (unit !== account.limit.unit || (whenModel === true && !account.limit.byModel)) continue;
        const amount = Math.max(0, use + reserve - account.ahead);
        claims.push({ account, use, at: this.#looked });
        exhausted = this.#look(account.limit, account.key, amount, now, exhausted);
      }
    return exhausted;
  }

  #takeFor(claims: readonly Claim[], now: number): void {
    for (const { account, use, at } of claims) {
      const amount = this.#amounts[at] ?? 0;
      // What was taken first is used first: then all that is left was taken now.
      if (use >= account.ahead) account.aheadAt = now;
      account.ahead += amount - use;
      if (amount === 0) continue;
      account.limit.meter.take(this.#words[at] ?? 0, amount, now);
      if (account.taken === 0) account.firstAt = now;
      account.taken += amount;
    }
  }

  /** What the call has not been charged for of these models. */
  #freshModels(holding: Holding, targets: readonly Target[], now: number): readonly NamedModel[] {
    const { limits, caller } = holding;
    if (limits.byModel.length === 0) return NO_MODELS;
    const fresh: NamedModel[] = [];
    for (const { model, version } of targets) {
      if (isNamed(holding, { model, version }) || isNamed({ models: fresh }, { model, version })) continue;
      const accounts: Account[] = [];
      const calls: { limit: Limit; key: CellKey | undefined }[] = [];
      for (const { limit, key } of limits.ofModel(model, version, this.#makeKey)) {
        const mine = key ?? this.#keyOf(limit, caller);
        // A limit may count several models together: then they have one account, and the call counts once.
        if (limit.unit !== 'calls')
          accounts.push(
            found(holding.models, 'accounts', limit, mine) ??
              found(fresh, 'accounts', limit, mine) ??
              accountOf(limit, mine),
          );
        else if (
          found(holding.models, 'calls', limit, mine) === undefined &&
          found(fresh, 'calls', limit, mine) === undefined
        )
          calls.push({ limit, key: mine });
      }
      fresh.push({ model, version, accounts, calls, takenAt: now });
    }
    return fresh;
  }

  #remember({ models }: Holding, model: NamedModel): void {
    const oldest = models.length >= MAX_REMEMBERED_MODELS ? models.shift() : undefined;
    for (const account of oldest?.accounts ?? NO_ACCOUNTS) this.#settle(account);
    models.push(model);
  }

  #settle(account: Account): void {
    if (account.ahead > 0) this.#giveBackTo(account, account.ahead, account.aheadAt);
    account.ahead = 0;
  }

  #giveBackTo(account: Account, amount: number, takenAt: number): void {
    const { limit, key } = account;
    limit.meter.giveBack(this.#word(limit, key, takenAt), amount, takenAt);
    account.taken -= amount;
  }

  /** What is in progress is counted out when the call ends. */
  #giveBackCall(limit: Limit, key: CellKey | undefined, takenAt: number): void {
    if (limit.meter.kind !== CONCURRENCY) limit.meter.giveBack(this.#word(limit, key, takenAt), ONE, takenAt);
  }

  /** Whoever finds no cell shares the limit's own. */
  #word(limit: Limit, key: CellKey | undefined, now: number): number {
    const word = key === undefined ? -1 : this.#cells.subject(limit.region, key, limit.meter.kind, now);
    if (word !== -1) return word;
    return this.#cells.own(limit.region, limit.key, limit.meter.kind, this.#ownKeys.get(limit.region) ?? []);
  }

  /** The key of whoever has the limit to itself, where that is known by the headers; undefined: the limit's own. */
  #keyOf(limit: Limit, caller: CallerKey): CellKey | undefined {
    if (limit.config.level !== 'caller') return undefined;
    let keys = this.#callers.get(caller);
    if (keys === undefined) this.#callers.set(caller, (keys = new Map()));
    let key = keys.get(limit);
    if (key === undefined) keys.set(limit, (key = this.#makeKey(limit, caller.id)));
    return key;
  }

  readonly #makeKey = (limit: Limit, subject: string): CellKey => this.#cells.keyOf(limit.salt, limit.id, subject);
}

/** How the regions' owners are named in keys and in the journal. */
export function tenantOwner(id: string): string {
  return `tenant ${id}`;
}

export function organisationOwner(name: string): string {
  return `organisation ${name}`;
}

const NO_ACCOUNTS: readonly Account[] = [];
const NO_MODELS: readonly NamedModel[] = [];

function takeCall({ meter }: Limit, word: number, now: number, counts: Holding['counts']): void {
  meter.take(word, ONE, now);
  if (meter.kind === CONCURRENCY) counts.push([meter, word]);
}

/** What is to be taken for an account, as it was looked at. */
interface Claim {
  readonly account: Account;
  readonly use: number;
  readonly at: number;
}

/** What these models have already of a limit and a subject. */
function found<K extends 'accounts' | 'calls'>(
  models: readonly NamedModel[],
  kind: K,
  limit: Limit,
  key: CellKey | undefined,
): NamedModel[K][number] | undefined {
  for (const model of models)
    for (const one of model[kind])
      if (one.limit === limit && one.key?.high === key?.high && one.key?.low === key?.low) return one;
  return undefined;
}

/** Of what a call has named, and names now, what a message is about. */
function namedOf({ models }: Holding, targets: readonly Target[], fresh: readonly NamedModel[]): readonly NamedModel[] {
  if (models.length === 0) return fresh;
  return [...models.filter((one) => isNamed({ models: targets }, one)), ...fresh];
}

/** Those of the headers and of these models, each once. */
function accountsOf({ accounts }: Holding, models: readonly NamedModel[]): readonly Account[] {
  const [only] = models;
  if (only === undefined) return accounts;
  if (models.length === 1) return accounts.length === 0 ? only.accounts : [...accounts, ...only.accounts];
  const all = [...accounts];
  for (const model of models) for (const account of model.accounts) if (!all.includes(account)) all.push(account);
  return all;
}
