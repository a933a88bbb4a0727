/**
 * What a call leaves behind: gathered on its way, written once at its end. Nothing decides by it.
 */
import type { CallRecord, GateName, GateRecord } from '../audit/record.ts';
import type { Caller } from '../authn/authenticator.ts';
import type { ShadowVerdict } from '../authz/authorizer.ts';
import type { HeaderBlock } from '../http2/contract.ts';
import type { Peer } from '../identity/peer.ts';
import type { MethodEntry } from '../inspection/method-table.ts';
import type { Consumption } from '../kernel/consumption.ts';
import type { Denied } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { formatTraceparent, newSpanId, newTraceId, parseTraceparent, shouldSample } from '../telemetry/trace-ids.ts';
import type { RequestHead } from './request-head.ts';

/** As much of who calls as a record says. */
export type TrailPeer = Pick<Peer, 'address' | 'port'> & {
  readonly proxy?: string | undefined;
  readonly certificate: Pick<Peer['certificate'], 'sha256'>;
};

/** What is the same for all calls of a connection. */
export interface TrailContext {
  readonly tenantId: string;
  readonly peer: TrailPeer;
  readonly generation: number;
  readonly clientContext: 'link' | 'parent';
  readonly sampleRatio: number;
  readonly now: () => EpochMicros;
  /** Who calls, where that is not found out but configured. */
  readonly callerByConfiguration?: string;
}

/** How a call ended: what only its end can say. */
export type CallEnd = Pick<
  CallRecord,
  | 'outcome'
  | 'grpcStatus'
  | 'reason'
  | 'detail'
  | 'requestBytes'
  | 'responseBytes'
  | 'requestMessages'
  | 'responseMessages'
  | 'upstream'
> & {
  /** As sent. */
  readonly path: string;
};

export class Trail {
  readonly startedAt: EpochMicros;
  readonly #context: TrailContext;
  readonly #gates: GateRecord[] = [];
  #gateFrom: EpochMicros;
  #traceId = '';
  #spanId = '';
  #upstreamSpanId = '';
  #sampled = false;
  #clientTrace: CallRecord['clientTrace'];
  #head: RequestHead | undefined;
  caller: Caller | undefined;
  method: Pick<MethodEntry, 'fullName'> | undefined;
  model = '';
  modelVersion = '';
  rule = '';
  /** What was counted of it; undefined: nothing but the call and its bytes. */
  consumed: Consumption | undefined;
  /** What rules in shadow would have decided otherwise: of the messages of a stream, for the first. */
  shadow: ShadowVerdict | undefined;

  constructor(context: TrailContext) {
    this.#context = context;
    this.startedAt = context.now();
    this.#gateFrom = this.startedAt;
  }

  now(): EpochMicros {
    return this.#context.now();
  }

  get head(): RequestHead | undefined {
    return this.#head;
  }

  /** The headers are parsed: the call's place in a trace is known. */
  set head(head: RequestHead) {
    this.#head = head;
    this.#join(head.traceparent);
  }

  /** The headers make no sense. Whose trace the call belongs to is said all the same: there its client looks for the refusal. */
  headMalformed(block: HeaderBlock): void {
    let traceparent: string | undefined;
    for (let i = 0; i < block.length; i += 2) if (block[i] === 'traceparent') traceparent = block[i + 1];
    this.#join(traceparent);
  }

  #join(traceparent: string | undefined): void {
    const { clientContext, sampleRatio } = this.#context;
    const client = traceparent === undefined ? undefined : parseTraceparent(traceparent);
    if (client !== undefined) this.#clientTrace = { traceId: client.traceId, spanId: client.spanId, as: clientContext };
    this.#traceId = client !== undefined && clientContext === 'parent' ? client.traceId : newTraceId();
    this.#spanId = newSpanId();
    this.#sampled = shouldSample(this.#traceId, sampleRatio);
  }

  /** The `traceparent` for the model server: our client span's. */
  upstreamTraceparent(): string {
    this.#upstreamSpanId ||= newSpanId();
    return formatTraceparent(this.#traceId, this.#upstreamSpanId, this.#sampled);
  }

  /** A gate let the call through. */
  pass(gate: GateName): void {
    this.#note(gate, 'pass');
  }

  /** For a gate that each message of a stream passes: the first pass is noted. */
  passOnce(gate: GateName): void {
    if (!this.#gates.some((noted) => noted.gate === gate)) this.#note(gate, 'pass');
  }

  /** A gate refused the call; hands the refusal on. */
  fail(gate: GateName, denied: Denied): Denied {
    this.#note(gate, 'deny');
    return denied;
  }

  /** A gate that goes by rules refused the call: the rule that denies it is the one that decided. */
  refuse(gate: GateName, denied: Denied & { readonly shadow?: ShadowVerdict }): Denied {
    const { error, shadow } = denied;
    if ('rule' in error && error.rule !== undefined) this.rule = error.rule;
    this.shadow = shadow;
    return this.fail(gate, denied);
  }

  /** The upstream leg, from its begin to its end. */
  upstream(from: EpochMicros, verdict: GateRecord['verdict']): void {
    this.#gateFrom = from;
    this.#note('upstream', verdict);
  }

  #note(gate: GateName, verdict: GateRecord['verdict']): void {
    const now = this.#context.now();
    this.#gates.push({
      gate,
      fromMicros: this.#gateFrom - this.startedAt,
      toMicros: now - this.startedAt,
      verdict,
    });
    this.#gateFrom = now;
  }

  /** The record of the call, as of now. */
  record(end: CallEnd): CallRecord {
    const { peer, tenantId, generation, callerByConfiguration } = this.#context;
    if (this.#traceId === '') {
      // Refused before its headers were looked at: it is on record, and in a trace of its own.
      this.#traceId = newTraceId();
      this.#spanId = newSpanId();
    }
    const fullName = this.method?.fullName;
    return {
      type: 'call',
      startedAt: this.startedAt,
      durationMicros: Math.max(0, this.#context.now() - this.startedAt),
      tenant: tenantId,
      tenantVerified: this.caller !== undefined || callerByConfiguration !== undefined,
      caller: this.caller?.id ?? callerByConfiguration ?? '',
      peerAddress: peer.address,
      peerPort: peer.port,
      proxyAddress: peer.proxy,
      certificateSha256: peer.certificate.sha256,
      method: fullName ?? '_OTHER',
      methodOriginal: fullName === undefined ? end.path : '',
      model: this.model,
      modelVersion: this.modelVersion,
      outcome: end.outcome,
      grpcStatus: end.grpcStatus,
      reason: end.reason,
      rule: this.rule,
      detail: end.detail,
      ...(this.shadow === undefined ? {} : { shadow: this.shadow }),
      requestBytes: end.requestBytes,
      responseBytes: end.responseBytes,
      requestMessages: end.requestMessages,
      responseMessages: end.responseMessages,
      ...(this.consumed === undefined ? {} : { consumed: this.consumed }),
      upstream: end.upstream,
      traceId: this.#traceId,
      spanId: this.#spanId,
      upstreamSpanId: this.#upstreamSpanId,
      sampled: this.#sampled,
      clientTrace: this.#clientTrace,
      gates: this.#gates,
      generation,
    };
  }
}
