/**
 * One sidecar for one row of the matrix under one configuration, and few connections, over which every method is called.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import type { FakeUpstream } from '../../fakes/fake-upstream.ts';
import { generationOf, InProcessSidecar } from '../../fakes/in-process-sidecar.ts';
import { type Access, RawGrpcClient } from '../../fakes/raw-grpc-client.ts';
import { type Actors, roleOfAll } from './actors.ts';
import type { Attempt, Tenants } from './check.ts';
import type { MatrixMethod, ModelServer } from './methods.ts';

/** Method's full name → `0`, `7 MODEL_ACCESS_DENIED`, or `no connection`. */
export type Outcomes = Readonly<Record<string, string>>;

export class MatrixGround {
  readonly upstream: FakeUpstream;
  readonly #sidecar: InProcessSidecar;
  readonly #actors: Actors;
  readonly #connections = new Map<string, Promise<RawGrpcClient | undefined>>();

  private constructor(upstream: FakeUpstream, sidecar: InProcessSidecar, actors: Actors) {
    this.upstream = upstream;
    this.#sidecar = sidecar;
    this.#actors = actors;
  }

  static async start(
    actors: Actors,
    upstream: FakeUpstream,
    { tenants, server }: { readonly tenants: Tenants; readonly server: ModelServer },
  ): Promise<MatrixGround> {
    const whole = (name: 'acme' | 'globex', changes: Partial<TenantConfig>): TenantConfig => ({
      ...actors[name].config,
      ...server.config,
      upstream: upstream.config,
      roles: [roleOfAll('all')],
      bindings: [{ role: 'all', subjects: ['*'], keys: ['*'], certificates: ['*'], source: `${name}.yaml:2` }],
      ...changes,
      digest: `${actors[name].config.digest}-${JSON.stringify(changes)}`,
    });
    const globex = tenants.globex === undefined ? [] : [whole('globex', tenants.globex)];
    const generation = generationOf([whole('acme', tenants.acme), ...globex]);
    return new MatrixGround(upstream, await InProcessSidecar.start(generation), actors);
  }

  /** Calls each method once: all at once, or one after the other. */
  async callAll(
    methods: readonly MatrixMethod[],
    attemptOf: (method: MatrixMethod) => Attempt,
    order: 'at once' | 'in turn' = 'at once',
  ): Promise<Outcomes> {
    const outcomes: Record<string, string> = {};
    const one = async (method: MatrixMethod): Promise<void> => {
      outcomes[method.fullName] = await this.call(method, attemptOf(method));
    };
    if (order === 'at once') await Promise.all(methods.map(one));
    else for (const method of methods) await one(method);
    return outcomes;
  }

  async call(method: MatrixMethod, attempt: Attempt): Promise<string> {
    const client = await this.#connection(attempt.access ?? {});
    if (client === undefined) return 'no connection';
    const { status, reason } = await client.call(`/${method.fullName}`, {
      headers: attempt.headers ?? {},
      chunks: [method.request(attempt.model ?? 'allowed', attempt.version ?? '')],
    });
    // A connection that was refused after the client had shaken hands, in TLS 1.3: its calls were never looked at.
    if (status === -1) return 'no connection';
    return `${status} ${reason}`.trim();
  }

  /** A connection is made once for each way of making it. Calls may follow before the server has looked at the certificate. */
  #connection(changes: Partial<Access>): Promise<RawGrpcClient | undefined> {
    const { pki } = this.#actors.acme;
    const access: Access = {
      port: this.#sidecar.port,
      serverName: pki.serverName,
      caPem: pki.ca.certPem,
      certPem: this.#actors.alice.certPem,
      keyPem: this.#actors.alice.keyPem,
      ...changes,
    };
    const name = JSON.stringify(access);
    const known = this.#connections.get(name);
    if (known !== undefined) return known;
    const made = RawGrpcClient.connect({ ...access, hasty: true }).catch(() => undefined);
    this.#connections.set(name, made);
    return made;
  }

  /** A connection that attempts of this access will be made over; it has been let in. */
  async connected(access: Partial<Access>): Promise<void> {
    const client = await this.#connection(access);
    if (client === undefined) throw new Error('no connection');
    await new Promise<void>((resolve, reject) => {
      client.session.ping((error) => (error === null ? resolve() : reject(error)));
    });
  }

  /** So much later it is for the sidecar. */
  advance(ms: number): void {
    this.#sidecar.advance(ms);
  }

  /** The refused calls on record: method → status, and where they went. */
  async deniedOnRecord(): Promise<Outcomes> {
    const denied = (await this.#sidecar.calls()).filter(({ outcome }) => outcome === 'denied');
    return Object.fromEntries(
      denied.map((record) => [record.method, `${record.grpcStatus} ${record.upstream}`.trim()]),
    );
  }

  /** Reasons of the refused connections on record, once there is one: the client may know of its end before the server does. */
  async refusalsOnRecord(): Promise<readonly string[]> {
    for (let round = 0; round < 200; round++) {
      const reasons = new Set((await this.#sidecar.refusals()).map(({ reason }) => reason));
      if (reasons.size > 0) return [...reasons];
      await delay(10);
    }
    return [];
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections.values()) (await connection)?.close();
    this.upstream.answer = undefined;
    await this.#sidecar.stop();
  }
}
