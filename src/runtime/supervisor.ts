/**
 * The main thread: loads and watches the configuration, starts and replaces the data-plane threads, serves the admin port,
 * runs the telemetry thread, and drains everything when it is told to stop. No call passes through it.
 */
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { AdminServer } from '../admin/server.ts';
import { AuditLog } from '../audit/log.ts';
import type { Finding } from '../config/finding.ts';
import type { Generation } from '../config/generation.ts';
import { ConfigurationLoader } from '../config/load.ts';
import { ConfigurationWatcher } from '../config/watch.ts';
import { systemClock } from '../kernel/clock.ts';
import { letHeapsGrow, settleHeap } from '../kernel/heap.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { capacityFor, createSharedState, type SharedState } from '../quota/shared-state.ts';
import { MetricsRegistry } from '../telemetry/metrics.ts';
import { adminState } from './admin-state.ts';
import { TelemetryHandle } from './telemetry-handle.ts';
import { settleSlots } from './tenant-slots.ts';
import { WorkerPool } from './worker-pool.ts';

export interface SupervisorOptions {
  readonly mainFile: string;
  readonly version: string;
  readonly log: Logger;
}

/** What a start needs beyond the time its calls may take. */
const TELEMETRY_DRAIN_MS = 5_000;
/** Readiness is asked of what the workers last told: that is not older than this. */
const COLLECT_EVERY_MS = 2_000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #loader: ConfigurationLoader;
  readonly metrics = new MetricsRegistry();
  #generation: Generation;
  #findings: readonly Finding[] = [];
  readonly #shared: SharedState;
  readonly #audit: AuditLog;
  readonly #pool: WorkerPool;
  readonly #admin: AdminServer;
  readonly #telemetry: TelemetryHandle;
  #watcher: ConfigurationWatcher | undefined;
  #collector: NodeJS.Timeout | undefined;
  #draining = false;
  #reloading: Promise<void> = Promise.resolve();
  #port: number | undefined;

  /** Loads the configuration; nothing is started before it is whole. */
  static async create(options: SupervisorOptions): Promise<Result<Supervisor, readonly Finding[]>> {
    letHeapsGrow();
    const loader = new ConfigurationLoader();
    const loaded = await loader.load(options.mainFile, undefined);
    return loaded.ok ? ok(new Supervisor(options, loader, loaded.value)) : err(loaded.error);
  }

  private constructor(options: SupervisorOptions, loader: ConfigurationLoader, generation: Generation) {
    this.#options = options;
    this.#loader = loader;
    this.#generation = generation;
    this.metrics.setTenants(tenantsOf(generation));
    this.#shared = createSharedState({
      tenantSlots: capacityFor(generation.tenants.length),
      workers: generation.workers,
    });
    this.#audit = new AuditLog({
      ...generation.audit,
      writer: 'main',
      onBlocked: (why) => options.log.error({ why }, 'the audit log cannot be written'),
      onUnblocked: () => options.log.info('the audit log can be written again'),
    });
    this.#pool = new WorkerPool(generation, this.#shared, {
      died: (index, cause, restartInMs) => this.#workerDied(index, cause, restartInMs),
      metrics: (index, message, dropped) => {
        const writer = `worker-${index}`;
        this.metrics.merge(writer, message.delta);
        if (dropped > 0) this.metrics.count('bulkhead_audit_lost_records_total', { writer }, dropped);
      },
    });
    this.#telemetry = new TelemetryHandle(generation, {
      serviceVersion: options.version,
      instanceId: `${hostname()}-${process.pid}`,
      log: options.log,
    });
    this.#admin = new AdminServer({
      ...generation.admin,
      state: adminState(this),
      onError: (cause) => options.log.error({ err: cause }, 'an admin request failed'),
    });
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
    return this.#port;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Starts everything; resolves when calls are served. */
  async start(): Promise<{ readonly port: number | undefined; readonly adminPort: number }> {
    this.#event('start', `version ${this.#options.version}, configuration ${this.#generation.digest}`);
    this.#telemetry.start();
    this.#port = await this.#pool.start();
    const admin = await this.#admin.start();
    this.#collector = setInterval(() => void this.#pool.collect(COLLECT_EVERY_MS), COLLECT_EVERY_MS).unref();
    this.#watcher = new ConfigurationWatcher(this.#options.mainFile, () => void this.reload('a change on disk'));
    this.#watcher.watch(this.#loader.files);
    settleHeap();
    return { port: this.#port, adminPort: admin.port };
  }

  /** Loads the configuration again. A change that is not whole is refused, and the last good generation stays. */
  reload(why: string): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload(why));
    return this.#reloading;
  }

  async #reload(why: string): Promise<void> {
    const { log } = this.#options;
    if (this.#draining) return;
    const loaded = await this.#loader.load(this.#options.mainFile, this.#generation);
    this.#watcher?.watch(this.#loader.files);
    if (!loaded.ok) {
      this.#findings = loaded.error;
      this.metrics.count('bulkhead_config_reload_failures_total');
      this.#event(
        'configuration_refused',
        loaded.error.map((finding) => `${finding.file}:${finding.line} ${finding.message}`).join('; '),
      );
      log.error(
        { why, generation: this.#generation.number, findings: loaded.error },
        'the changed configuration is refused; the last good one stays',
      );
      return;
    }
    this.#findings = [];
    if (loaded.value.digest === this.#generation.digest) return;
    if (loaded.value.tenants.some((tenant) => tenant.slot >= this.#shared.tenantSlots)) {
      this.metrics.count('bulkhead_config_reload_failures_total');
      this.#event(
        'configuration_refused',
        `more tenants than the ${this.#shared.tenantSlots} that this process has room for`,
      );
      log.error({ why, slots: this.#shared.tenantSlots }, 'more tenants than this process has room for; restart it');
      return;
    }
    const restart = needsRestart(this.#generation, loaded.value);
    const next = settleSlots(this.#shared, this.#generation, loaded.value);
    this.#generation = next;
    this.metrics.setTenants(tenantsOf(next));
    await this.#pool.apply(next);
    this.metrics.count('bulkhead_config_reloads_total');
    this.#event('configuration_applied', `generation ${loaded.value.number}, ${loaded.value.digest}`);
    log.info(
      { why, generation: loaded.value.number, tenants: loaded.value.tenants.length },
      'the changed configuration is applied',
    );
    if (restart.length > 0) log.warn({ settings: restart }, 'these settings take effect at the next start');
  }

  /** Stops: no new connections, running calls end up to the limit, the last records and spans leave. */
  async stop(signal: string): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const { log } = this.#options;
    const { drainTimeoutMs } = this.#generation.shutdown;
    log.info({ signal, drainTimeoutMs }, 'draining');
    this.#watcher?.close();
    clearInterval(this.#collector);
    const cut = await this.#pool.drain(drainTimeoutMs);
    this.#event('stop', `${signal}, ${cut} calls cut at the drain limit`);
    this.#audit.close();
    const undelivered = await this.#telemetry.drain(TELEMETRY_DRAIN_MS);
    await this.#admin.close();
    log.info({ cutCalls: cut, undeliveredAuditBytes: undelivered }, 'stopped');
  }

  #workerDied(index: number, cause: Error | undefined, restartInMs: number): void {
    this.metrics.count('bulkhead_worker_restarts_total');
    this.#event('worker_died', `worker-${index}: ${cause?.message ?? 'ended'}`);
    this.#options.log.error(
      { worker: index, err: cause, restartInMs },
      'a worker died; its connections are lost, it is replaced',
    );
  }

  #event(event: string, detail: string): void {
    this.#audit.append({ type: 'event', at: systemClock.now(), event, detail: detail.slice(0, 4096) });
    this.#audit.flush();
  }
}

/** Whose names may stand in metrics. */
function tenantsOf({ tenants, egress }: Generation): readonly string[] {
  return [...new Set([...tenants.map(({ id }) => id), ...egress.map(({ tenant }) => tenant)])];
}

/** Settings that a running process cannot change: they are applied at its next start, and said so. */
function needsRestart(before: Generation, after: Generation): readonly string[] {
  const settings = ['listener', 'admin', 'workers', 'audit', 'telemetry'] as const;
  return settings.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
}
