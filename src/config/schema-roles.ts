/**
 * What a tenant's file may say of roles, and of who has them.
 */
import { z } from 'zod';
import { canonicalClaimPath } from '../authn/claim-path.ts';
import { conditionSchema, modeSchema } from './schema-conditions.ts';
import { addressesSchema, modelsSchema, scopesSchema, versionsSchema } from './schema-credentials.ts';
import { duration, list, name, problem, quote, text } from './schema-values.ts';

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

const method = text(
  'a method (ModelInfer, package.Service/Method or package.Service/*)',
  /^([A-Za-z_][A-Za-z0-9_]*|[A-Za-z_][A-Za-z0-9_.]*\/([A-Za-z_][A-Za-z0-9_]*|\*))$/,
  'ModelInfer',
  'A method.',
);

/** What may be called, and what that asks of credentials. */
export const roleSchema = z.strictObject({
  name: name('a name', 'Name of the role, for bindings and for the audit record.', 64),
  methods: list(
    method,
    'Methods that the role may call: `ModelInfer` (short for inference.GRPCInferenceService/ModelInfer), `package.Service/Method` or `package.Service/*`.',
    256,
  ).min(1),
  models: modelsSchema('Models that the role may use. Default: none.').default([]),
  versions: versionsSchema(
    'Versions of these models; `latest` is the one that a request leaves open. Default: all.',
  ).default(['*']),
  scopes: scopesSchema(
    'Scopes that are needed besides, all of them: of the token (`scope`, or `scp`) or of the API key. Default: none.',
    16,
  ).optional(),
  stepUp: stepUp.optional(),
  condition: conditionSchema('What a call must meet besides, in CEL. Default: nothing.').optional(),
  mode: modeSchema,
});

const claimValue = z.union([name('a value', 'A value.', 1024), z.boolean(), z.int()], {
  error: (issue) => problem(`${quote(issue.input)} is not a value`, 'write text, true, false or a whole number'),
});

/** What a token must say: by claim, the values of which it must have one. */
const claimsSchema = z
  .record(
    z.string().refine((path) => canonicalClaimPath(path) !== undefined, {
      error: (issue) =>
        problem(
          `${quote(issue.input)} is no path of a claim`,
          'write its name, names joined by dots (realm_access.roles), or a JSON Pointer (/https:~1~1acme.example~1groups)',
        ),
    }),
    z.union([claimValue, list(claimValue, 'Values.', 1000).min(1)], {
      error: (issue) => problem(`${quote(issue.input)} is not a value, nor a list of some`, 'write a value, or [a, b]'),
    }),
  )
  .refine((claims) => Object.keys(claims).length > 0 && Object.keys(claims).length <= 16, {
    error: problem('does not have from 1 to 16 claims', 'name at least one, or remove it'),
  })
  .meta({
    description:
      'Tokens that say all of this: for each claim the value, or the values, of which one must be the claim’s own or in its list; `*` for any.',
  });

/** Whom a rule names. */
const who = {
  subjects: list(name('a subject', '`sub` of a token; `*` for any.', 1024), 'Token subjects.', 10_000).default([]),
  keys: list(name('a key id', 'Id of an API key; `*` for any.', 64), 'API keys.', 10_000).default([]),
  certificates: list(
    text(
      'a certificate’s name (spiffe://domain/path, spiffe://domain/path/*, dns:name or "*")',
      /^(\*|spiffe:\/\/[a-z0-9._-]+\/(([A-Za-z0-9._-]+\/)*\*|[A-Za-z0-9._/-]+)|dns:[A-Za-z0-9.-]+)$/,
      'spiffe://acme.example/batch',
      'A certificate’s name.',
    ),
    'Client certificates: `spiffe://…`, `spiffe://…/*` for all ids below a path, `dns:…`, or `*` for any.',
    10_000,
  ).default([]),
  claims: claimsSchema.optional(),
};

/** Who has a role. */
export const bindingSchema = z.strictObject({
  role: name('a role', 'Name of the role that is given.', 64),
  ...who,
  condition: conditionSchema('What a call must meet besides, in CEL. Default: nothing.').optional(),
  mode: modeSchema,
});

const some = (what: string): string =>
  problem('is empty', `name at least one, or remove it: then it is for all ${what}`);

/** What is refused, whatever roles allow. */
export const denySchema = z.strictObject({
  name: name('a name', 'Name of the rule, for the audit record.', 64),
  ...who,
  methods: list(
    z.union([method, z.literal('*')], {
      error: (issue) =>
        problem(
          `${quote(issue.input)} is not a method`,
          'write ModelInfer, package.Service/Method, package.Service/* or "*"',
        ),
    }),
    'Methods, as in roles, or `*`; `package.Service/*` includes sensitive methods. Default: all.',
    256,
  )
    .min(1, some('methods'))
    .optional(),
  models: modelsSchema(
    'Models. A request that names none may mean any, and is refused too. Default: all, and methods that name none.',
  )
    .min(1, some('models'))
    .optional(),
  versions: versionsSchema(
    'Versions of these models. A request that leaves the version open may mean any, and is refused too. Default: all.',
  )
    .min(1, some('versions'))
    .optional(),
  addresses: addressesSchema(
    'Addresses that the call comes from, as the connection has them. Default: any.',
  ).optional(),
  condition: conditionSchema('What a call must meet to be refused, in CEL. Default: nothing.').optional(),
  mode: modeSchema,
});
