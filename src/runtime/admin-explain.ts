/**
 * `GET /explain` on the admin port: `bulkhead explain` with the configuration in force. Identities come by name only, since URLs are
 * written down in many places; their credentials are assumed to be valid, and the answer says so.
 */
import { isIP } from 'node:net';
import type { Generation } from '../config/generation.ts';
import { systemClock } from '../kernel/clock.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import type { Question } from '../proxy/explain/question.ts';

const PARAMETERS = [
  'tenant',
  'method',
  'model',
  'version',
  'subject',
  'scope',
  'key',
  'certificate',
  'address',
  'server-name',
  'claims',
  'metadata',
] as const;
type Parameter = (typeof PARAMETERS)[number];

/** Answers from a query's names. */
export async function explainQuery(query: URLSearchParams, generation: Generation): Promise<Result<object, string>> {
  const question = questionOf(query);
  if (!question.ok) return question;
  // Loaded only here: the main thread needs none of it otherwise.
  const { explain } = await import('../proxy/explain/explanation.ts');
  const explained = await explain(generation, question.value);
  return explained.ok ? ok({ generation: generation.number, ...explained.value }) : explained;
}

function questionOf(query: URLSearchParams): Result<Question, string> {
  const known: readonly string[] = PARAMETERS;
  for (const name of new Set(query.keys())) {
    // Not repeated in the answer: somebody may have put a secret there.
    if (!known.includes(name)) return err(`a parameter is none of: ${PARAMETERS.join(', ')}`);
    if (query.getAll(name).length > 1) return err(`${name} comes twice`);
  }
  const value = (name: Parameter): string | undefined => query.get(name) ?? undefined;
  const [tenant, method, subject, scope, key] = [
    value('tenant'),
    value('method'),
    value('subject'),
    value('scope'),
    value('key'),
  ];
  if (tenant === undefined || method === undefined) return err('tenant and method are needed');
  if (scope !== undefined && subject === undefined) return err('scope goes with subject');
  const address = value('address');
  if (address !== undefined && isIP(address) === 0) return err('address is no IP address');
  const claims = objectOf(value('claims'));
  const metadata = objectOf(value('metadata'));
  if (claims === 'none' || metadata === 'none') return err('claims and metadata are JSON objects');
  if (claims !== undefined && subject === undefined) return err('claims go with subject');
  const serverName = value('server-name');
  return ok({
    tenant,
    method,
    model: value('model'),
    modelVersion: value('version'),
    credentials: {
      certificate: { kind: 'assumed', name: value('certificate') },
      token:
        subject === undefined
          ? undefined
          : {
              kind: 'assumed',
              subject,
              ...(scope === undefined ? {} : { scope }),
              ...(claims === undefined ? {} : { claims }),
            },
      apiKey: key === undefined ? undefined : { kind: 'assumed', id: key },
    },
    ...(address === undefined ? {} : { address }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(metadata === undefined ? {} : { metadata: textsOf(metadata) }),
    now: systemClock.now(),
  });
}

/** A parameter that is a JSON object; `none`: it is another text. */
function objectOf(text: string | undefined): Readonly<Record<string, unknown>> | undefined | 'none' {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : 'none';
  } catch {
    return 'none';
  }
}

/** Headers are text; what is none is left away. */
function textsOf(values: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) if (typeof value === 'string') texts[name] = value;
  return texts;
}
