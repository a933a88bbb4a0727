/**
 * The guarded fetch of documents in the shape that oauth4webapi asks for.
 */
import type { CustomFetchOptions } from 'oauth4webapi';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import { parseStrictJsonObject } from './strict-json.ts';

/** Whom to trust, what to show, and how much to take. */
export interface OAuthExchange {
  readonly fetch: DocumentFetch;
  /** Trusted instead of the system's roots. */
  readonly caPem: string | undefined;
  readonly clientCertificate?: { readonly chainPem: string; readonly keyPem: string } | undefined;
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

type OAuthFetch = (
  url: string,
  options: CustomFetchOptions<'GET'> | CustomFetchOptions<'POST', URLSearchParams>,
) => Promise<Response>;

/** A fetch that gives one JSON object, in which no member stands twice, or rejects with why there is none. */
export function oauthFetch({ fetch, ...exchange }: OAuthExchange): OAuthFetch {
  return async (url, { headers, body }) => {
    const { authorization } = headers;
    const fetched = await fetch({
      url,
      ...(body === undefined ? {} : { form: body.toString() }),
      ...(authorization === undefined ? {} : { headers: { authorization } }),
      ...exchange,
      contentTypes: JSON_TYPES,
    });
    if (!fetched.ok) throw new Error(fetched.error);
    const json = parseStrictJsonObject(fetched.value);
    if (!json.ok) throw new Error(json.error);
    return Response.json(json.value);
  };
}

const JSON_TYPES = ['application/json'];
