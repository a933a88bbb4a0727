/**
 * Explains a call that is on record: what was decided then, what the present configuration decides, and whether they differ.
 *
 * A record holds no credentials, only who had shown valid ones; so they are assumed to be valid now.
 */

import type { CallRecord, GateName } from '../../audit/record.ts';
import type { Generation } from '../../config/generation.ts';
import { openTenant } from '../../config/stored-tenant.ts';
import type { TenantConfig } from '../../config/tenant-config.ts';
import type { EpochMicros } from '../../kernel/ids.ts';
import { err, ok, type Result } from '../../kernel/result.ts';
import { type Explanation, explain } from './explanation.ts';
import type { CertificateCredential, Credentials, Question, TokenCredential } from './question.ts';

/** What a record says of the decision. */
export interface RecordedDecision {
  readonly traceId: string;
  /** Configuration generation of the process that ran then. */
  readonly generation: number;
  readonly startedAt: EpochMicros;
  readonly verdict: 'allowed' | 'denied';
  /** The gate that refused it; `request`: none of them did, and it was refused all the same. */
  readonly gate: GateName | 'request' | undefined;
  readonly grpcStatus: number;
  readonly reason: string;
  readonly rule: string;
  readonly detail: string;
}

export interface RecordedExplanation {
  /** What was decided when the call was made. */
  readonly recorded: RecordedDecision;
  /** What the configuration given decides. */
  readonly present: Explanation;
  /** undefined: they cannot be compared. */
  readonly differs: boolean | undefined;
  /** In words. */
  readonly comparison: string;
}

/** Takes from a record what was decided. */
export function decisionOf(record: CallRecord): RecordedDecision {
  const { traceId, generation, startedAt, grpcStatus, reason, rule, detail } = record;
  const refusing = record.gates.find((gate) => gate.verdict === 'deny' && gate.gate !== 'upstream');
  const gate = refusing?.gate ?? (record.outcome === 'denied' ? 'request' : undefined);
  const verdict = gate === undefined ? 'allowed' : 'denied';
  return { traceId, generation, startedAt, verdict, gate, grpcStatus, reason, rule, detail };
}

/** Asks the present configuration about a recorded call. `certificate`: the client's, where the record cannot name it. */
export async function explainRecord(
  generation: Pick<Generation, 'tenants' | 'fetching' | 'denied'>,
  record: CallRecord,
  certificate: CertificateCredential | undefined,
  now: EpochMicros,
): Promise<Result<RecordedExplanation, string>> {
  const stored = generation.tenants.find(({ id }) => id === record.tenant);
  const tenant = stored && openTenant(stored);
  const credentials = credentialsOf(record, tenant, certificate, now);
  if (!credentials.ok) return credentials;
  const question: Question = {
    tenant: record.tenant,
    method: record.method === '_OTHER' ? record.methodOriginal : record.method,
    model: record.model,
    modelVersion: record.modelVersion,
    address: record.peerAddress,
    credentials: credentials.value,
    now,
  };
  const explained = await explain(generation, question);
  if (!explained.ok) return explained;
  const recorded = decisionOf(record);
  return ok({ recorded, present: explained.value, ...compare(recorded, explained.value, record) });
}

function credentialsOf(
  record: CallRecord,
  tenant: TenantConfig | undefined,
  certificate: CertificateCredential | undefined,
  now: EpochMicros,
): Result<Credentials, string> {
  const { caller } = record;
  const colon = caller.indexOf(':');
  const name = caller.slice(colon + 1);
  const any: CertificateCredential = certificate ?? { kind: 'assumed', name: undefined };
  switch (caller.slice(0, Math.max(0, colon))) {
    case 'token': {
      const strength = strengthOf(record, tenant, now);
      return ok({ certificate: any, token: { kind: 'assumed', subject: name, ...strength }, apiKey: undefined });
    }
    case 'key':
      return ok({ certificate: any, token: undefined, apiKey: { kind: 'assumed', id: name } });
    case 'cert':
      return ok({ certificate: certificate ?? { kind: 'assumed', name }, token: undefined, apiKey: undefined });
    case 'egress':
      return err('the call went out of a client’s pod, where nothing is decided: ask the ingress that it went to');
    default:
      return err(
        'nobody was authenticated: present the credentials (--token, --api-key-file, --cert) to ask about them',
      );
  }
}

/**
 * A record says whether a token was strong enough for the role that decided, not how strong it was: where that was not why it was
 * refused, it had what that role asks for.
 */
function strengthOf(
  { reason, rule }: CallRecord,
  tenant: TenantConfig | undefined,
  now: EpochMicros,
): Partial<Extract<TokenCredential, { kind: 'assumed' }>> {
  const [source, name] = rule.split(' → role ');
  const asked = tenant?.bindings.find((binding) => binding.source === source)?.claims;
  const claims =
    asked === undefined ? {} : { claims: Object.fromEntries(asked.map(({ path, values }) => [path, values[0]])) };
  if (reason === 'insufficient_scope' || reason === 'step_up_required') return claims;
  const role = tenant?.roles.find((one) => one.name === name);
  const acr = role?.stepUp?.acrValues[0];
  return {
    ...claims,
    ...(role?.scopes === undefined ? {} : { scope: role.scopes.join(' ') }),
    ...(acr === undefined ? {} : { acr }),
    ...(role?.stepUp === undefined ? {} : { amr: role.stepUp.amr }),
    ...(role?.stepUp?.maxAgeMs === undefined ? {} : { authTimeSeconds: Math.floor(now / 1_000_000) }),
  };
}

function compare(
  then: RecordedDecision,
  now: Explanation,
  record: CallRecord,
): Pick<RecordedExplanation, 'differs' | 'comparison'> {
  if (then.gate === 'reserve') {
    const comparison = 'its quota was used up then; how much of it is left now is not asked';
    return { differs: now.verdict === 'denied' ? true : undefined, comparison };
  }
  if (then.gate === 'queue') {
    const comparison = 'too many calls waited for their turn then; how many wait now is not asked';
    return { differs: now.verdict === 'denied' ? true : undefined, comparison };
  }
  if (then.gate === undefined && now.refusal?.kind === 'model_denied' && record.model === '') {
    return { differs: undefined, comparison: 'it ended before it was known which model it was for' };
  }
  if (then.gate === 'request' && now.verdict === 'allowed') {
    const comparison = `it was refused for what is not asked here: ${then.reason}`;
    return { differs: undefined, comparison };
  }
  if (then.verdict !== now.verdict && now.rules.some(looksBeyondTheRecord)) {
    const comparison = `it was ${then.verdict} then; a condition looks at claims or headers, which are not on record`;
    return { differs: undefined, comparison };
  }
  if (then.verdict !== now.verdict) {
    const comparison = `they differ: it was ${then.verdict} then, and would be ${now.verdict} now`;
    return { differs: true, comparison };
  }
  if (now.refusal !== undefined && now.refusal.kind !== then.reason) {
    return {
      differs: true,
      comparison: `they differ: denied both times, then for ${then.reason}, now for ${now.refusal.kind}`,
    };
  }
  return { differs: false, comparison: `they agree: ${now.verdict} then and now` };
}

/** Whether a condition reads what no record has. */
function looksBeyondTheRecord({ conditions }: Explanation['rules'][number]): boolean {
  return conditions.some(({ seen }) => seen.some((value) => /^(claims\.|call\.metadata|caller\.)/.test(value)));
}
