/**
 * What a tenant's file may say. Every key has its description here, which is also what the editor shows.
 */
import { z } from 'zod';
import { PROTOCOL_NAMES } from '../inspection/protocols.ts';
import { parseAddressRange } from '../kernel/address-range.ts';
import {
  count,
  discreet,
  duration,
  filePath,
  name,
  problem,
  quote,
  rate,
  serverName,
  size,
  tenantId,
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
] as const;

const list = <T extends z.ZodType>(item: T, description: string, max = 1000): z.ZodArray<T> =>
  z
    .array(item, {
      error: (issue) =>
        issue.input === undefined ? undefined : problem(`${quote(issue.input)} is not a list`, 'write a list: [a, b]'),
    })
    .max(max, problem(`has more than ${max} entries`, 'split it'))
    .meta({ description });

const keyPair = (description: string) =>
  z
    .strictObject({
      chain: filePath('PEM file with the certificate first and its intermediates after it.'),
      key: filePath('PEM file with the private key, not encrypted.'),
    })
    .meta({ description });

export { keyPair as keyPairSchema };

const issuer = z.strictObject({
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
    .meta({ description: 'Where the public keys are: a file or a URL, not both.' }),
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
  requireBound: z.boolean().default(false).meta({
    description:
      'Refuse tokens that are not bound to the client’s certificate (RFC 8705, `cnf.x5t#S256`). A token that is bound must match in any case.',
  }),
});

const SCOPE_GRAMMAR = /^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/;

const scopes = (description: string, max: number) =>
  list(
    text('a scope (up to 64 visible ASCII characters without " and \\)', SCOPE_GRAMMAR, 'models:infer', 'A scope.'),
    description,
    max,
  );

const secretHash = (description: string) =>
  discreet(
    'is not a SHA-256 hash in lower-case hex',
    'write the hash of the secret part: printf %s SECRET | sha256sum',
    /^[0-9a-f]{64}$/,
    description,
  );

const addresses = (description: string) =>
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
  ).min(1, problem('is empty', 'name at least one, or leave the key away'));

const apiKey = z.strictObject({
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
  scopes: scopes('Scopes that calls with this key have. Default: none.', 64).optional(),
  addresses: addresses('Addresses that it may be used from, as the connection has them. Default: any.').optional(),
  revoked: z.boolean().default(false).meta({ description: 'Refused from now on; kept so that the record says so.' }),
});

const stepUp = z
  .strictObject({
    acr: list(
      text(
        'an authentication context class (up to 100 visible ASCII characters without " and \\)',
        /^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/,
        'urn:example:mfa',
        'An `acr` value.',
      ),
      'One of these must be the token’s `acr`.',
      8,
    ).default([]),
    maxAge: duration(
      'Longest time since the subject signed in (`auth_time`), in whole seconds.',
      '5m',
      '1s',
      '30d',
    ).optional(),
    amr: list(
      text('an authentication method (RFC 8176)', /^[A-Za-z0-9._-]{1,32}$/, 'mfa', 'An `amr` value.'),
      'All of these must be in the token’s `amr`.',
      8,
    ).default([]),
  })
  .meta({ description: 'How the token’s subject must have signed in (RFC 9470). Default: as its issuer lets it.' });

const role = z.strictObject({
  name: name('a name', 'Name of the role, for bindings and for the audit record.', 64),
  methods: list(
    text(
      'a method (ModelInfer, package.Service/Method or package.Service/*)',
      /^([A-Za-z_][A-Za-z0-9_]*|[A-Za-z_][A-Za-z0-9_.]*\/([A-Za-z_][A-Za-z0-9_]*|\*))$/,
      'ModelInfer',
      'A method.',
    ),
    'Methods that the role may call: `ModelInfer` (short for inference.GRPCInferenceService/ModelInfer), `package.Service/Method` or `package.Service/*`.',
    256,
  ).min(1),
  models: list(
    name('a model', 'Model name; `*` stands for any characters.'),
    'Models that the role may use. Default: none.',
  ).default([]),
  versions: list(
    z
      .union([name('a version', 'Version; `*` stands for any characters.', 64), z.int().nonnegative()])
      .transform((version) => String(version)),
    'Versions of these models; `latest` is the one that a request leaves open. Default: all.',
  ).default(['*']),
  scopes: scopes(
    'Scopes that are needed besides, all of them: of the token (`scope`, or `scp`) or of the API key. Default: none.',
    16,
  ).optional(),
  stepUp: stepUp.optional(),
});

