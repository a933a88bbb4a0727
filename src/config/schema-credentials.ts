/**
 * What a tenant's file may say of its credentials: the issuers of its tokens, and its API keys.
 */
import { z } from 'zod';
import { parseAddressRange } from '../kernel/address-range.ts';
import {
  discreet,
  duration,
  filePath,
  keyPairSchema,
  list,
  name,
  problem,
  quote,
  text,
  timestamp,
} from './schema-values.ts';

/** Signature algorithms that a token may have: public-key ones only. */
export const TOKEN_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

/** An issuer of tokens. */
export const issuerSchema = z.strictObject({
  issuer: name('the issuer', 'Exact `iss` of the tokens.', 2048),
  audience: z
    .union([name('an audience', 'One audience.'), list(name('an audience', 'An audience.'), 'Audiences.', 32).min(1)])
    .meta({ description: 'One of these must be in the token’s `aud`: one, or a list.' }),
  jwks: z
    .strictObject({
      file: filePath('JSON Web Key Set.').optional(),
      url: name('a URL', 'https URL of the JSON Web Key Set (http only on loopback).', 2048).optional(),
      ca: filePath('PEM file with the CA of the URL’s server. Default: the system’s.').optional(),
    })
    .optional()
    .meta({ description: 'Where the public keys are: a file or a URL, not both.' }),
  discovery: z
    .strictObject({
      ca: filePath('PEM file with the CA of the issuer’s servers. Default: the system’s.').optional(),
    })
    .optional()
    .meta({
      description:
        'Instead of `jwks`: the issuer is a URL, and its metadata say where its keys are (OpenID Connect Discovery, RFC 8414).',
    }),
  introspection: z
    .strictObject({
      endpoint: name(
        'a URL',
        'https URL of the endpoint (http only on loopback). Default: what the issuer’s metadata say, with `discovery`.',
        2048,
      ).optional(),
      ca: filePath('PEM file with the CA of the endpoint’s server. Default: that of `discovery`.').optional(),
      clientId: name('a client id', 'What the issuer knows this sidecar by.'),
      clientSecret: filePath('File that holds the client’s secret and nothing else.').optional(),
      method: z.enum(['basic', 'post']).optional().meta({
        description: 'Whether the secret is sent in a header (`client_secret_basic`) or in the form. Default: basic.',
      }),
      clientCertificate: keyPairSchema(
        'Certificate that is shown to the endpoint. Without a secret it is what we are known by (RFC 8705, `tls_client_auth`).',
      ).optional(),
      tokens: z.enum(['opaque', 'all']).default('opaque').meta({
        description:
          'Which tokens are asked about: those that are no JWT, or JWTs of this issuer too (after their signature, if it has keys).',
      }),
      cache: duration(
        'How long an answer is good, and so how long a revoked token still may be.',
        '60s',
        '0s',
        '1h',
      ).prefault('60s'),
      staleIfError: duration(
        'How long after that, while the endpoint is away. Never beyond the token’s own end.',
        '5m',
        '0s',
        '1h',
      ).prefault('5m'),
    })
    .optional()
    .meta({
      description:
        'How the issuer is asked about tokens that cannot be verified here (RFC 7662). One issuer of a tenant may be.',
    }),
  algorithms: list(
    z.enum(TOKEN_ALGORITHMS),
    'Signature algorithms that are accepted. Default: RS256, ES256, EdDSA.',
    TOKEN_ALGORITHMS.length,
  )
    .min(1, problem('is empty', 'name at least one algorithm, or leave the key away'))
    .default(['RS256', 'ES256', 'EdDSA']),
  clockSkew: duration('How far the issuer’s clock may be off.', '30s', '0s', '5m').prefault('30s'),
  tenantClaim: name(
    'a claim',
    'Claim that must equal the tenant’s id. Needed when the issuer serves more than one tenant.',
  ).optional(),
  profile: z.enum(['jwt', 'at+jwt']).default('jwt').meta({
    description:
      '`at+jwt`: only access tokens by RFC 9068 (`typ: at+jwt`, with `client_id`, `iat` and `jti`), so that no ID token passes for one.',
  }),
  replay: z.enum(['certificate', 'connection', 'call']).optional().meta({
    description:
      'A token (by its `jti`, which it must have) is good for the first client certificate, connection or call that presents it, over all workers, and refused elsewhere. Default: not watched.',
  }),
  requireBound: z.boolean().default(false).meta({
    description:
      'Refuse tokens that are not bound to the client’s certificate (RFC 8705, `cnf.x5t#S256`). A token that is bound must match in any case.',
  }),
});

