/**
 * Several sidecars of one tenant that share a store: the tenant's limits are the fleet's, and clients call each as fast as it answers.
 */
import type { InferenceClient } from '../../../src/demo/inference-client.ts';
import { ModelUpstream } from './model-upstream.ts';
import { Sidecar } from './sidecar.ts';
import { tenantClient } from './tenant-client.ts';

export interface FleetSetup {
  readonly sidecars: number;
  /** The `fleet` section. */
  readonly fleet: Readonly<Record<string, unknown>>;
  readonly limits: readonly Readonly<Record<string, unknown>>[];
}

export class Fleet {
  readonly sidecars: readonly Sidecar[];
  readonly #upstream: ModelUpstream;
  readonly #clients: readonly InferenceClient[];

  private constructor(upstream: ModelUpstream, sidecars: readonly Sidecar[]) {
    this.#upstream = upstream;
    this.sidecars = sidecars;
    this.#clients = sidecars.map((sidecar) => tenantClient(sidecar, 'acme'));
  }

  static async start({ sidecars, fleet, limits }: FleetSetup): Promise<Fleet> {
    const upstream = await ModelUpstream.start();
    const setup = {
      tenants: [{ id: 'acme', upstream: upstream.address, extra: { quota: { limits } } }],
      extra: { fleet, workers: 1 },
    };
    const started = await Promise.all(Array.from({ length: sidecars }, () => Sidecar.start(setup)));
    return new Fleet(upstream, started);
  }

  /** One call of a sidecar. */
  async call(sidecar: number): Promise<string> {
    const client = this.#clients[sidecar];
    if (client === undefined) throw new Error('no such sidecar');
    return (await client.infer({ modelName: 'digits', id: 'delay:0', inputs: [] })).code;
  }

  /** Calls the sidecars (all, unless some are named) side by side until `isOver`. Returns how many each has granted. */
  async load(isOver: (granted: number) => boolean, which?: readonly number[], loops = 4): Promise<readonly number[]> {
    const granted = this.sidecars.map(() => 0);
    const sum = (): number => granted.reduce((one, other) => one + other, 0);
    await Promise.all(
      (which ?? this.sidecars.map((_, index) => index)).flatMap((sidecar) =>
        Array.from({ length: loops }, async () => {
          while (!isOver(sum())) {
            const code = await this.call(sidecar);
            if (code === 'OK') granted[sidecar] = (granted[sidecar] ?? 0) + 1;
            else if (code === 'RESOURCE_EXHAUSTED' || code === 'UNAVAILABLE')
              await new Promise((resolve) => setTimeout(resolve, 10));
            else throw new Error(`a call ended with ${code}`);
          }
        }),
      ),
    );
    return granted;
  }

  /** Calls until nobody has been granted anything for so long. */
  async exhaust(quietMs: number, which?: readonly number[]): Promise<readonly number[]> {
    let last = performance.now();
    let before = 0;
    return this.load((granted) => {
      if (granted !== before) {
        before = granted;
        last = performance.now();
      }
      return performance.now() - last > quietMs;
    }, which);
  }

  /** A number of a sidecar's metrics. */
  async metric(sidecar: number, name: string): Promise<number> {
    const { text } = (await this.sidecars[sidecar]?.admin('/metrics')) ?? { text: '' };
    const line = text.split('\n').find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`));
    return line === undefined ? Number.NaN : Number(line.slice(line.lastIndexOf(' ') + 1));
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(this.sidecars.map((sidecar) => sidecar.stop()));
    this.#upstream.stop();
  }
}

export const SIDECARS = 3;
export const AMOUNT = 3_000;
export const SHARE = 0.1;
/** What a sidecar may have in hand: use of half a second, which no sidecar here gets over, or a 64th. */
export const SLICE = AMOUNT / 8;
/** What is granted by all while the store is away, or does not know what it knew: each its share, or what it has used already. */
export const WITHOUT_STORE = SIDECARS * Math.floor(SHARE * AMOUNT);

/** Three sidecars on a store; `limit` is what they count, `more` further keys of `fleet`. */
export function fleetOn(
  addresses: readonly string[],
  limit: Readonly<Record<string, unknown>> = { calls: AMOUNT, window: 'total' },
  more: Readonly<Record<string, unknown>> = {},
): Promise<Fleet> {
  return Fleet.start({
    sidecars: SIDECARS,
    fleet: { redis: { addresses }, lease: '2s', timeout: '200ms', localShare: `${SHARE * 100}%`, ...more },
    limits: [{ name: 'contract', scope: 'fleet', ...limit }],
  });
}

export function sum(counts: readonly number[]): number {
  return counts.reduce((one, other) => one + other, 0);
}