const binding = z.strictObject({
  role: name('a role', 'Name of the role that is given.', 64),
  subjects: list(name('a subject', '`sub` of a token; `*` for any.', 1024), 'Token subjects.', 10_000).default([]),
  keys: list(name('a key id', 'Id of an API key; `*` for any.', 64), 'API keys.', 10_000).default([]),
  certificates: list(
    text(
      'a certificate’s name (spiffe://domain/path, dns:name or "*")',
      /^(\*|spiffe:\/\/[a-z0-9._-]+\/[A-Za-z0-9._/-]+|dns:[A-Za-z0-9.-]+)$/,
      'spiffe://acme.example/batch',
      'A certificate’s name.',
    ),
    'Client certificates: `spiffe://…`, `dns:…`, or `*` for any.',
    10_000,
  ).default([]),
});

const rateLimit = (who: string) =>
  z
    .strictObject({
      calls: rate,
      burst: count(`Calls that may come at once. Default: one second’s worth.`, 1, 1_000_000_000).optional(),
    })
    .meta({ description: `Rate of ${who}.` });

const quota = z
  .strictObject({
    tenant: rateLimit('all callers of this tenant together').optional(),
    caller: rateLimit('each caller').optional(),
    concurrentCalls: count('Calls in progress at once, of all callers together.', 1, 1_000_000).optional(),
  })
  .meta({ description: 'How much this tenant may call. What is left away is not limited.' });

const upstream = z
  .strictObject({
    address: name('an address', '`http://host:port`, `https://host:port` or `unix:/path`.', 1024),
    ca: filePath('PEM file with the CA of the server (https only). Default: the system’s.').optional(),
    clientCertificate: keyPair('Certificate that we show to the server (https only).').optional(),
    serverName: name(
      'a name',
      'Name to verify in the server’s certificate (https only). Default: the host.',
    ).optional(),
    authority: name('an authority', '`:authority` that the server sees. Default: host and port.').optional(),
    connectTimeout: duration('For connecting, with TLS and the server’s first SETTINGS.', '2s', '10ms', '1m').prefault(
      '2s',
    ),
    maxConnections: count('Connections for this tenant, per worker.', 1, 1024).default(4),
    minConnections: count(
      'Connections that are kept while the tenant has clients, per worker: its first call need not wait for one.',
      0,
      1024,
    ).default(0),
    idleTimeout: duration(
      'A connection beyond minConnections is closed without calls after it.',
      '5m',
      '1s',
      '1d',
    ).prefault('5m'),
    maxPendingCalls: count('Calls that may wait for a connection, per worker.', 0, 1_000_000).default(1024),
    maxConcurrentCalls: count(
      'Calls that may be at the server or wait for it, per worker. Default: as many as come.',
      1,
      1_000_000,
    ).optional(),
    circuit: z
      .strictObject({
        failures: count('Calls in a row that the server fails before it is not asked any more.', 1, 1000).default(5),
        openTime: duration('It is not asked for so long, ± 50 %, doubled each time.', '1s', '10ms', '1h').prefault(
          '1s',
        ),
        maxOpenTime: duration('The longest such time.', '30s', '10ms', '1h').prefault('30s'),
      })
      .prefault({})
      .meta({ description: 'When to stop asking a server that fails.' }),
    healthCheck: z
      .strictObject({
        service: text(
          'a service’s name for grpc.health.v1 (up to 256 visible ASCII characters)',
          /^[\x21-\x7e]{0,256}$/,
          'inference.GRPCInferenceService',
          'The service that the server is asked about. Default: the server as a whole.',
        ).default(''),
        interval: duration('From one answer to the next question, ± 10 %.', '5s', '100ms', '1h').prefault('5s'),
        timeout: duration('For an answer, on a connection that is there.', '1s', '10ms', '1m').prefault('1s'),
        unhealthyThreshold: count(
          'Times in a row without an answer until calls are refused. That it does not serve, a server need say only once.',
          1,
          100,
        ).default(3),
        healthyThreshold: count('Good answers in a row until calls pass again.', 1, 100).default(1),
      })
      .optional()
      .meta({ description: 'Whether to ask the server by grpc.health.v1 if it serves. Default: it is not asked.' }),
  })
  .meta({ description: 'The model server.' });

