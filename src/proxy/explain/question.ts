/**
 * What an explanation is asked: who would call what, and by which credentials.
 */
import type { TenantConfig } from '../../config/tenant-config.ts';
import { servicesOf } from '../../inspection/protocols.ts';
import type { EpochMicros } from '../../kernel/ids.ts';

export interface Question {
  /** Id of the tenant that the server name claims. */
  readonly tenant: string;
  /** `package.Service/Method`, with or without a slash before it, or the bare name of a method of its protocols. */
  readonly method: string;
  /** As the request names it; undefined: not at all. */
  readonly model: string | undefined;
  readonly modelVersion: string | undefined;
  readonly credentials: Credentials;
  /** IP address of the client; absent: one of this machine's own. */
  readonly address?: string;
  /** Server name that the client connects to; absent: the tenant's first. */
  readonly serverName?: string;
  /** Request headers by name, in lower case; absent: none but what every call has. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly now: EpochMicros;
}

/** Certificates are always presented; what is not said of one is assumed. */
export interface Credentials {
  readonly certificate: CertificateCredential;
  readonly token: TokenCredential | undefined;
  readonly apiKey: KeyCredential | undefined;
}

export type CertificateCredential =
  /** The leaf first, then its intermediates. */
  | { readonly kind: 'presented'; readonly pem: string }
  /** `spiffe://…` or `dns:…`; undefined: one that no binding names. */
  | { readonly kind: 'assumed'; readonly name: string | undefined };

export type TokenCredential =
  | { readonly kind: 'presented'; readonly text: string }
  | {
      readonly kind: 'assumed';
      readonly subject: string;
      /** Exact `iss`; undefined: the tenant's first issuer. */
      readonly issuer?: string;
      /** What it says of scopes and sign-in; what is left away is not in it. */
      readonly scope?: string;
      readonly acr?: string;
      readonly amr?: readonly string[];
      readonly authTimeSeconds?: number;
      /** Further claims, by their path: a name, names joined by dots, or a JSON Pointer. */
      readonly claims?: Readonly<Record<string, unknown>>;
    };

export type KeyCredential =
  | { readonly kind: 'presented'; readonly text: string }
  | { readonly kind: 'assumed'; readonly id: string };

/** `package.Service/Method` from any of its spellings: a bare name is that of whichever protocol of the tenant has it. */
export function fullMethodName(method: string, { protocols }: Pick<TenantConfig, 'protocols'>): string {
  const name = method.startsWith('/') ? method.slice(1) : method;
  if (name.includes('/')) return name;
  const services = servicesOf(protocols ?? ['triton']);
  const [first] = services.keys();
  const service = [...services].find(([, rows]) => rows.has(name))?.[0] ?? first;
  return service === undefined ? name : `${service}/${name}`;
}
