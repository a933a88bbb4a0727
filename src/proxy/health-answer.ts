/**
 * Reads what a model server answers to grpc.health.v1.Health/Check or /Watch. It may be anything: what is kept of it is bounded,
 * and what cannot be read is a failure to answer.
 */
import { isGrpcContentType } from '../grpc/content-type.ts';
import { GrpcStatus, parseStatus, statusName, statusOfHttp } from '../grpc/status.ts';
import type { HeaderBlock } from '../http2/contract.ts';
import type { Observation } from './upstream-health.ts';

/** A HealthCheckResponse has two bytes, and may get further fields. */
export const MAX_HEALTH_MESSAGE_BYTES = 256;
/** What one Watch may say before it is opened anew: changes, and no stream of them. */
export const MAX_HEALTH_MESSAGES = 64;
/** Informational header blocks before the answer's own. */
const MAX_INFORMATIONAL = 8;
const PREFIX_BYTES = 5;

/** One answer. Every method returns what is now known, or undefined while nothing new is. */
export class HealthAnswer {
  readonly #isWatch: boolean;
  readonly #pending = Buffer.alloc(PREFIX_BYTES + MAX_HEALTH_MESSAGE_BYTES);
  #pendingBytes = 0;
  #informational = 0;
  #hasHead = false;
  #messages = 0;
  #last: Observation | undefined;

  constructor(method: HealthMethod) {
    this.#isWatch = method === 'Watch';
  }

  headers(block: HeaderBlock, endStream: boolean): Observation | undefined {
    const httpStatus = valueOf(block, ':status') ?? '';
    if (!this.#hasHead && !endStream && httpStatus.startsWith('1')) {
      this.#informational++;
      return this.#informational > MAX_INFORMATIONAL ? failed('too many informational responses') : undefined;
    }
    if (!this.#hasHead) {
      this.#hasHead = true;
      const isGrpc = isGrpcContentType(valueOf(block, 'content-type') ?? '');
      if (httpStatus !== '200' || !isGrpc) return ofStatus(statusOfHttp(Number(httpStatus)), 'is not gRPC');
      if (!endStream) return undefined;
    } else if (!endStream) return failed('a further header block');
    if (this.#hasSpoken) return undefined;
    const status = valueOf(block, 'grpc-status');
    if (status === undefined) return failed('no status');
    const read = parseStatus(status);
    if (read !== GrpcStatus.OK) return ofStatus(read, 'is its answer');
    return this.#end();
  }

  data(chunk: Buffer, endStream: boolean): Observation | undefined {
    let news: Observation | undefined;
    let offset = 0;
    while (offset < chunk.length) {
      const taken = Math.min(this.#wanted() - this.#pendingBytes, chunk.length - offset);
      chunk.copy(this.#pending, this.#pendingBytes, offset, offset + taken);
      this.#pendingBytes += taken;
      offset += taken;
      if (this.#pendingBytes < PREFIX_BYTES) break;
      if (this.#pending[0] !== 0) return failed('a compressed message');
      if (this.#pending.readUInt32BE(1) > MAX_HEALTH_MESSAGE_BYTES) return failed('a message that is too long');
      if (this.#pendingBytes < this.#wanted()) continue;
      news = this.#message(this.#pending.subarray(PREFIX_BYTES, this.#pendingBytes));
      if (news?.kind === 'failed') return news;
    }
    return endStream && !this.#hasSpoken ? failed('no trailers') : news;
  }

  /** A Watch may be cut at any time; how it ends takes nothing back. */
  get #hasSpoken(): boolean {
    return this.#isWatch && this.#last !== undefined;
  }

  /** Bytes of the prefix, and of the message once the prefix tells its length. */
  #wanted(): number {
    return this.#pendingBytes < PREFIX_BYTES ? PREFIX_BYTES : PREFIX_BYTES + this.#pending.readUInt32BE(1);
  }

  /** A unary answer counts when its trailers have come, a Watch's message at once. */
  #message(message: Buffer): Observation | undefined {
    this.#pendingBytes = 0;
    this.#messages++;
    if (this.#messages > (this.#isWatch ? MAX_HEALTH_MESSAGES : 1)) return failed('too many messages');
    const status = servingStatusOf(message);
    if (status === undefined) return failed('a message that is not a HealthCheckResponse');
    this.#last =
      status === SERVING ? { kind: 'serving' } : { kind: 'not_serving', why: SERVING_STATUS[status] ?? 'UNKNOWN' };
    return this.#isWatch ? this.#last : undefined;
  }

  #end(): Observation {
    if (this.#pendingBytes > 0) return failed('half a message');
    return this.#last ?? failed('it ended without a word');
  }
}

export type HealthMethod = 'Check' | 'Watch';

function ofStatus(status: GrpcStatus, how: string): Observation {
  if (status === GrpcStatus.UNIMPLEMENTED) return { kind: 'no_service' };
  // To Check, a server that does not know the service says so (health-checking.md); to Watch it says SERVICE_UNKNOWN.
  if (status === GrpcStatus.NOT_FOUND) return { kind: 'not_serving', why: 'SERVICE_UNKNOWN' };
  return failed(`${statusName(status)} ${how}`);
}

function failed(why: string): Observation {
  return { kind: 'failed', why };
}

function valueOf(block: HeaderBlock, name: string): string | undefined {
  const at = block.findIndex((text, index) => index % 2 === 0 && text === name);
  return at === -1 ? undefined : block[at + 1];
}

const SERVING = 1;
/** By number. One that is not here was added after this was written, and is not SERVING. */
const SERVING_STATUS = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;

/** Field 1 of a HealthCheckResponse, the last one if there are several; undefined when it is no protobuf message. */
export function servingStatusOf(message: Buffer): number | undefined {
  let status = 0;
  let at = 0;
  const varint = (): number | undefined => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < message.length) {
    const tag = varint();
    if (tag === undefined || tag < 8 || tag >= 2 ** 32) return undefined;
    const wireType = tag % 8;
    if (wireType === VARINT) {
      const value = varint();
      if (value === undefined) return undefined;
      if (tag === FIELD_STATUS) status = value;
    } else if (wireType === LENGTH_DELIMITED) {
      const bytes = varint();
      if (bytes === undefined) return undefined;
      at += bytes;
    } else if (wireType === FIXED64) at += 8;
    else if (wireType === FIXED32) at += 4;
    else return undefined;
    if (at > message.length) return undefined;
  }
  return status;
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
const FIELD_STATUS = 8;