export { upstream as upstreamSchema };

/** An upstream as the schema leaves it. */
export type UpstreamSource = z.output<typeof upstream>;

const fieldPath = (description: string) =>
  text(
    'a field path (names joined by dots)',
    /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,15}$/,
    'spec.model_name',
    description,
  ).optional();

const protoset = z
  .strictObject({
    file: filePath('FileDescriptorSet of the services, with all that they import (protoc --include_imports).'),
    methods: list(
      z.strictObject({
        method: text(
          'a method (package.Service/Method)',
          /^[A-Za-z_][A-Za-z0-9_.]*\/[A-Za-z_][A-Za-z0-9_]*$/,
          'acme.v1.Scoring/Score',
          'A method. Others of its service are not let through.',
        ),
        model: fieldPath(
          'Field of the request that names the model (dataset, resource): a string or an integer. Default: it names none, and no role’s models bound it.',
        ),
        version: fieldPath('Field of the request that names the version. Default: it is left open.'),
        sensitive: z
          .boolean()
          .default(false)
          .meta({ description: 'Only a role that names the method has it; package.Service/* does not include it.' }),
      }),
      'Methods that may be called.',
      256,
    ).min(1, problem('is empty', 'list at least one method, or remove protoset')),
  })
  .meta({ description: 'Further gRPC services, read by their descriptors.' });

export const tenantSchema = z
  .strictObject({
    tenant: tenantId,
    serverNames: list(serverName, 'Names that this tenant’s clients connect to (TLS SNI), exact.').min(
      1,
      problem('is empty', 'name at least one server name'),
    ),
    certificate: keyPair('The server certificate that this tenant’s clients see.'),
    clientCa: filePath('PEM file with the CA certificates that sign this tenant’s clients.'),
    trustDomain: text(
      'a trust domain (lower-case letters, digits, dots, hyphens and underscores)',
      /^[a-z0-9._-]{1,255}$/,
      'acme.example',
      'Client certificates must have a SPIFFE id of this trust domain. Default: any name under the client CA.',
    ).optional(),
    accept: list(
      z.enum(['certificate', 'token', 'api-key']),
      'Which credentials suffice; the certificate is verified in any case. Default: tokens and API keys, if there are issuers and keys below, else the certificate.',
      3,
    )
      .min(1, problem('is empty', 'name at least one: certificate, token, api-key'))
      .optional(),
    addresses: addresses(
      'Addresses that this tenant’s clients may call from, as the connection has them. Default: any.',
    ).optional(),
    issuers: list(issuer, 'Who issues this tenant’s tokens.', 32).default([]),
    apiKeys: list(apiKey, 'This tenant’s API keys, as hashes.', 10_000).default([]),
    roles: list(role, 'What may be called.').default([]),
    bindings: list(binding, 'Who has which role.', 10_000).default([]),
    quota: quota.default({}),
    byteAccount: size('Hard limit of this tenant’s bytes in flight.', '64MiB', '256KiB', '1024GiB').prefault('64MiB'),
    upstream,
    trace: z
      .strictObject({
        clientContext: z.enum(['link', 'parent']).default('link').meta({
          description: 'Whether a client’s traceparent is a link of our span, or its parent (trusted clients only).',
        }),
      })
      .prefault({})
      .meta({ description: 'Tracing.' }),
    protocols: list(
      z.enum(PROTOCOL_NAMES),
      'What the model server speaks: `triton` (KServe V2 with Triton’s extension), `tensorflow-serving`, `torchserve`, `vllm`. Default: triton.',
      PROTOCOL_NAMES.length,
    ).default(['triton']),
    model: name('a model', 'The server’s only model, for a protocol whose requests name none (`vllm`).').optional(),
    protoset: protoset.optional(),
    services: list(
      text('a service (package.Service)', /^[A-Za-z_][A-Za-z0-9_.]*$/, 'grpc.health.v1.Health', 'A service.'),
      'Further gRPC services that are passed through without reading their messages.',
      256,
    ).default([]),
  })
  .meta({ title: 'Bulkhead tenant', description: 'One tenant of Bulkhead.' });

/** A tenant's file as the schema leaves it. */
export type TenantSource = z.output<typeof tenantSchema>;
