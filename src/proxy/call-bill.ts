/**
 * What one call costs beside itself, where limits count that: bytes are paid for before they go on, what a message's content says
 * when it has been read, tokens and the model server's time while the call runs. A call that nothing but calls are counted of has none.
 */
import { Glob } from '../authz/glob.ts';
import { DEFAULT_COMPUTE, type QuotaConfig } from '../config/quota-config.ts';
import type { HeaderBlock } from '../http2/contract.ts';
import { ELEMENTS_SLOT, MEASURE_SLOTS } from '../inspection/measured-fields.ts';
import type { MessageToll, RequestedModels } from '../inspection/message-inspector.ts';
import type { Consumption } from '../kernel/consumption.ts';
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { Measures } from '../protobuf/measures.ts';
import type { ByteToll } from '../quota/byte-toll.ts';
import type { Demand } from '../quota/holding.ts';
import type { MeteredUnit } from '../quota/limit.ts';
import { ComputeClock } from './compute-clock.ts';
import type { Deadlines } from './deadlines.ts';
import type { Gates } from './gates.ts';
import type { Admission } from './pipeline.ts';
import { ResponseToll } from './response-toll.ts';
import { TokenBill } from './token-bill.ts';

/** The call. */
export interface BillOwner {
  readonly deadlines: Deadlines;
  now(): EpochMicros;
  /** Notes that a limit had no room. Returns the denial. */
  unpaid(denial: Denial): Denial;
  /** What was paid for the model server's time is used up. */
  exhausted(denial: Denial): void;
}

export class CallBill {
  /** Where the request's messages pay; undefined: nowhere. */
  readonly requestToll: MessageToll | undefined;
  readonly responseToll: ResponseToll | undefined;
  /** The response's messages are read, which must not be compressed then. */
  readonly readsResponse: boolean;
  readonly #gates: Gates;
  readonly #admission: Admission;
  readonly #owner: BillOwner;
  readonly #units: ReadonlySet<MeteredUnit>;
  readonly #quota: QuotaConfig;
  readonly #requestBytes: ByteToll | undefined;
  readonly #measures: Measures | undefined;
  readonly #tokens: TokenBill | undefined;
  readonly #compute: ComputeClock | undefined;
  #elements = 0;
  #begun = false;

  /** undefined: no limit counts anything but the call. */
  static of(gates: Gates, admission: Admission, quota: QuotaConfig, owner: BillOwner): CallBill | undefined {
    const units = gates.units(admission.lease);
    return units === undefined ? undefined : new CallBill(gates, admission, quota, owner, units);
  }

  private constructor(
    gates: Gates,
    admission: Admission,
    quota: QuotaConfig,
    owner: BillOwner,
    units: ReadonlySet<MeteredUnit>,
  ) {
    const { lease, method } = admission;
    this.#gates = gates;
    this.#admission = admission;
    this.#owner = owner;
    this.#units = units;
    this.#quota = quota;
    this.#tokens = TokenBill.of(units, method, quota.tokens, {
      pay: (demands) => this.#pay(demands),
      overdraw: (demands) => gates.overdraw(lease, demands, owner.now()),
    });
    this.#compute = units.has('computeSeconds') ? this.#clock() : undefined;
    const measured = units.has('tensorElements') || this.#tokens?.readsRequest === true;
    this.#measures = measured ? new Measures(MEASURE_SLOTS) : undefined;
    const request = gates.toll(lease, 'requestBytes');
    this.#requestBytes = request;
    if (request !== undefined || this.#measures !== undefined)
      this.requestToll = { pay: request === undefined ? free : payer(request, owner), measures: this.#measures };
    const response = gates.toll(lease, 'responseBytes');
    const reading = this.#tokens?.reading();
    this.readsResponse = reading !== undefined;
    if (response !== undefined || reading !== undefined)
      this.responseToll = new ResponseToll(response, response && { pay: payer(response, owner) }, reading);
  }

  /** What a request's message costs that was read. */
  message({ bytes = 0, model, further }: RequestedModels): readonly Demand[] {
    const demands: Demand[] = [];
    if (this.#units.has('requestBytes'))
      demands.push({ unit: 'requestBytes', use: bytes, reserve: 0, whenModel: true });
    const elements = this.#measures?.value(ELEMENTS_SLOT) ?? 0;
    if (elements > 0 && this.#units.has('tensorElements'))
      demands.push({ unit: 'tensorElements', use: elements, reserve: 0 });
    if (this.#tokens !== undefined) demands.push(...this.#tokens.demands(this.#measures));
    if (this.#compute !== undefined) demands.push(this.#compute.demand(this.#weightOf([{ model }, ...further])));
    return demands;
  }

  /** The message has been permitted, and has paid these. */
  permitted(demands: readonly Demand[], { model, further }: RequestedModels): void {
    this.#begun = true;
    for (const { unit, use } of demands) if (unit === 'tensorElements') this.#elements += use;
    this.#tokens?.began(demands);
    this.#compute?.begin(this.#weightOf([{ model }, ...further]));
  }

  /** Headers or trailers of the response. */
  metadata(block: HeaderBlock): void {
    this.#tokens?.metadata(block);
  }

  /** The model server has no more part in the call. */
  upstreamEnded(): void {
    const demand = this.#compute?.stop();
    if (demand !== undefined) this.#gates.overdraw(this.#admission.lease, [demand], this.#owner.now());
  }

  get consumed(): Consumption {
    const { inputTokens = 0, outputTokens = 0 } = this.#tokens?.used ?? {};
    return {
      tensorElements: this.#elements,
      inputTokens,
      outputTokens,
      computeMicros: Math.round(this.#compute?.micros ?? 0),
    };
  }

  /**
   * The call is over, and so many bytes of its last request message have not come. `failed`: by its model server. What is reserved goes back with the lease, which is to be settled after this.
   */
  settle(missingBytes: number, failed: boolean): void {
    this.#requestBytes?.settle(missingBytes);
    this.responseToll?.settle();
    this.upstreamEnded();
    if (this.#begun) this.#tokens?.settle(failed);
  }

  #clock(): ComputeClock {
    const { deadlines } = this.#owner;
    const { estimateMs } = this.#quota.compute ?? DEFAULT_COMPUTE;
    return new ComputeClock({
      estimateMs,
      deadlines,
      now: () => this.#owner.now(),
      pay: (demands) => this.#gates.pay(this.#admission.lease, demands, this.#owner.now()),
      exhausted: (denial) => this.#owner.exhausted(this.#owner.unpaid(denial)),
    });
  }

  #pay(demands: readonly Demand[]): Denial | undefined {
    const denial = this.#gates.pay(this.#admission.lease, demands, this.#owner.now());
    return denial === undefined ? undefined : this.#owner.unpaid(denial);
  }

  /** Of the heaviest. */
  #weightOf(targets: readonly { readonly model: string }[]): number {
    const { weights } = this.#quota.compute ?? DEFAULT_COMPUTE;
    if (weights.length === 0) return 1;
    return Math.max(...targets.map(({ model }) => weights.find((one) => fits(one.models, model))?.weight ?? 1));
  }
}

function fits(patterns: readonly string[], model: string): boolean {
  return patterns.some((pattern) => new Glob(pattern).matches(model));
}

function free(): undefined {
  return undefined;
}

function payer(toll: ByteToll, owner: BillOwner): MessageToll['pay'] {
  return (bytes) => {
    const denial = toll.pay(bytes, owner.now());
    return denial === undefined ? undefined : owner.unpaid(denial);
  };
}
