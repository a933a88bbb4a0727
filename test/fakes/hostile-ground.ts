/**
 * The ground on which attacks are tried: a sidecar with two tenants of the same shape, a model server for each, clients that
 * send anything, and the books, which must balance when the attack is over.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { CallRecord } from '../../src/audit/record.ts';
import type { SegmentFiles } from '../../src/audit/segment-files.ts';
import type { Generation, LimitsConfig, ListenerConfig } from '../../src/config/generation.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import type { DocumentFetch } from '../../src/fetching/document-fetch.ts';
import type { ConnectionLimits } from '../../src/http2/limits.ts';
import { INFERENCE_SERVICE } from '../../src/inspection/inference-methods.ts';
import { tenantUsage } from '../../src/quota/shared-state.ts';
import { FakeUpstream } from './fake-upstream.ts';
import { generationOf, InProcessSidecar } from './in-process-sidecar.ts';
import { type Access, field, frame, RawGrpcClient } from './raw-grpc-client.ts';
import type { Claims } from './tokens.ts';
import { type FakeTenant, fakeTenant } from './trust.ts';

export const INFER = `/${INFERENCE_SERVICE}/ModelInfer`;
export const STREAM_INFER = `/${INFERENCE_SERVICE}/ModelStreamInfer`;
/** The model that every caller may use, and the only one. */
export const PERMITTED = 'digits';

/** A request that names a model, framed. */
export function inferRequest(model = PERMITTED): Buffer {
  return frame(field(1, model));
}

/** What the caller of a tenant may do by default: everything, with one model. */
export function openTo(tenant: FakeTenant, changes: Partial<TenantConfig> = {}): TenantConfig {
  return {
    ...tenant.config,
    roles: [
      {
        name: 'all',
        methods: [`${INFERENCE_SERVICE}/*`],
        models: [PERMITTED],
        versions: ['*'],
        source: 'tenant.yaml:1',
      },
    ],
    bindings: [{ role: 'all', subjects: ['*'], keys: ['*'], certificates: ['*'], source: 'tenant.yaml:2' }],
    ...changes,
    digest: `${tenant.config.digest}-${JSON.stringify(changes)}`,
  };
}

/** Claims of a token that is good now. */
export function fresh(claims: Claims = {}): Claims {
  const now = Math.floor(Date.now() / 1000);
  return { iat: now - 10, exp: now + 3600, ...claims };
}

export interface GroundOptions {
  readonly acme?: Partial<TenantConfig>;
  readonly globex?: Partial<TenantConfig>;
  readonly limits?: Partial<LimitsConfig>;
  readonly audit?: Partial<Generation['audit']>;
  readonly listener?: Partial<ListenerConfig>;
  readonly files?: SegmentFiles;
  readonly connectionLimits?: Partial<ConnectionLimits>;
  readonly fetch?: DocumentFetch;
}

export class HostileGround {
  readonly acme: FakeTenant;
  readonly globex: FakeTenant;
  readonly upstream: FakeUpstream;
  readonly sidecar: InProcessSidecar;
  readonly #options: GroundOptions;
  readonly #clients: RawGrpcClient[] = [];

  private constructor(
    options: GroundOptions,
    tenants: readonly [FakeTenant, FakeTenant],
    upstream: FakeUpstream,
    sidecar: InProcessSidecar,
  ) {
    this.#options = options;
    [this.acme, this.globex] = tenants;
    this.upstream = upstream;
    this.sidecar = sidecar;
  }

  static async start(options: GroundOptions = {}): Promise<HostileGround> {
    const upstream = await FakeUpstream.start();
    const acme = fakeTenant('acme');
    const globex = fakeTenant('globex');
    const generation = groundGeneration(options, [acme, globex], upstream);
    const sidecar = await InProcessSidecar.start(generation, options.files, options.connectionLimits, options.fetch);
    return new HostileGround(options, [acme, globex], upstream, sidecar);
  }

  /** The configuration as it began, with these changes. */
  generation(options: GroundOptions = {}): Generation {
    return groundGeneration({ ...this.#options, ...options }, [this.acme, this.globex], this.upstream);
  }

  access(tenant: FakeTenant, changes: Partial<Access> = {}): Access {
    return {
      port: this.sidecar.port,
      serverName: tenant.pki.serverName,
      caPem: tenant.pki.ca.certPem,
      certPem: tenant.pki.client.certPem,
      keyPem: tenant.pki.client.keyPem,
      ...changes,
    };
  }

  async client(tenant: FakeTenant = this.acme, changes: Partial<Access> = {}): Promise<RawGrpcClient> {
    const client = await RawGrpcClient.connect(this.access(tenant, changes));
    this.#clients.push(client);
    return client;
  }

  /** What a tenant holds: the books balance when both are 0. */
  usage(slot: 0 | 1): { readonly callsInProgress: number; readonly bytesInFlight: number } {
    return tenantUsage(this.sidecar.shared, slot);
  }

  /** Waits until nobody holds anything, and says what is still held when that does not come. */
  async balanced(): Promise<readonly ReturnType<HostileGround['usage']>[]> {
    const books = (): ReturnType<HostileGround['usage']>[] => [this.usage(0), this.usage(1)];
    for (let round = 0; round < 200; round++) {
      const idle = books().every(({ callsInProgress, bytesInFlight }) => callsInProgress === 0 && bytesInFlight === 0);
      if (idle && this.sidecar.listener.calls === 0) break;
      await delay(10);
    }
    return books();
  }

  /** The records of acme's calls once there are so many. */
  async records(count: number): Promise<readonly CallRecord[]> {
    for (let round = 0; round < 200; round++) {
      const records = await this.sidecar.calls();
      if (records.length >= count) return records;
      await delay(10);
    }
    return this.sidecar.calls();
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.sidecar.stop();
    await this.upstream.stop();
  }
}

/** Books of two tenants that hold nothing. */
export const BALANCED = [
  { callsInProgress: 0, bytesInFlight: 0 },
  { callsInProgress: 0, bytesInFlight: 0 },
];

/** Waits until a condition holds, at most two seconds. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  for (let round = 0; round < 400; round++) {
    if (condition()) return;
    await delay(5);
  }
  throw new Error(`did not happen: ${what}`);
}

function groundGeneration(
  { acme, globex, limits, audit, listener }: GroundOptions,
  [first, second]: readonly [FakeTenant, FakeTenant],
  upstream: FakeUpstream,
): Generation {
  const generation = generationOf(
    [openTo(first, { upstream: upstream.config, ...acme }), openTo(second, { upstream: upstream.config, ...globex })],
    limits,
  );
  return {
    ...generation,
    audit: { ...generation.audit, ...audit },
    listener: generation.listener && { ...generation.listener, ...listener },
  };
}
