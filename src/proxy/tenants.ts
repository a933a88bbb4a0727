/**
 * The tenants of this worker's current generation. A swap of generations is a swap of two maps; what a tenant's first
 * connection compiled is kept for as long as its configuration stays the same and it is in use.
 */
import { type CredentialDirectory, Directory } from '../authn/directory.ts';
import type { Generation, TenantConfig } from '../config/generation.ts';
import type { TenantId } from '../kernel/ids.ts';
import { type TenantResources, TenantRuntime } from './tenant-runtime.ts';

/** A tenant without a connection for so long is compiled anew when it comes back. */
const IDLE_SWEEP_MS = 300_000;

export class Tenants {
  readonly #resources: TenantResources;
  readonly #directory = new SwappableDirectory();
  #byServerName: ReadonlyMap<string, TenantConfig> = new Map();
  #byId: ReadonlyMap<TenantId, TenantConfig> = new Map();
  readonly #runtimes = new Map<TenantId, TenantRuntime>();
  #idleSince = new Map<TenantId, number>();
  readonly #sweep: NodeJS.Timeout;

  constructor(resources: Omit<TenantResources, 'directory'>) {
    this.#resources = { ...resources, directory: this.#directory };
    this.#sweep = setInterval(() => this.#dropIdle(), IDLE_SWEEP_MS / 5).unref();
  }

  /** Swaps in a generation. Returns the ids of tenants that are gone or whose clients must shake hands again. */
  apply(generation: Generation): readonly TenantId[] {
    const byServerName = new Map<string, TenantConfig>();
    const byId = new Map<TenantId, TenantConfig>();
    for (const tenant of generation.tenants) {
      byId.set(tenant.id, tenant);
      for (const name of tenant.serverNames) byServerName.set(name, tenant);
    }
    this.#byServerName = byServerName;
    this.#byId = byId;
    this.#directory.current = new Directory(generation.tenants);
    return this.#refresh();
  }

  /** The tenant that a server name (SNI) claims. */
  claimed(serverName: string): TenantConfig | undefined {
    return this.#byServerName.get(serverName.toLowerCase());
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

  close(): void {
    clearInterval(this.#sweep);
  }

  #refresh(): readonly TenantId[] {
    const reconnect: TenantId[] = [];
    for (const [id, runtime] of this.#runtimes) {
      const config = this.#byId.get(id);
      if (config === undefined) {
        this.#runtimes.delete(id);
        runtime.pool.drain();
        reconnect.push(id);
      } else if (config.digest !== runtime.config.digest) {
        this.#runtimes.set(id, new TenantRuntime(config, this.#resources, runtime));
        if (changesTrust(runtime.config, config)) reconnect.push(id);
      }
    }
    return reconnect;
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
        runtime.pool.drain();
      }
    }
    this.#idleSince = idleSince;
  }
}

/** A peer that was let in by another CA, name or trust domain proves itself again. */
function changesTrust(before: TenantConfig, after: TenantConfig): boolean {
  return (
    before.clientCaPem !== after.clientCaPem ||
    before.trustDomain !== after.trustDomain ||
    before.serverNames.join() !== after.serverNames.join()
  );
}

/** Authenticators outlive a generation when their own tenant did not change; whose issuer is whose may have. */
class SwappableDirectory implements CredentialDirectory {
  current: CredentialDirectory = new Directory([]);

  tenantsOfIssuer(issuer: string): readonly TenantId[] {
    return this.current.tenantsOfIssuer(issuer);
  }

  tenantOfKey(keyId: string): TenantId | undefined {
    return this.current.tenantOfKey(keyId);
  }
}
