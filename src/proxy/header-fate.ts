/**
 * What becomes of each request header on its way to the model server.
 *
 * Credentials end here; so does every header by which a client could pretend to be somebody (wire-conventions 4.5): ours, and
 * those that other proxies set and a model server might trust.
 */

export type HeaderFate =
  | 'pass'
  | 'strip'
  | 'path'
  | 'method'
  | 'content-type'
  | 'encoding'
  | 'timeout'
  | 'authorization'
  | 'api-key'
  | 'traceparent';

/** A Map: an object would know `constructor` too, which is a header's name like any other. */
const EXACT: ReadonlyMap<string, HeaderFate> = new Map<string, HeaderFate>(
  Object.entries({
    ':path': 'path',
    ':method': 'method',
    ':scheme': 'strip',
    ':authority': 'strip',
    'content-type': 'content-type',
    'grpc-encoding': 'encoding',
    'grpc-timeout': 'timeout',
    authorization: 'authorization',
    'x-api-key': 'api-key',
    traceparent: 'traceparent',
    tracestate: 'strip',
    baggage: 'strip',
    'grpc-trace-bin': 'strip',
    te: 'strip',
    host: 'strip',
    cookie: 'strip',
    'proxy-authorization': 'strip',
    'l5d-client-id': 'strip',
    'x-tenant-id': 'strip',
    forwarded: 'strip',
    'x-real-ip': 'strip',
    // DATA's length is the engine's business; a stale value would be a lie.
    'content-length': 'strip',
  } as const),
);

/** Whole families that nobody outside may set. */
const PREFIXES = ['x-bulkhead-', 'client-cert', 'x-forwarded-', 'x-gateway-inference-', 'x-envoy-'] as const;

/** Names remembered beyond the exact table. A client can invent names without end, so the memory has one. */
export const MAX_REMEMBERED_NAMES = 1024;

/** What was decided on names, up to a number of them. */
export class FateMemory {
  readonly #known = new Map<string, HeaderFate>();
  readonly #maxNames: number;

  constructor(maxNames: number) {
    this.#maxNames = maxNames;
  }

  get size(): number {
    return this.#known.size;
  }

  /** Decides on a header by its (lower-case) name. */
  fateOf(name: string): HeaderFate {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const fate = EXACT.get(name) ?? (isForbidden(name) ? 'strip' : 'pass');
    if (this.#known.size < this.#maxNames) this.#known.set(name, fate);
    return fate;
  }
}

/** Of this thread: the names in the table come first, whatever clients send. */
const memory = new FateMemory(MAX_REMEMBERED_NAMES + EXACT.size);
for (const name of EXACT.keys()) memory.fateOf(name);

/** Decides on a header by its (lower-case) name. */
export function fateOf(name: string): HeaderFate {
  return memory.fateOf(name);
}

/** Servers that make variables of headers (CGI, WSGI) read `x_tenant_id` as `x-tenant-id`. */
function isForbidden(name: string): boolean {
  const hyphened = name.replaceAll('_', '-');
  if (hyphened !== name && EXACT.has(hyphened)) return true;
  return PREFIXES.some((prefix) => hyphened.startsWith(prefix));
}