const SCOPE_GRAMMAR = /^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/;

/** Scopes of a key, or that a role needs. */
export const scopesSchema = (description: string, max: number) =>
  list(
    text('a scope (up to 64 visible ASCII characters without " and \\)', SCOPE_GRAMMAR, 'models:infer', 'A scope.'),
    description,
    max,
  );

/** Patterns over models, of a role or a key. */
export const modelsSchema = (description: string) =>
  list(name('a model', 'Model name; `*` stands for any characters.'), description);

/** Patterns over versions. */
export const versionsSchema = (description: string) =>
  list(
    z
      .union([name('a version', 'Version; `*` stands for any characters.', 64), z.int().nonnegative()])
      .transform((version) => String(version)),
    description,
  );

const NOTHING_LISTED = problem('is empty', 'name at least one, or leave the key away');

const secretHash = (description: string) =>
  discreet(
    'is not a SHA-256 hash in lower-case hex',
    'write the hash of the secret part: printf %s SECRET | sha256sum',
    /^[0-9a-f]{64}$/,
    description,
  );

/** Ranges of IP addresses. */
export const addressesSchema = (description: string) =>
  list(
    text(
      'an IP address, or a range by its first one (IPv4 as IPv4)',
      /^[0-9A-Fa-f.:]{2,45}(\/\d{1,3})?$/,
      '10.0.0.0/8',
      'An IP address or a range.',
    ).refine((range) => parseAddressRange(range) !== undefined, {
      error: (issue) =>
        problem(
          `${quote(issue.input)} is no IP address, nor a range by its first one`,
          'write 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32',
        ),
    }),
    description,
    256,
  ).min(1, NOTHING_LISTED);

/** An API key. */
export const apiKeySchema = z.strictObject({
  id: text(
    'an API key’s id (1 to 64 letters, digits and hyphens)',
    /^[A-Za-z0-9-]{1,64}$/,
    'nightly-batch',
    'Public middle part of `bk_<id>_<secret>`.',
  ),
  sha256: secretHash('SHA-256 of the secret part, lower-case hex. The secret itself is never written down.'),
  expires: timestamp.optional(),
  previous: z
    .strictObject({ sha256: secretHash('SHA-256 of the secret before this one.'), expires: timestamp })
    .optional()
    .meta({
      description: 'The secret before this one, which is good until its end: `bulkhead keys rotate` writes it.',
    }),
  scopes: scopesSchema('Scopes that calls with this key have. Default: none.', 64).optional(),
  addresses: addressesSchema(
    'Addresses that it may be used from, as the connection has them. Default: any.',
  ).optional(),
  deniedAddresses: addressesSchema(
    'Addresses that it may not be used from, also when `addresses` has them. Default: none.',
  ).optional(),
  models: modelsSchema(
    'Globs over the models that it may be used for, of those that its roles give. Default: all of these.',
  )
    .min(1, NOTHING_LISTED)
    .optional(),
  versions: versionsSchema(
    'Globs over the versions of these; `latest` is the one that a request leaves open. Default: any.',
  )
    .min(1, NOTHING_LISTED)
    .optional(),
  revoked: z.boolean().default(false).meta({ description: 'Refused from now on; kept so that the record says so.' }),
});
