/**
 * What may be said of quotas: a tenant's own limits, and those of the organisations that tenants belong to.
 */
import { z } from 'zod';
import { parseDurationMs } from '../kernel/units.ts';
import { ENTRY_NAMES } from './rate-service-config.ts';
import { count, duration, filePath, list, name, problem, quote, rate, size, text, timestamp } from './schema-values.ts';

/** As many as one tenant or organisation may have: a call looks at each of those that are about it. */
export const MAX_LIMITS = 16;

/** As many as there is room for in the shared tables, with those of the generation before. */
export const MAX_ORGANISATIONS = 128;

const rateLimit = (who: string) =>
  z
    .strictObject({
      calls: rate,
      burst: count(`Calls that may come at once. Default: one second’s worth.`, 1, 1_000_000_000).optional(),
    })
    .meta({ description: `Rate of ${who}.` });

const CALENDAR = ['minute', 'hour', 'day', 'month'] as const;

/** What a limit's `window` says. */
export type WindowSource =
  | { readonly kind: 'calendar'; readonly unit: (typeof CALENDAR)[number] }
  | { readonly kind: 'sliding'; readonly lengthMs: number }
  | { readonly kind: 'total' };

const MAX_SLIDING_MS = 32 * 86_400_000;
const WRITE_WINDOW = 'write minute, hour, day, month, total, or a duration from 1s to 32d, for example 24h';

/** `day`: by the calendar; `24h`: sliding; `total`: all there is. */
const windowOf = z
  .string({
    error: (issue) =>
      issue.input === undefined ? undefined : problem(`${quote(issue.input)} is not a window`, WRITE_WINDOW),
  })
  .regex(/^(minute|hour|day|month|total|\d{1,9}(s|m|h|d))$/, {
    error: (issue) => problem(`${quote(issue.input)} is not a window`, WRITE_WINDOW),
  })
  .meta({
    description:
      'Time that something is counted in: `minute`, `hour`, `day` or `month` by the calendar of `zone`; a duration (`1s` to `32d`), of which any stretch counts, to a tenth; or `total`: until `since` says otherwise.',
    examples: ['day'],
  })
  .transform((text, context): WindowSource => {
    const unit = CALENDAR.find((one) => one === text);
    if (unit !== undefined) return { kind: 'calendar', unit };
    if (text === 'total') return { kind: 'total' };
    const lengthMs = parseDurationMs(text);
    if (lengthMs === undefined || lengthMs < 1_000 || lengthMs > MAX_SLIDING_MS) {
      context.addIssue({ code: 'custom', message: problem('must be from 1s to 32d', WRITE_WINDOW) });
      return z.NEVER;
    }
    return { kind: 'sliding', lengthMs };
  });

const zone = z
  .string({
    error: (issue) =>
      issue.input === undefined
        ? undefined
        : problem(
            `${quote(issue.input)} is not a time zone`,
            'write its name as IANA has it, for example Europe/Berlin',
          ),
  })
  .max(64, problem('is not a time zone', 'write its name as IANA has it, for example Europe/Berlin'))
  .refine(isZone, {
    error: (issue) =>
      problem(`${quote(issue.input)} is not a time zone`, 'write its name as IANA has it, for example Europe/Berlin'),
  })
  .meta({ description: 'Time zone of a calendar window (IANA). Default: UTC.', examples: ['Europe/Berlin'] });

function isZone(text: string): boolean {
  try {
    Temporal.Now.zonedDateTimeISO(text);
    return true;
  } catch {
    return false;
  }
}

const scope = z
  .literal('fleet', {
    error: (issue) =>
      issue.input === undefined
        ? undefined
        : problem(`${quote(issue.input)} is not a scope`, 'write fleet, or remove it: this sidecar alone'),
  })
  .optional()
  .meta({
    description: '`fleet`: of all sidecars that share a store (`fleet` in the main file). Default: of this one.',
  });

