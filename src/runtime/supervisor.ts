/**
 * The main thread: loads and watches the configuration, starts and replaces the data-plane threads, serves the admin port,
 * runs the telemetry thread, and drains everything when it is told to stop. No call passes through it.
 */
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { AuditLog } from '../audit/log.ts';
import type { Finding } from '../config/finding.ts';
import { DEFAULT_USAGE, type Generation } from '../config/generation.ts';
import { ConfigurationLoader } from '../config/load.ts';
import { MAX_ORGANISATIONS } from '../config/schema-quota.ts';
import { ConfigurationWatcher } from '../config/watch.ts';
import { DocumentFetcher } from '../fetching/document-fetch.ts';
import { systemClock } from '../kernel/clock.ts';
import { letHeapsGrow, settleHeap } from '../kernel/heap.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { journalDirectory } from '../quota/limit-journal.ts';
import { LimitStore } from '../quota/limit-store.ts';
import { capacityFor, createSharedState, type SharedState, workerCapacityFor } from '../quota/shared-state.ts';
import { MetricsRegistry } from '../telemetry/metrics.ts';
import { totalsOf } from '../telemetry/usage-metrics.ts';
import { UsageKeeper } from '../usage/usage-keeper.ts';
import { AdminPort } from './admin-port.ts';
import { adminState } from './admin-state.ts';
import { areSame, logWarnings } from './configuration-warnings.ts';
import { FetchedLists } from './fetched-lists.ts';
import { FleetHandle } from './fleet-handle.ts';
import { HealthBoard, type HealthChange } from './health-board.ts';
import { KeyUseFile } from './key-use-file.ts';
import { type ChangeProblem, enforceable, prepareChange, whatDoesNotFit } from './live-change.ts';
import { loadWithWorkload } from './load-with-workload.ts';
import { withReplayMemory } from './replay-memory.ts';
import { StatusDesk } from './status-desk.ts';
import { TelemetryHandle } from './telemetry-handle.ts';
import { settleSlots } from './tenant-slots.ts';
import { WorkerPool } from './worker-pool.ts';
import { Workload } from './workload.ts';

export interface SupervisorOptions {
  readonly mainFile: string;
  readonly version: string;
  readonly log: Logger;
}

