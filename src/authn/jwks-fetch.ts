/**
 * Fetches a JWKS document: one GET, no redirects, bounded in time and size.
 *
 * Not the global fetch, which cannot be given a CA.
 */
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import { err, ok, type Result } from '../kernel/result.ts';

export interface JwksRequest {
  readonly url: string;
  /** Trusted instead of the system's roots. */
  readonly caPem: string | undefined;
  /** For the whole exchange. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

/** Gives the document's text or why there is none; never rejects. */
export type JwksFetch = (request: JwksRequest) => Promise<Result<string, string>>;

/** Fetches over HTTPS; over plain HTTP only from this host, where nobody is in between. */
export const fetchJwks: JwksFetch = (request) => {
  const { promise, resolve } = Promise.withResolvers<Result<string, string>>();
  const fail = (why: string): void => {
    resolve(err(why));
  };
  try {
    const url = new URL(request.url);
    const options = {
      agent: false,
      signal: AbortSignal.timeout(request.timeoutMs),
      headers: { accept: 'application/json' },
    };
    const receive = (response: IncomingMessage): void => {
      readBody(response, request.maxBytes, resolve);
    };
    if (url.protocol === 'https:') {
      getHttps(url, { ...options, ...(request.caPem === undefined ? {} : { ca: request.caPem }) }, receive).on(
        'error',
        (error) => {
          fail(error.message);
        },
      );
    } else if (url.protocol === 'http:' && LOOPBACK.has(url.hostname)) {
      getHttp(url, options, receive).on('error', (error) => {
        fail(error.message);
      });
    } else {
      fail('neither https nor on this host');
    }
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
  return promise;
};

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

function readBody(
  response: IncomingMessage,
  maxBytes: number,
  resolve: (result: Result<string, string>) => void,
): void {
  if (response.statusCode !== 200) {
    response.destroy();
    resolve(err(`status ${String(response.statusCode)}`));
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
  response.on('end', () => {
    resolve(ok(Buffer.concat(chunks).toString('utf8')));
  });
  response.on('error', (error) => {
    resolve(err(error.message));
  });
}
