/**
 * A denial as the header block that ends the call. Before response headers it is Trailers-Only, since a client counts a call
 * as committed, and no longer heeds pushback, once it has seen response headers (gRFC A6).
 */
import type { Denial } from '../kernel/denial.ts';
import { ProtobufWriter } from '../protobuf/writer.ts';
import type { DenialView } from './denial-row.ts';
import { viewDenial } from './denial-table.ts';
import { errorInfo } from './error-details.ts';
import { type GrpcStatus, percentEncodeMessage } from './status.ts';

export interface StatusReply {
  /** A header block for `Stream.sendHeaders(block, true)`, or before `body`. */
  readonly block: readonly string[];
  /** Only of a plain HTTP answer: a line for whoever came with a browser. The caller may leave it out. */
  readonly body?: Buffer;
  readonly status: GrpcStatus;
  /** `ErrorInfo.reason`. */
  readonly reason: string;
}

/**
 * The whole answer in one block: for a call that has had no response headers yet. Trailers-Only, except for what is not gRPC
 * at all, which gets the plain HTTP answer. `tenant`: the verified tenant, or empty.
 */
export function trailersOnly(denial: Denial, tenant = ''): StatusReply {
  const view = viewDenial(denial, tenant);
  if (view.httpStatus !== 200) {
    const block = [':status', String(view.httpStatus), ...view.headers];
    return { block, body: NOT_GRPC, status: view.status, reason: view.reason };
  }
  const block = [':status', '200', 'content-type', 'application/grpc'];
  pushStatus(block, view);
  block.push(...view.rateLimitHeaders);
  return { block, status: view.status, reason: view.reason };
}

/** The trailing block: for a call whose response headers have been sent. */
export function trailersFor(denial: Denial, tenant = ''): StatusReply {
  const view = viewDenial(denial, tenant);
  const block: string[] = [];
  pushStatus(block, view);
  return { block, status: view.status, reason: view.reason };
}

function pushStatus(block: string[], view: DenialView): void {
  block.push(
    'grpc-status',
    String(view.status),
    'grpc-message',
    percentEncodeMessage(view.message),
    'grpc-status-details-bin',
    statusDetails(view),
    ...view.headers,
  );
}

/** `google.rpc.Status`, whose code must equal `grpc-status`. */
function statusDetails(view: DenialView): string {
  writer.clear().integer(1, view.status).string(2, view.message);
  errorInfo(view.reason, view.metadata)(writer);
  for (const detail of view.details) detail(writer);
  return unpadded(writer.view());
}

const NOT_GRPC = Buffer.from('This is a gRPC server.\n');

/** Serves every reply of the thread: a flood of refusals allocates no buffers. */
const writer = new ProtobufWriter();

/** Binary metadata should be sent without padding (gRPC over HTTP/2, Custom-Metadata). */
function unpadded(bytes: Buffer): string {
  const text = bytes.toString('base64');
  const padding = text.indexOf('=');
  return padding === -1 ? text : text.slice(0, padding);
}