/** What a start needs beyond the time its calls may take. */
const TELEMETRY_DRAIN_MS = 5_000;
/** What was used of quotas is on disk after so long. */
const LIMITS_EVERY_MS = 1_000;
/** What was written since is added to the usage; a small audit log that is full waits so long for room. */
const USAGE_EVERY_MS = 250;
/** Readiness is asked of what the workers last told: that is not older than this. */
const COLLECT_EVERY_MS = 2_000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #loader: ConfigurationLoader;
  readonly metrics = new MetricsRegistry();
  readonly health = new HealthBoard({
    changed: (change) => this.#healthChanged(change),
    moreChanged: (count) => this.#options.log.warn({ count }, 'further model servers have changed their health'),
  });
  #generation: Generation;
  #findings: readonly Finding[] = [];
  #warnings: readonly Finding[] = [];
  readonly #shared: SharedState;
  /** What quotas have used, on disk; undefined: nobody calls in, or it cannot be opened. */
  readonly #limits: LimitStore | undefined;
  #limitTick: NodeJS.Timeout | undefined;
  readonly #audit: AuditLog;
  readonly #pool: WorkerPool;
  readonly #admin: AdminPort;
  readonly #documents: DocumentFetcher;
  /** What OCSP responders say of clients' certificates. */
  readonly #statusDesk: StatusDesk;
  /** Revocation lists from URLs. */
  readonly #fetchedLists: FetchedLists;
  readonly #telemetry: TelemetryHandle;
  /** Limits that hold over several sidecars. */
  readonly fleet: FleetHandle;
  /** What the SPIFFE Workload API gives. */
  readonly workload: Workload;
  /** When API keys were last used. */
  readonly keyUses: KeyUseFile;
  /** What each tenant has used. */
  readonly usage: UsageKeeper;
  #usageTick: NodeJS.Timeout | undefined;
  #usageSentAt = Number.NEGATIVE_INFINITY;
  #watcher: ConfigurationWatcher | undefined;
  #collector: NodeJS.Timeout | undefined;
  #draining = false;
  #reloading: Promise<void> = Promise.resolve();

  /** Loads the configuration; nothing is started before it is whole. */
  static async create(options: SupervisorOptions): Promise<Result<Supervisor, readonly Finding[]>> {
    letHeapsGrow();
    const workload = new Workload(options.log);
    const loader = new ConfigurationLoader({ workload });
    const loaded = await loadWithWorkload(loader, workload, options.mainFile, undefined);
    if (loaded.ok) return ok(new Supervisor(options, loader, workload, loaded.value));
    workload.close();
    return err(loaded.error);
  }

  private constructor(options: SupervisorOptions, loader: ConfigurationLoader, workload: Workload, loaded: Generation) {
    const generation = withReplayMemory(undefined, loaded);
    this.#options = options;
    this.#loader = loader;
    this.workload = workload;
    this.#generation = generation;
    this.metrics.setTenants(tenantsOf(generation));
    this.#limits = openLimitStore(generation, options.log);
    this.#shared = createSharedState({
      tenantSlots: capacityFor(generation.tenants.length),
      workers: workerCapacityFor(generation.workers),
      organisationSlots: 2 * MAX_ORGANISATIONS,
      ...(this.#limits === undefined ? {} : { salt: this.#limits.salt }),
      ...(generation.fleet === undefined ? {} : { fleet: generation.fleet }),
    });
    this.fleet = new FleetHandle({
      shared: this.#shared,
      log: options.log,
      metrics: this.metrics,
      event: (event, detail) => this.#event(event, detail),
    });
    const lost = this.#limits?.restore(this.#shared, generation, systemClock.now()) ?? 0;
    if (lost > 0) options.log.warn({ cells: lost }, 'there was no room for what some quotas had used; they begin anew');
    this.#audit = new AuditLog({
      ...generation.audit,
      writer: 'main',
      onBlocked: (why) => options.log.error({ why }, 'the audit log cannot be written'),
      onUnblocked: () => options.log.info('the audit log can be written again'),
    });
    this.keyUses = new KeyUseFile({
      directory: generation.audit.directory,
      nowMs: Date.now,
      failed: (why) => options.log.warn({ why }, 'when API keys were last used cannot be read or written'),
    });
    this.usage = new UsageKeeper({
      auditDirectory: generation.audit.directory,
      config: () => this.#generation.usage ?? DEFAULT_USAGE,
      now: () => systemClock.now(),
      warn: (what) => options.log.warn({ what }, 'usage is not as it should be'),
    });
    this.#pool = new WorkerPool(generation, this.#shared, {
      died: (index, cause, restartInMs, left) => this.#workerDied(index, cause, restartInMs, left),
      retired: (index, cutCalls, left) => {
        this.health.forget(index);
        this.#event('worker_retired', `worker-${index}: ${cutCalls} calls cut at the drain limit`);
        options.log.info({ worker: index, cutCalls, ...left }, 'a worker has drained and is gone');
      },
      asked: (question) => this.#statusDesk.ask(question),
      metrics: (index, message, dropped) => {
        const writer = `worker-${index}`;
        this.metrics.merge(writer, message.delta);
        this.health.hear(index, message.health);
        this.keyUses.note(message.keyUses);
        if (dropped > 0) this.metrics.count('bulkhead_audit_lost_records_total', { writer }, dropped);
      },
    });
    this.#documents = new DocumentFetcher(generation.fetching?.allowAddresses);
    this.#fetchedLists = new FetchedLists({
      fetch: this.#documents.fetch,
      random: Math.random,
      nowMs: Date.now,
      changed: (tenant, lists) => this.#pool.setLists(tenant, lists),
      failed: (tenant, url, why) => {
        this.metrics.count('bulkhead_revocation_list_failures_total', { tenant });
        options.log.warn({ tenant, url, why }, 'a revocation list cannot be had; the one before is used until it ends');
      },
    });
    this.#statusDesk = new StatusDesk({
      fetch: this.#documents.fetch,
      nowMs: Date.now,
      answered: (tenant, id, status) => this.#pool.tellStatus(tenant, id, status),
      heard: (tenant, answer) => this.metrics.count('bulkhead_ocsp_answers_total', { tenant, answer }),
      failed: (tenant, why) =>
        options.log.warn({ tenant, why }, 'an OCSP responder does not say what a client’s certificate is worth'),
    });
    this.#telemetry = new TelemetryHandle(generation, {
      serviceVersion: options.version,
      instanceId: `${hostname()}-${process.pid}`,
      log: options.log,
    });
    const onError = (cause: unknown): void => options.log.error({ err: cause }, 'an admin request failed');
    this.#admin = new AdminPort({ state: adminState(this), onError }, generation.admin);
  }

  get version(): string {
    return this.#options.version;
  }

  get generation(): Generation {
    return this.#generation;
  }

  /** What was wrong with the last change, if it was refused. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  /** What can be run in the present configuration, and can hardly be meant. */
  get warnings(): readonly Finding[] {
    return this.#warnings;
  }

  /** Whose names may stand in metrics. */
  get tenantNames(): readonly string[] {
    return tenantsOf(this.#generation);
  }

  get pool(): WorkerPool {
    return this.#pool;
  }

  get shared(): SharedState {
    return this.#shared;
  }

  get telemetry(): TelemetryHandle {
    return this.#telemetry;
  }

  /** The tenants' port, when there is one. */
  get port(): number | undefined {
    return this.#pool.port;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Starts everything; resolves when calls are served. */
  async start(): Promise<{ readonly port: number | undefined; readonly adminPort: number }> {
    this.#event('start', `version ${this.#options.version}, configuration ${this.#generation.digest}`);
    this.#warn();
    this.#telemetry.start();
    this.#fetchedLists.apply(this.#generation.tenants);
    this.#statusDesk.apply(this.#generation.tenants);
    await this.fleet.start(this.#generation);
    await this.#pool.start();
    const adminPort = await this.#admin.start();
    this.#limitTick = setInterval(() => this.#tickLimits(), LIMITS_EVERY_MS).unref();
    this.#usageTick = setInterval(() => void this.usage.tick().then(() => this.#sendUsage()), USAGE_EVERY_MS).unref();
    this.#collector = setInterval(() => {
      void this.#pool.collect(COLLECT_EVERY_MS);
      void this.keyUses.write(this.#generation.tenants);
    }, COLLECT_EVERY_MS).unref();
    this.#watcher = new ConfigurationWatcher(
      this.#options.mainFile,
      (suspects) => void this.reload('a change on disk', suspects),
    );
    this.#watcher.watch(this.#loader.files);
    this.#followWorkload();
    settleHeap();
    return { port: this.#pool.port, adminPort };
  }

  /**
   * Loads the configuration again: what may have changed (`suspects`), or everything. A change that is not whole is refused, and the
   * last good generation stays.
   */
  reload(why: string, suspects?: ReadonlySet<string>): Promise<void> {
    this.#reloading = this.#reloading
      .then(() => this.#reload(why, suspects))
      .catch((cause: unknown) => {
        // Whatever went wrong, the next change gets its turn.
        this.metrics.count('bulkhead_config_reload_failures_total');
        this.#options.log.error({ why, err: cause }, 'the changed configuration could not be applied');
      });
    return this.#reloading;
  }

  /** What has come since it was loaded may be another already. */
  #followWorkload(): void {
    const why = 'a change of the SPIFFE Workload API';
    this.workload.listen({
      changed: (names) => void this.reload(why, names),
      refused: (stream) => this.metrics.count('bulkhead_workload_api_refused_total', { stream }),
    });
    if (this.workload.names.size > 0) void this.reload(why, this.workload.names);
  }

  async #reload(why: string, suspects: ReadonlySet<string> | undefined): Promise<void> {
    const { log, mainFile } = this.#options;
    if (this.#draining) return;
    // Whoever has everything looked at wants it anew, too.
    if (suspects === undefined) this.workload.retry();
    const loaded = await loadWithWorkload(this.#loader, this.workload, mainFile, this.#generation, suspects);
    this.#watcher?.watch(this.#loader.files, this.#loader.touched);
    if (!loaded.ok) return this.#refuse(why, loaded.error);
    this.#findings = [];
    const before = this.#generation;
    if (loaded.value.digest === before.digest) return;
    const { generation: after, waiting } = enforceable(before, loaded.value);
    const misfit = whatDoesNotFit(this.#shared, after);
    if (misfit !== undefined) return this.#refuse(why, [this.#finding(misfit)]);
    const parts = { pool: this.#pool, admin: this.#admin, telemetry: this.#telemetry };
    const change = await prepareChange(parts, before, after);
    if (this.#isDraining()) return;
    if (!change.ok) return this.#refuse(why, [this.#finding(change.error)]);
    const next = withReplayMemory(before, settleSlots(this.#shared, before, after));
    this.#limits?.welcome(before, next, systemClock.now());
    this.metrics.setTenants(tenantsOf(next));
    await this.fleet.apply(next);
    await change.value.make(next);
    // Not before: what the admin port calls the present generation is in use by every worker.
    this.#generation = next;
    this.#documents.allow(next.fetching?.allowAddresses ?? []);
    this.#fetchedLists.apply(next.tenants);
    this.#statusDesk.apply(next.tenants);
    log.level = next.log.level;
    this.#warn();
    this.metrics.count('bulkhead_config_reloads_total');
    this.#event('configuration_applied', `generation ${next.number}, ${next.digest}`);
    const { number, tenants, workers } = next;
    log.info(
      { why, generation: number, tenants: tenants.length, workers, port: this.port, adminPort: this.#admin.bound.port },
      'the changed configuration is applied',
    );
    if (waiting.length > 0) log.warn({ settings: waiting }, 'these settings take effect at the next start');
  }

  /** Takes over the warnings of the generation that has just been loaded, and says them once: certificates rotate by the minute. */
  #warn(): void {
    const before = this.#warnings;
    this.#warnings = this.#loader.warnings;
    if (!areSame(before, this.#warnings)) logWarnings(this.#warnings, this.#options.log);
  }

  #refuse(why: string, findings: readonly Finding[]): void {
    this.#findings = findings;
    this.metrics.count('bulkhead_config_reload_failures_total');
    this.#event('configuration_refused', findings.map(textOf).join('; '));
    this.#options.log.error(
      { why, generation: this.#generation.number, findings },
      'the changed configuration is refused; the last good one stays',
    );
  }

  /** What is right as it is written, and cannot be done now. */
  #finding(problem: ChangeProblem): Finding {
    return { file: this.#options.mainFile, line: 0, column: 0, severity: 'error', ...problem };
  }

  /** As a question: it may change while a change is awaited. */
  #isDraining(): boolean {
    return this.#draining;
  }

  /** Stops: no new connections, running calls end up to the limit, the last records and spans leave. */
  async stop(signal: string): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const { log } = this.#options;
    const { drainTimeoutMs } = this.#generation.shutdown;
    log.info({ signal, drainTimeoutMs }, 'draining');
    this.#watcher?.close();
    this.workload.close();
    this.#fetchedLists.close();
    clearInterval(this.#collector);
    clearInterval(this.#limitTick);
    // While calls end, room in the audit log may still have to be made.
    const cut = await this.#pool.drain(drainTimeoutMs);
    await this.keyUses.write(this.#generation.tenants, true);
    await this.fleet.stop();
    this.#closeLimits();
    this.#event('stop', `${signal}, ${cut} calls cut at the drain limit`);
    this.#audit.close();
    clearInterval(this.#usageTick);
    await this.usage.close();
    this.#sendUsage(true);
    const undelivered = await this.#telemetry.drain(TELEMETRY_DRAIN_MS);
    await this.#admin.close();
    log.info({ cutCalls: cut, undeliveredAuditBytes: undelivered }, 'stopped');
  }

  /** As metrics, when it is time, and at the end. */
  #sendUsage(now = false): void {
    const { usageIntervalMs } = this.#generation.telemetry;
    const { totals } = this.usage;
    if (usageIntervalMs === undefined || totals === undefined) return;
    const at = performance.now();
    if (!now && at - this.#usageSentAt < usageIntervalMs) return;
    this.#usageSentAt = at;
    this.#telemetry.sendUsage({
      sinceMicros: this.usage.sinceMicros,
      atMicros: systemClock.now(),
      tenants: totalsOf(totals, this.tenantNames),
    });
  }

  #tickLimits(): void {
    this.#limits
      ?.tick(this.#generation, systemClock.now())
      .catch((cause: unknown) => this.#options.log.error({ err: cause }, 'the journal of quotas cannot be kept'));
  }

  #closeLimits(): void {
    try {
      this.#limits?.close(this.#generation, systemClock.now());
    } catch (cause) {
      // What was written ahead is there, and counts.
      this.#options.log.error({ err: cause }, 'what quotas have used could not be written exactly');
    }
  }

  /** Of calls that ran in a thread that died nobody is left to write a record: how many they were is on this one. */
  #workerDied(
    index: number,
    cause: Error | undefined,
    restartInMs: number | undefined,
    left: { readonly calls: number },
  ): void {
    if (restartInMs !== undefined) this.metrics.count('bulkhead_worker_restarts_total');
    this.health.forget(index);
    this.#event('worker_died', `worker-${index}: ${cause?.message ?? 'ended'}, calls in progress: ${left.calls}`);
    this.#options.log.error(
      { worker: index, err: cause, restartInMs },
      `a worker died; its connections are lost, ${restartInMs === undefined ? 'it was leaving anyhow' : 'it is replaced'}`,
    );
  }

  /** That a server is well at first, or is not asked any more, is no news. */
  #healthChanged({ upstream, service, before, now }: HealthChange): void {
    const { log } = this.#options;
    const about = service === '' ? upstream : `${upstream}, ${service}`;
    if (now.at === 'unhealthy') {
      this.#event('upstream_unhealthy', `${about}: ${now.why}`);
      log.warn({ upstream, service, why: now.why }, 'a model server is unhealthy; calls to it are refused');
    } else if (now.at === 'no_service') {
      this.#event('upstream_without_health_service', about);
      log.warn({ upstream, service }, 'a model server has no health service; it counts as healthy');
    } else if (now.at === 'healthy' && before !== 'unknown') {
      this.#event('upstream_healthy', about);
      log.info({ upstream, service }, 'a model server is healthy; calls pass');
    }
  }

  #event(event: string, detail: string): void {
    this.#audit.append({ type: 'event', at: systemClock.now(), event, detail: detail.slice(0, 4096) });
    this.#audit.flush();
  }
}

/** Without a store nothing is restored, and workers that cannot write refuse what would have to be kept. */
function openLimitStore({ listener, audit }: Generation, log: Logger): LimitStore | undefined {
  if (listener === undefined) return undefined;
  try {
    return LimitStore.open(journalDirectory(audit.directory));
  } catch (cause) {
    log.error({ err: cause }, 'what quotas have used cannot be read');
    return undefined;
  }
}

/** Whose names may stand in metrics. */
function tenantsOf({ tenants, egress }: Generation): readonly string[] {
  return [...new Set([...tenants.map(({ id }) => id), ...egress.map(({ tenant }) => tenant)])];
}

function textOf({ file, line, path, message }: Finding): string {
  return line === 0 ? `${file} ${path} ${message}` : `${file}:${line} ${message}`;
}
