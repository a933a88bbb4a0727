/**
 * Fetches a document for the sidecar itself: a key set, an issuer's metadata, an answer about a token or a certificate, a revocation list.
 *
 * One exchange over HTTPS, with an address that may be asked, no redirects, one kind of content, bounded in time and size. The
 * address is judged when it has been resolved, and that very address is connected to: a name that resolves to something else a
 * moment later (DNS rebinding) gains nothing. Not the global fetch, which can be given neither a CA nor a look-up.
 */
import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { AddressRange } from '../kernel/address-range.ts';
import { parseAddressRange } from '../kernel/address-range.ts';
import { request as requestHttp } from '../kernel/http.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { addressFlaw, isLoopbackAddress } from './address-rules.ts';

export interface DocumentRequest {
  /** https; http only to this host, where nobody is in between, unless the document `isSigned`. */
  readonly url: string;
  /** It says by a signature whose it is, and is held against that: who is in between can keep it back, and nothing else. */
  readonly isSigned?: boolean;
  /** Sent as POST when it is there. Never in an error. */
  readonly form?: string;
  /** The same, of any kind, instead of a form. */
  readonly post?: { readonly contentType: string; readonly octets: Buffer };
  /** Further headers, which may hold secrets. Never in an error. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Trusted instead of the system's roots. */
  readonly caPem: string | undefined;
  /** Shown to the server when it asks for one. */
  readonly clientCertificate?: { readonly chainPem: string; readonly keyPem: string } | undefined;
  /** For the whole exchange. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Media types without parameters, lower-case, one of which the answer must have. */
  readonly contentTypes: readonly string[];
}

/** Gives the document's octets or why there are none; never rejects. */
export type DocumentFetch = (request: DocumentRequest) => Promise<Result<Buffer, string>>;

/** `dns.lookup` for all addresses of a name. */
export type Resolve = (
  hostname: string,
  options: LookupOptions & { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

export class DocumentFetcher {
  #allowed: readonly AddressRange[] = [];
  readonly #resolve: Resolve;

  /** `allowAddresses`: ranges that may be asked although they are not public. `resolve`: the system's, but in tests. */
  constructor(allowAddresses: readonly string[] = [], resolve: Resolve = lookup) {
    this.#resolve = resolve;
    this.allow(allowAddresses);
  }

  /** Other ranges, for what is fetched from now on. */
  allow(addresses: readonly string[]): void {
    // The schema refuses what is no range; if one came all the same, it would open nothing.
    this.#allowed = addresses.flatMap((range) => parseAddressRange(range) ?? []);
  }

  readonly fetch: DocumentFetch = (request) => {
    const { promise, resolve } = Promise.withResolvers<Result<Buffer, string>>();
    const fail = (cause: unknown): void => resolve(err(cause instanceof Error ? cause.message : String(cause)));
    try {
      this.#send(request, resolve, fail);
    } catch (cause) {
      fail(cause);
    }
    return promise;
  };

  #send(request: DocumentRequest, resolve: (result: Result<Buffer, string>) => void, fail: (cause: unknown) => void) {
    const url = URL.parse(request.url);
    if (url === null) return fail('not a URL');
    const isPlain = url.protocol === 'http:';
    if (!isPlain && url.protocol !== 'https:') return fail('neither https nor on this host');
    const flawOf = (address: string): string | undefined =>
      isPlain && request.isSigned !== true && !isLoopbackAddress(address)
        ? 'is not this host, and http is not safe'
        : addressFlaw(address, this.#allowed);
    // A host that is an address already is connected to without a look-up.
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const flaw = isIP(host) === 0 ? undefined : flawOf(host);
    if (flaw !== undefined) return fail(`${host} ${flaw}`);
    const options = { ...optionsOf(request), lookup: guardedLookup(this.#resolve, flawOf) };
    const receive = (response: IncomingMessage): void => readBody(response, request, resolve);
    const sent = isPlain
      ? requestHttp(url, options, receive)
      : requestHttps(url, { ...options, ...tlsOf(request) }, receive);
    sent.on('error', fail);
    sent.on('upgrade', (_, socket) => {
      socket.destroy();
      fail('switches to another protocol');
    });
    sent.end(request.post?.octets ?? request.form);
  }
}

function optionsOf({ form, post, headers, contentTypes, timeoutMs }: DocumentRequest): RequestOptions {
  const octets = post?.octets ?? (form === undefined ? undefined : Buffer.from(form));
  const type = post?.contentType ?? 'application/x-www-form-urlencoded';
  const body = octets === undefined ? {} : { 'content-type': type, 'content-length': String(octets.length) };
  return {
    method: octets === undefined ? 'GET' : 'POST',
    // One connection for one document: none is kept that was judged by rules which hold no more.
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
    headers: { accept: contentTypes.join(', '), 'accept-encoding': 'identity', ...body, ...headers },
  };
}

function tlsOf({ caPem, clientCertificate }: DocumentRequest) {
  return {
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2' as const,
    ...(caPem === undefined ? {} : { ca: caPem }),
    ...(clientCertificate === undefined ? {} : { cert: clientCertificate.chainPem, key: clientCertificate.keyPem }),
  };
}

/** Resolves a name to those of its addresses that may be asked. */
function guardedLookup(resolve: Resolve, flawOf: (address: string) => string | undefined): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const good = addresses.filter(({ address }) => flawOf(address) === undefined);
      const [first] = good;
      if (first === undefined) {
        const { address } = addresses[0] ?? { address: 'nothing' };
        return callback(new Error(`${hostname} is ${address}, which ${flawOf(address) ?? 'is no address'}`), []);
      }
      if (options.all === true) callback(null, good);
      else callback(null, first.address, first.family);
    });
  };
}

function readBody(
  response: IncomingMessage,
  { maxBytes, contentTypes }: DocumentRequest,
  resolve: (result: Result<Buffer, string>) => void,
): void {
  const flaw = answerFlaw(response, contentTypes);
  if (flaw !== undefined) {
    response.destroy();
    resolve(err(flaw));
    return;
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      resolve(err(`longer than ${String(maxBytes)} bytes`));
      response.destroy();
      return;
    }
    chunks.push(chunk);
  });
  response.on('end', () => resolve(ok(Buffer.concat(chunks))));
  response.on('error', (error) => resolve(err(error.message)));
}

function answerFlaw({ statusCode, headers }: IncomingMessage, contentTypes: readonly string[]): string | undefined {
  // A redirect is an answer like any other that is no document: whoever moves says so to the operator.
  if (statusCode !== 200) return `status ${String(statusCode)}`;
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') return `encoded as ${encoding.slice(0, 32)}`;
  const type = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  return contentTypes.includes(type) ? undefined : `its content type is ${type === '' ? 'missing' : type.slice(0, 64)}`;
}
