/**
 * Every call that the soak has made, what it was allowed to come to, and what it came to. Judged when it ends, and again when the
 * audit logs are read.
 */
export type Via = 'direct' | 'egress';

/** How a call ended, as its client saw it. */
export type CallEnd =
  | { readonly kind: 'status'; readonly status: number }
  /** The stream was reset by the other side. */
  | { readonly kind: 'reset'; readonly code: number }
  /** The client's own doing. */
  | { readonly kind: 'cancelled' }
  /** Its connection ended under it. */
  | { readonly kind: 'connection' }
  /** Its connection took no more calls, as it had been told not to: it never left the client. */
  | { readonly kind: 'unsent' }
  /** It had no end within the time that it may take. */
  | { readonly kind: 'hung' };

export interface SoakCall {
  readonly id: number;
  readonly kind: string;
  readonly tenant: string;
  readonly via: Via;
  readonly traceId: string;
  readonly startedAt: number;
  /** Statuses that the call itself asks for. */
  readonly allowed: readonly number[];
  /** It may be cut by a reset with one of these codes. */
  readonly allowedResets: readonly number[];
  /** It may be cancelled, or cut with its connection, by its own client. */
  readonly selfCut: 'no' | 'stream' | 'connection';
  endedAt: number;
  end: CallEnd | undefined;
  /** Its HEADERS may have been taken back before they left. */
  mayBeUnsent: boolean;
  sawHeaders: boolean;
  sawTrailers: boolean;
  /** DATA octets, prefixes included. */
  sentBytes: number;
  receivedBytes: number;
  /** Whether the whole request had left when the end came. */
  sentAll: boolean;
}

/** When something was done to the system, and what calls may come to because of it. */
export interface Disturbance {
  readonly name: string;
  readonly from: number;
  /** Infinite while it lasts. */
  to: number;
  /** Which calls may feel it. */
  readonly touches: (call: SoakCall) => boolean;
  readonly statuses: readonly number[];
  /** Connections may end. */
  readonly connections: boolean;
  /** Calls may be refused untouched (REFUSED_STREAM), or not be sent any more. */
  readonly refusals: boolean;
  /** New connections may not be had. */
  readonly closedDoor: boolean;
  /** A thread died with its calls, of which nothing was written down. */
  readonly recordsMayBeLost: boolean;
}

const REFUSED_STREAM = 7;
const CANCEL = 8;
const UNAVAILABLE = 14;

export class Ledger {
  readonly calls: SoakCall[] = [];
  readonly violations: string[] = [];
  readonly disturbances: Disturbance[] = [];
  /** Calls whose end was not one that they may come to. */
  readonly suspects = new Set<SoakCall>();
  /** Calls that were told UNAVAILABLE while nothing was done to the system. */
  readonly unavailable = new Set<SoakCall>();
  readonly #seed: number;
  #running = 0;
  #violationCount = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  get running(): number {
    return this.#running;
  }

  get violationCount(): number {
    return this.#violationCount;
  }

  begin(call: Pick<SoakCall, 'kind' | 'tenant' | 'via' | 'allowed'> & Partial<SoakCall>): SoakCall {
    const id = this.calls.length + 1;
    const begun: SoakCall = {
      allowedResets: [],
      selfCut: 'no',
      mayBeUnsent: false,
      ...call,
      id,
      traceId: `${(this.#seed >>> 0).toString(16).padStart(8, '0')}${id.toString(16).padStart(24, '0')}`,
      startedAt: Date.now(),
      endedAt: 0,
      end: undefined,
      sawHeaders: false,
      sawTrailers: false,
      sentBytes: 0,
      receivedBytes: 0,
      sentAll: false,
    };
    this.calls.push(begun);
    this.#running += 1;
    return begun;
  }

  /** The call's end; a second one is a violation. */
  end(call: SoakCall, end: CallEnd): void {
    if (call.end !== undefined) {
      this.violate(`${describeCall(call)}: a second end, ${JSON.stringify(end)}`);
      return;
    }
    call.end = end;
    call.endedAt = Date.now();
    this.#running -= 1;
    if (this.#isAllowed(call, end)) return;
    // Whether that is excused, its record tells.
    if (end.kind === 'status' && end.status === UNAVAILABLE) this.unavailable.add(call);
    else this.suspect(call);
  }

  disturb(disturbance: Disturbance): Disturbance {
    this.disturbances.push(disturbance);
    return disturbance;
  }

  violate(what: string): void {
    this.#violationCount += 1;
    if (this.violations.length < MAX_KEPT_VIOLATIONS) this.violations.push(what);
  }

  /** The call came to what it may not come to. */
  suspect(call: SoakCall): void {
    this.suspects.add(call);
    this.violate(`${describeCall(call)}: not what it may come to`);
  }

  /** Adds what is known besides to what is kept of a call's violation. */
  explain(call: SoakCall, what: string): void {
    const at = this.violations.findIndex((violation) => violation.startsWith(`call ${call.id} (`));
    if (at >= 0) this.violations[at] += `\n     ${what}`;
  }

  /** What was done to the system while the call ran, and could be felt by it. */
  *felt(call: SoakCall): Generator<Disturbance> {
    for (const disturbance of this.disturbances) {
      if (disturbance.from <= call.endedAt && disturbance.to >= call.startedAt && disturbance.touches(call))
        yield disturbance;
    }
  }

  #isAllowed(call: SoakCall, end: CallEnd): boolean {
    const felt = [...this.felt(call)];
    switch (end.kind) {
      case 'status':
        return call.allowed.includes(end.status) || felt.some(({ statuses }) => statuses.includes(end.status));
      case 'reset':
        if (call.allowedResets.includes(end.code)) return true;
        if (end.code === REFUSED_STREAM) return felt.some(({ refusals }) => refusals);
        // So node:http2 tells of a connection's end, too.
        return end.code === CANCEL && felt.some(({ connections }) => connections);
      case 'cancelled':
        return call.selfCut === 'stream';
      case 'connection':
        return call.selfCut === 'connection' || felt.some(({ connections }) => connections);
      case 'unsent':
        return true;
      case 'hung':
        return false;
    }
  }
}

const MAX_KEPT_VIOLATIONS = 200;

/** For people. */
export function describeCall(call: SoakCall): string {
  const { id, kind, tenant, via, traceId, startedAt, endedAt, end } = call;
  const took = endedAt === 0 ? 'running' : `${endedAt - startedAt} ms`;
  const saw = `${call.sawHeaders ? 'headers, ' : ''}${call.receivedBytes} octets`;
  return `call ${id} (${kind} of ${tenant}, ${via}, trace ${traceId}, ${new Date(startedAt).toISOString()} + ${took}, saw ${saw}): ${JSON.stringify(end)}`;
}
