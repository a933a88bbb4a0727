/**
 * The load: loops that make one call after the other, each of a kind that its own random sequence picks, over lines that are renewed
 * when they end. Stops when told, and then every call has come to its end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { broken, cancelled, late, neverReader, overQuota, refused } from './disturbed-kinds.ts';
import type { Ground, TenantName } from './ground.ts';
import {
  type Caller,
  earlyEnd,
  halfClosed,
  type Kind,
  slowReader,
  streaming,
  unaryGzip,
  unaryLarge,
  unarySmall,
} from './kinds.ts';
import type { Ledger, Via } from './ledger.ts';
import type { Noise } from './letter.ts';
import { Line } from './line.ts';
import type { SeededRandom } from './random.ts';

/** Kinds with how often they come. */
type Mix = readonly (readonly [weight: number, kind: Kind])[];

const USUAL: Mix = [
  [40, unarySmall],
  [4, unaryLarge],
  [8, unaryGzip],
  [12, streaming],
  [5, halfClosed],
  [5, earlyEnd],
  [12, cancelled],
  [4, late],
  [2, slowReader],
  [1, neverReader],
];
const WITH_REFUSALS: Mix = [...USUAL, [4, refused]];
const FRUGAL: Mix = [[1, overQuota]];

interface LoopPlan {
  readonly tenant: TenantName;
  readonly via: Via;
  readonly mix: Mix;
  readonly loops: number;
  /** Lines that these loops share. */
  readonly lines: number;
}

const PLANS: readonly LoopPlan[] = [
  { tenant: 'acme', via: 'direct', mix: WITH_REFUSALS, loops: 8, lines: 3 },
  { tenant: 'globex', via: 'direct', mix: WITH_REFUSALS, loops: 8, lines: 3 },
  { tenant: 'initech', via: 'direct', mix: WITH_REFUSALS, loops: 4, lines: 2 },
  { tenant: 'initech', via: 'egress', mix: USUAL, loops: 8, lines: 3 },
  { tenant: 'frugal', via: 'direct', mix: FRUGAL, loops: 1, lines: 1 },
];
export const GUEST_PLAN: LoopPlan = { tenant: 'guest', via: 'direct', mix: USUAL, loops: 2, lines: 1 };

/** Of each response, one for each of a plan's lines: the usual one, a small one, a large one. */
const WINDOWS = [65_535, 4_096, 1_048_576];

/** Connections are opened for a call or two and closed again, or break. */
const CHURN: readonly { readonly tenant: TenantName; readonly via: Via }[] = [
  { tenant: 'acme', via: 'direct' },
  { tenant: 'globex', via: 'direct' },
  { tenant: 'initech', via: 'egress' },
];

export class Load {
  readonly #ground: Ground;
  readonly #ledger: Ledger;
  readonly #noise: Noise;
  readonly #random: SeededRandom;
  readonly #lines = new Set<Line>();
  #running = true;
  #loops: Promise<void>[] = [];
  /** Lines that were opened, in all. */
  opened = 0;

  constructor(ground: Ground, ledger: Ledger, noise: Noise, random: SeededRandom) {
    this.#ground = ground;
    this.#ledger = ledger;
    this.#noise = noise;
    this.#random = random;
  }

  start(): void {
    for (const plan of PLANS) this.#loops.push(...this.#startPlan(plan, () => this.#running));
    for (const [index, { tenant, via }] of CHURN.entries()) {
      const random = this.#random.fork(`churn ${index}`);
      this.#loops.push(this.#watched(this.#churn(tenant, via, random)));
    }
  }

