/**
 * What a tenant's file may say of conditions: themselves, and what of tokens and headers they may speak of.
 */
import { z } from 'zod';
import { canonicalClaimPath } from '../authn/claim-path.ts';
import { MAX_CONDITION_LENGTH } from '../conditions/condition.ts';
import { list, name, problem, quote, text } from './schema-values.ts';

/** An expression; `conditions.ts` says what is wrong with it. */
export const conditionSchema = (description: string) => name('a condition in CEL', description, MAX_CONDITION_LENGTH);

/** Whether a rule has effect. */
export const modeSchema = z.enum(['enforce', 'shadow']).default('enforce').meta({
  description: '`shadow`: decided and put on record, and without effect.',
});

const claimType = z.enum(['string', 'strings', 'bool', 'int'], {
  error: (issue) =>
    problem(`${quote(issue.input)} is no type of a claim`, 'write string, strings (a list), bool or int'),
});

/** Claims that conditions may speak of, by the name that they have there. */
export const declaredClaimsSchema = z
  .record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/),
    z.union([
      claimType,
      z.strictObject({
        path: z
          .string()
          .refine((path) => canonicalClaimPath(path) !== undefined, {
            error: (issue) =>
              problem(
                `${quote(issue.input)} is no path of a claim`,
                'write its name, names joined by dots (realm_access.roles), or a JSON Pointer (/https:~1~1acme.example~1groups)',
              ),
          })
          .meta({ description: 'Where the token has it. Default: under its name.' })
          .optional(),
        type: claimType,
      }),
    ]),
  )
  .refine((claims) => Object.keys(claims).length <= 32, {
    error: problem('has more than 32 claims', 'declare those that conditions speak of'),
  })
  .meta({
    description:
      'Claims of tokens that conditions may speak of as `claims.<name>`, with their type: `string`, `strings` (a list, or one), `bool`, `int`. A claim of another type is absent.',
  });

/** Those that never reach a condition: credentials, what the protocol uses, and what is removed as nobody may set it. */
const RESERVED =
  /^(authorization|x-api-key|cookie|proxy-authorization|te|host|forwarded|x-real-ip|x-tenant-id|l5d-client-id|traceparent|tracestate|baggage|content-(type|length)|(grpc|x-bulkhead|client-cert|x-forwarded|x-gateway-inference|x-envoy)(-.*)?|.*-bin)$/;

/** Header names that conditions may speak of. */
export const metadataSchema = list(
  text('a header’s name in lower case', /^[a-z0-9][a-z0-9-]{0,63}$/, 'x-purpose', 'A header’s name.').refine(
    (header) => !RESERVED.test(header),
    {
      error: (issue) =>
        problem(
          `${quote(issue.input)} never reaches a condition`,
          'name a header that clients set and the model server gets',
        ),
    },
  ),
  'Request headers that conditions may speak of as `call.metadata["x-…"]`. Clients choose their values.',
  16,
);