/** What a limit counts, and how much of it there may be: no more than 15 digits, which is what RateLimit fields can tell (RFC 9651 §3.3.1). */
const bound = {
  name: text(
    'a name (lower-case letters, digits and hyphens, at most 40)',
    /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/,
    'daily',
    'The limit’s name. What was used is kept under it, and it is told to who is refused.',
  ),
  rate: rate.optional().meta({ description: 'Calls per second, minute or hour, as a bucket that refills steadily.' }),
  burst: count('Calls that `rate` lets come at once. Default: one second’s worth.', 1, 1_000_000_000).optional(),
  concurrentCalls: count('Calls in progress at once.', 1, 1_000_000).optional(),
  calls: count('Calls within `window`.', 1, 1_000_000_000_000).optional(),
  requestBytes: size('Bytes of request messages within `window`.', '10GiB', '1B', '524288GiB').optional(),
  responseBytes: size('Bytes of response messages within `window`.', '10GiB', '1B', '524288GiB').optional(),
  tensorElements: count(
    'Elements of the input tensors of requests within `window`.',
    1,
    1_000_000_000_000_000,
  ).optional(),
  inputTokens: count('Tokens of prompts within `window`.', 1, 1_000_000_000_000_000).optional(),
  outputTokens: count('Tokens that models put out within `window`.', 1, 1_000_000_000_000_000).optional(),
  computeSeconds: count(
    'Seconds of the model server within `window`, each times its model’s weight (`quota.compute`).',
    1,
    1_000_000_000,
  ).optional(),
  scope,
  window: windowOf.optional(),
  zone: zone.optional(),
  since: timestamp
    .optional()
    .meta({ description: 'For `window: total`: a later time, once it has come, begins the count anew.' }),
  methods: only(
    name('a pattern', 'Methods, as `package.Service/Method` (`*` within either).').regex(/^[\w.*]+\/[\w*]+$/, {
      error: (issue) =>
        problem(`${quote(issue.input)} is not a method`, 'write package.Service/Method, package.Service/* or */Method'),
    }),
    'methods',
  ),
  models: only(name('a pattern', 'Models (`*` within a name).'), 'models'),
  versions: only(name('a pattern', 'Versions, as requests name them (`*` within a version).'), 'versions of a model'),
};

/** What a limit is narrowed to. */
function only(pattern: z.ZodString, of: string) {
  return list(pattern, `The ${of} that it is for. Default: all.`, 64)
    .min(1, problem('is empty', 'name at least one, or remove the key for all'))
    .optional();
}

const limit = z
  .strictObject({
    ...bound,
    per: z
      .enum(['tenant', 'caller', 'model'])
      .default('tenant')
      .meta({ description: 'Who has it to itself: all of the tenant together, each caller, or each model.' }),
  })
  .meta({
    description:
      'One limit: `rate`, `concurrentCalls`, or one of `calls`, `requestBytes`, `responseBytes`, `tensorElements`, `inputTokens`, `outputTokens` and `computeSeconds` within a `window`.',
  });

/** A tenant's limit as the schema leaves it. */
export type LimitSource = z.output<typeof limit>;

const organisationName = text(
  'a name (lower-case letters, digits and hyphens, at most 63)',
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
  'acme-group',
  'Name of an organisation of the main file, whose limits hold for all its tenants together. Default: none.',
);

const tokenSource = (which: string) =>
  z
    .strictObject({
      metadata: text(
        'the name of a header (lower-case, without -bin)',
        /^(?!.*-bin$)[a-z0-9][a-z0-9_.-]{0,127}$/,
        'x-output-tokens',
        'Header or trailer of the response that says it.',
      ).optional(),
      parameter: name(
        'a name',
        'Parameter of a KServe V2 response (`parameters`) that says it, an integer.',
        128,
      ).optional(),
    })
    .meta({ description: `Where a response says its ${which} tokens. Default: as vLLM says it.` });

const tokens = z
  .strictObject({
    input: tokenSource('input').optional(),
    output: tokenSource('output').optional(),
    counting: z.enum(['increments', 'totals']).default('increments').meta({
      description: 'Whether a parameter is of the message that it is in (`increments`), or of all so far (`totals`).',
    }),
    estimate: z
      .strictObject({
        input: count('Input tokens.', 1, 100_000_000).default(256),
        output: count('Output tokens.', 1, 100_000_000).default(256),
      })
      .prefault({})
      .meta({
        description: 'What is reserved for a request that does not say, and what counts when nothing ever does.',
      }),
  })
  .meta({ description: 'How tokens are counted.' });

