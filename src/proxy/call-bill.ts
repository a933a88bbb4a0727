/**
 * What one call costs beside itself, where limits count that: bytes are paid for before they go on, what a message's content says
 * when it has been read. A call that nothing but calls are counted of has none.
 */
import { ELEMENTS_SLOT, MEASURE_SLOTS } from '../inspection/measured-fields.ts';
import type { MessageToll } from '../inspection/message-inspector.ts';
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { Measures } from '../protobuf/measures.ts';
import type { ByteToll } from '../quota/byte-toll.ts';
import type { Demand } from '../quota/holding.ts';
import type { MeteredUnit } from '../quota/limit.ts';
import type { Lease } from '../quota/quota-gate.ts';
import type { Gates } from './gates.ts';
import { ResponseToll } from './response-toll.ts';

/** The call. */
export interface BillOwner {
  now(): EpochMicros;
  /** Notes that a limit had no room. Returns the denial. */
  unpaid(denial: Denial): Denial;
}

export class CallBill {
  /** Where the request's messages pay; undefined: nowhere. */
  readonly requestToll: MessageToll | undefined;
  readonly responseToll: ResponseToll | undefined;
  readonly #units: ReadonlySet<MeteredUnit>;
  readonly #requestBytes: ByteToll | undefined;
  readonly #measures: Measures | undefined;

  /** undefined: no limit counts anything but the call. */
  static of(gates: Gates, lease: Lease, owner: BillOwner): CallBill | undefined {
    const units = gates.units(lease);
    return units === undefined ? undefined : new CallBill(gates, lease, owner, units);
  }

  private constructor(gates: Gates, lease: Lease, owner: BillOwner, units: ReadonlySet<MeteredUnit>) {
    this.#units = units;
    this.#measures = units.has('tensorElements') ? new Measures(MEASURE_SLOTS) : undefined;
    const request = gates.toll(lease, 'requestBytes');
    this.#requestBytes = request;
    if (request !== undefined || this.#measures !== undefined)
      this.requestToll = { pay: request === undefined ? free : payer(request, owner), measures: this.#measures };
    const response = gates.toll(lease, 'responseBytes');
    if (response !== undefined) this.responseToll = new ResponseToll(response, { pay: payer(response, owner) });
  }

  /** What a request's message costs that was read. */
  message({ bytes = 0 }: { readonly bytes?: number }): readonly Demand[] {
    const demands: Demand[] = [];
    if (this.#units.has('requestBytes'))
      demands.push({ unit: 'requestBytes', use: bytes, reserve: 0, whenModel: true });
    const elements = this.#measures?.value(ELEMENTS_SLOT) ?? 0;
    if (elements > 0) demands.push({ unit: 'tensorElements', use: elements, reserve: 0 });
    return demands;
  }

  /** The call is over, and so many bytes of its last request message have not come. */
  settle(missingBytes: number): void {
    this.#requestBytes?.settle(missingBytes);
    this.responseToll?.settle();
  }
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
