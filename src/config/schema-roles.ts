/**
 * What a tenant's file may say of roles, and of who has them.
 */
import { z } from 'zod';
import { scopesSchema } from './schema-credentials.ts';
import { duration, list, name, text } from './schema-values.ts';

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

/** What may be called, and what that asks of credentials. */
export const roleSchema = z.strictObject({
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
  scopes: scopesSchema(
    'Scopes that are needed besides, all of them: of the token (`scope`, or `scp`) or of the API key. Default: none.',
    16,
  ).optional(),
  stepUp: stepUp.optional(),
});

/** Who has a role. */
export const bindingSchema = z.strictObject({
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
