/**
 * Model servers that hold each call until the test lets it be answered, one for each tenant, with one list of what they hold: so a test
 * sees in which order calls get their turn.
 */
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { eventually } from './hostile-ground.ts';
import { RawUpstream, type RawUpstreamConnection } from './raw-upstream.ts';

interface HeldCall {
  readonly tenant: string;
  readonly connection: RawUpstreamConnection;
  readonly stream: number;
}

export class HeldCalls {
  /** Those that have come and are neither answered nor reset. */
  readonly held: HeldCall[] = [];
  /** Whose calls have come, in their order. */
  readonly came: string[] = [];
  readonly #upstreams = new Map<string, RawUpstream>();

  static async start(tenants: readonly string[]): Promise<HeldCalls> {
    const calls = new HeldCalls();
    for (const tenant of tenants) {
      const upstream = await RawUpstream.start();
      upstream.script = (connection, stream) => {
        calls.came.push(tenant);
        calls.held.push({ tenant, connection, stream });
      };
      calls.#upstreams.set(tenant, upstream);
    }
    return calls;
  }

  config(tenant: string): TenantConfig['upstream'] {
    const upstream = this.#upstreams.get(tenant);
    if (upstream === undefined) throw new Error(`no model server of ${tenant}`);
    return upstream.config();
  }

  /** Waits until so many are held. */
  async holds(count: number): Promise<void> {
    await eventually(`${count} calls at the model server`, () => this.held.length === count);
  }

  /** Answers the one that came first. */
  answer(): void {
    const first = this.held.shift();
    first?.connection.answer(first.stream);
  }

  async stop(): Promise<void> {
    for (const upstream of this.#upstreams.values()) await upstream.stop();
  }
}
