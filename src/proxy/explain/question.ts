/**
 * What an explanation is asked: who would call what, and by which credentials.
 */
import type { EpochMicros } from '../../kernel/ids.ts';

export interface Question {
  /** Id of the tenant that the server name claims. */
  readonly tenant: string;
  /** `package.Service/Method`, with or without a slash before it, or the bare name of a KServe V2 method. */
  readonly method: string;
  /** As the request names it; undefined: not at all. */
  readonly model: string | undefined;
  readonly modelVersion: string | undefined;
  readonly credentials: Credentials;
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
    };

export type KeyCredential =
  | { readonly kind: 'presented'; readonly text: string }
  | { readonly kind: 'assumed'; readonly id: string };

/** `inference.GRPCInferenceService/ModelInfer` from any of its spellings. */
export function fullMethodName(method: string): string {
  const name = method.startsWith('/') ? method.slice(1) : method;
  return name.includes('/') ? name : `inference.GRPCInferenceService/${name}`;
}
