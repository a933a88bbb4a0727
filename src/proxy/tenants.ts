/**
 * The tenants of this worker's current generation. A change of generations costs what it changes; what a tenant's first
 * connection compiled is kept for as long as its configuration stays the same and it is in use.
 */
import type { X509Certificate } from 'node:crypto';
import { Directory } from '../authn/directory.ts';
import type { Generation, LimitsConfig } from '../config/generation.ts';
import type { StoredTenant } from '../config/stored-tenant.ts';
import type { TenantId } from '../kernel/ids.ts';
import { HealthProbes } from './health-probes.ts';
import { type Found, SharedTenants } from './shared-tenants.ts';
import { type TenantResources, TenantRuntime, trustedCas } from './tenant-runtime.ts';
import { TurnQueue } from './turn-queue.ts';

/** A tenant without a connection for so long is compiled anew when it comes back. */
const IDLE_SWEEP_MS = 300_000;

export class Tenants {
  /** Who asks their model servers how they are. */
  readonly probes: HealthProbes;
  /** Where their calls wait for their turn. */
  readonly turnQueue: TurnQueue;
  #resources: TenantResources;
  /** Authenticators look into it for as long as they live, also when their own tenant does not change. */
  readonly #directory = new Directory([]);
  readonly #byServerName = new Map<string, StoredTenant>();
  /** Whose clients are known by their certificates. */
  readonly #shared = new SharedTenants();
  readonly #byId = new Map<TenantId, StoredTenant>();
  readonly #runtimes = new Map<TenantId, TenantRuntime>();
  #idleSince = new Map<TenantId, number>();
  readonly #sweep: NodeJS.Timeout;

  constructor(resources: Omit<TenantResources, 'directory' | 'probes' | 'turnQueue'>) {
    this.probes = new HealthProbes(resources);
    this.turnQueue = new TurnQueue(resources.tables, () => resources.turn.now());
    const { probes, turnQueue } = this;
    this.#resources = { ...resources, directory: this.#directory, probes, turnQueue };
    this.#sweep = setInterval(() => this.#dropIdle(), IDLE_SWEEP_MS / 5).unref();
  }

  /** Swaps in a whole generation; returns what `change` does. */
  apply({ tenants }: Pick<Generation, 'tenants'>): readonly TenantId[] {
    const ids = new Set(tenants.map((tenant) => tenant.id));
    const removed = [...this.#byId.keys()].filter((id) => !ids.has(id));
    return this.change(tenants, removed);
  }

  /**
   * Swaps in tenants that are new or different, and takes out others. Returns the ids of tenants that are gone or whose
   * clients must be looked at again.
   */
  change(tenants: readonly StoredTenant[], removed: readonly TenantId[]): readonly TenantId[] {
    // Out with all of the old before the new comes in: a name or a key may have gone from one tenant to another.
    for (const id of removed) this.#takeOut(id);
    for (const { id } of tenants) this.#takeOut(id);
    for (const tenant of tenants) this.#putIn(tenant);
    const retrust: TenantId[] = [];
    for (const id of removed) if (this.#dismiss(id)) retrust.push(id);
    for (const tenant of tenants) if (this.#renew(tenant)) retrust.push(tenant.id);
    return retrust;
  }

  /** Other limits: connections to model servers are made anew if they would be others. */
  setLimits(limits: LimitsConfig): void {
    const before = this.#resources.limits;
    this.#resources = { ...this.#resources, limits };
    const isSame =
      limits.streamWindowBytes === before.streamWindowBytes &&
      limits.connectionWindowBytes === before.connectionWindowBytes &&
      limits.maxHeaderListBytes === before.maxHeaderListBytes;
    if (isSame) return;
    for (const [id, runtime] of this.#runtimes) {
      this.#runtimes.set(id, new TenantRuntime(runtime.config, this.#resources, runtime));
    }
  }

  /** A tenant as it is configured now. */
  config(id: TenantId): StoredTenant | undefined {
    return this.#byId.get(id);
  }

  /** The tenant that a server name (SNI) claims. */
  claimed(serverName: string): StoredTenant | undefined {
    return this.#byServerName.get(serverName.toLowerCase());
  }

  /** The tenant whose client a certificate says to be. */
  found(certificate: X509Certificate): Found {
    return this.#shared.find(certificate);
  }

  /** The CAs of a tenant's clients, without compiling a tenant for who is nobody's client yet. */
  clientCas(tenant: StoredTenant): readonly X509Certificate[] {
    return this.#runtimes.get(tenant.id)?.clientCas ?? trustedCas(tenant.clientCaPem);
  }

  /** The tenant as compiled now, or undefined when it is no longer configured. */
  runtime(id: TenantId): TenantRuntime | undefined {
    const known = this.#runtimes.get(id);
    if (known !== undefined) return known;
    const config = this.#byId.get(id);
    if (config === undefined) return undefined;
    const runtime = new TenantRuntime(config, this.#resources, undefined);
    this.#runtimes.set(id, runtime);
    return runtime;
  }

  /** All that are compiled. */
  active(): IterableIterator<TenantRuntime> {
    return this.#runtimes.values();
  }

  /** Has those in these slots give back the memory that they can do without. */
  trim(slots: ReadonlySet<number>): void {
    for (const runtime of this.#runtimes.values()) if (slots.has(runtime.config.slot)) runtime.trim();
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  #takeOut(id: TenantId): void {
    const tenant = this.#byId.get(id);
    if (tenant === undefined) return;
    this.#byId.delete(id);
    for (const name of tenant.serverNames) this.#byServerName.delete(name);
    this.#shared.leave(tenant);
    this.#directory.leave(tenant);
  }

  #putIn(tenant: StoredTenant): void {
    this.#byId.set(tenant.id, tenant);
    for (const name of tenant.serverNames) this.#byServerName.set(name, tenant);
    this.#shared.enter(tenant);
    this.#directory.enter(tenant);
  }

  /** Ends what a removed tenant had compiled, and says whether there was anything. */
  #dismiss(id: TenantId): boolean {
    const runtime = this.#runtimes.get(id);
    if (runtime === undefined) return false;
    this.#runtimes.delete(id);
    runtime.retire();
    return true;
  }

  /** Compiles a tenant anew if it is in use, and says whether its clients must be looked at again. */
  #renew(config: StoredTenant): boolean {
    const runtime = this.#runtimes.get(config.id);
    if (runtime === undefined || config.digest === runtime.config.digest) return false;
    this.#runtimes.set(config.id, new TenantRuntime(config, this.#resources, runtime));
    return changesTrust(runtime.config, config);
  }

  #dropIdle(): void {
    const now = performance.now();
    const idleSince = new Map<TenantId, number>();
    for (const [id, runtime] of this.#runtimes) {
      if (runtime.occupancy.connections > 0) continue;
      const since = this.#idleSince.get(id) ?? now;
      if (now - since < IDLE_SWEEP_MS) idleSince.set(id, since);
      else {
        this.#runtimes.delete(id);
        runtime.retire();
      }
    }
    this.#idleSince = idleSince;
  }
}

/** A peer that was let in by another CA, name or trust domain must be one by these, too. */
function changesTrust(before: StoredTenant, after: StoredTenant): boolean {
  return (
    before.clientCaPem !== after.clientCaPem ||
    before.trustDomain !== after.trustDomain ||
    before.sharesCertificate !== after.sharesCertificate ||
    JSON.stringify(before.identifiedBy) !== JSON.stringify(after.identifiedBy) ||
    before.serverNames.join() !== after.serverNames.join()
  );
}