const compute = z
  .strictObject({
    estimate: duration(
      'Time that is reserved for a request, and paid ahead while it runs.',
      '1s',
      '10ms',
      '1h',
    ).default(1_000),
    weights: list(
      z.strictObject({
        models: list(name('a pattern', 'Models (`*` within a name).'), 'The models that it is for.', 64).min(
          1,
          problem('is empty', 'name at least one'),
        ),
        weight: z
          .number({ error: problem('must be a number from 0.001 to 1000', 'write a number, for example 8') })
          .min(0.001, problem('must be a number from 0.001 to 1000', 'write a number, for example 8'))
          .max(1_000, problem('must be a number from 0.001 to 1000', 'write a number, for example 8'))
          .meta({ description: 'What a second of such a model counts.' }),
      }),
      'What a second of a model counts; the first that fits. Default: 1.',
      64,
    ).default([]),
  })
  .meta({ description: 'How compute time is counted.' });

/** Of the model server's statuses those that may be its own failure. */
const REFUNDABLE = ['UNKNOWN', 'RESOURCE_EXHAUSTED', 'ABORTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'] as const;
const service = z
  .strictObject({
    address: name('an address', '`http://host:port`, `https://host:port` or `unix:/path` of the service.', 2_048),
    ca: filePath('PEM file with its CA (https only). Default: the system’s.').optional(),
    domain: text(
      'a domain (letters, digits and -._, at most 100)',
      /^[A-Za-z0-9._-]{1,100}$/,
      'bulkhead',
      'The domain whose rules the service applies.',
    ),
    descriptors: list(
      list(
        z.enum(ENTRY_NAMES),
        'Its entries, in order: `tenant`, `caller` (as the audit record names it), `method`.',
        3,
      ).min(1, problem('is empty', 'name at least one of tenant, caller, method')),
      'What it is asked about each call: descriptors of entries that have these names as keys.',
      8,
    ).min(1, problem('is empty', 'add a descriptor, for example [tenant]')),
    timeout: duration('A call waits so long for the answer.', '20ms', '1ms', '5s').prefault('20ms'),
    whenUnavailable: z
      .enum(['refuse', 'allow'])
      .default('refuse')
      .meta({ description: 'Without an answer: refuse the call, or go by the other limits alone.' }),
  })
  .meta({ description: 'A rate limit service of Envoy’s protocol (v3), which is asked about each call.' });

export const quotaSchema = z
  .strictObject({
    tenant: rateLimit('all callers of this tenant together').optional(),
    caller: rateLimit('each caller').optional(),
    concurrentCalls: count('Calls in progress at once, of all callers together.', 1, 1_000_000).optional(),
    organisation: organisationName.optional(),
    service: service.optional(),
    announce: list(
      z.enum(['ratelimit', 'x-ratelimit']),
      'How clients are told with each answer which limits they have and what is left of them: `ratelimit` (the fields ratelimit and ratelimit-policy), `x-ratelimit` (x-ratelimit-limit, -remaining and -reset, for clients that know those). Default: only who is refused is told.',
      2,
    ).default([]),
    tokens: tokens.optional(),
    compute: compute.optional(),
    refund: list(
      z.enum(REFUNDABLE),
      'Statuses of the model server for which a call gets back what it took of windows and totals, but for bytes. Default: none.',
      REFUNDABLE.length,
    ).default([]),
    limits: list(limit, 'Further limits; a call must fit into all of them.', MAX_LIMITS).default([]),
  })
  .meta({ description: 'How much this tenant may call. What is left away is not limited.' });

const organisationLimit = z.strictObject(bound).meta({
  description: 'One limit of all its tenants together, as in `quota.limits` of a tenant.',
});

export const organisationSchema = z
  .strictObject({
    name: organisationName.meta({ description: 'The organisation’s name, for `quota.organisation` of its tenants.' }),
    limits: list(organisationLimit, 'Its limits; a call must fit into all of them.', MAX_LIMITS).min(
      1,
      problem('is empty', 'add a limit, or remove the organisation'),
    ),
  })
  .meta({ description: 'Tenants that share limits beside their own.' });

/** A rate limit service as the schema leaves it. */
export type RateServiceSource = z.output<typeof service>;

/** An organisation as the schema leaves it. */
export type OrganisationSource = z.output<typeof organisationSchema>;