  /** A further tenant's load, for as long as `goesOn`. Resolves when its calls have ended. */
  async visit(goesOn: () => boolean): Promise<void> {
    await Promise.all(this.#startPlan(GUEST_PLAN, () => this.#running && goesOn()));
  }

  /** Lets every loop finish its call, and closes the lines. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
    for (const line of this.#lines) {
      await line.settled();
      line.close();
    }
  }

  get openLines(): number {
    return [...this.#lines].filter((line) => !line.ended).length;
  }

  #startPlan(plan: LoopPlan, goesOn: () => boolean): Promise<void>[] {
    const { tenant, via, mix, loops, lines } = plan;
    const slots = WINDOWS.slice(0, lines).map((windowBytes): LineSlot => ({ line: undefined, windowBytes }));
    return Array.from({ length: loops }, (_, index) => {
      const random = this.#random.fork(`${tenant} ${via} ${index}`);
      return this.#watched(this.#loop({ tenant, via, mix, random, goesOn, slots }));
    });
  }

  async #loop(plan: {
    readonly tenant: TenantName;
    readonly via: Via;
    readonly mix: Mix;
    readonly random: SeededRandom;
    readonly slots: readonly LineSlot[];
    readonly goesOn: () => boolean;
  }): Promise<void> {
    const { tenant, via, mix, random, slots, goesOn } = plan;
    while (goesOn()) {
      const slot = slots[random.int(0, slots.length - 1)];
      const kind = kindOf(mix, random);
      const line = slot === undefined ? undefined : await this.#lineOf(slot, tenant, via, goesOn);
      if (line === undefined) continue;
      await kind(this.#caller(line, tenant, via, random));
      await sleep(random.int(0, 60));
    }
  }

  /** The slot's line, or a new one in its place. */
  async #lineOf(slot: LineSlot, tenant: TenantName, via: Via, goesOn: () => boolean): Promise<Line | undefined> {
    const known = slot.line;
    const line = known === undefined ? undefined : await known;
    if (line?.usable === true) return line;
    // Whoever sees first that it has ended opens the next for all.
    if (slot.line === known) slot.line = this.#open(tenant, via, goesOn, slot.windowBytes);
    return slot.line;
  }

  /** Opens a line. Undefined when there is none to be had: that is a violation, unless something was done to the system. */
  async #open(tenant: TenantName, via: Via, goesOn: () => boolean, windowBytes?: number): Promise<Line | undefined> {
    const from = Date.now();
    try {
      const line = await Line.connect(this.#ground.access(tenant, via), windowBytes);
      this.opened += 1;
      this.#lines.add(line);
      line.session.once('close', () => this.#lines.delete(line));
      return line;
    } catch (cause) {
      const felt = this.#ledger.disturbances.some(({ closedDoor, to }) => closedDoor && to >= from);
      if (!felt && goesOn())
        this.#ledger.violate(`no connection for ${tenant} (${via}): ${String((cause as Error).cause)}`);
      await sleep(100);
      return undefined;
    }
  }

  async #churn(tenant: TenantName, via: Via, random: SeededRandom): Promise<void> {
    const goesOn = (): boolean => this.#running;
    while (this.#running) {
      const line = await this.#open(tenant, via, goesOn);
      if (line !== undefined) {
        const caller = this.#caller(line, tenant, via, random);
        const what = random.next();
        if (what < 0.3) await broken(caller);
        else if (what < 0.9) await Promise.all([unarySmall(caller), unarySmall(caller)]);
        line.close();
      }
      await sleep(random.int(20, 400));
    }
  }

  #caller(line: Line, tenant: TenantName, via: Via, random: SeededRandom): Caller {
    const headers = this.#ground.credentials(tenant, random);
    const open = (windowBytes: number): Promise<Line | undefined> => this.#open(tenant, via, () => true, windowBytes);
    return { ledger: this.#ledger, noise: this.#noise, random, line, open, tenant, via, headers };
  }

  async #watched(loop: Promise<void>): Promise<void> {
    try {
      await loop;
    } catch (cause) {
      this.#ledger.violate(`the soak's own load failed: ${cause instanceof Error ? cause.stack : String(cause)}`);
    }
  }
}

interface LineSlot {
  readonly windowBytes: number;
  line: Promise<Line | undefined> | undefined;
}

function kindOf(mix: Mix, random: SeededRandom): Kind {
  let left = random.next() * mix.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, kind] of mix) {
    left -= weight;
    if (left < 0) return kind;
  }
  return unarySmall;
}
