/**
 * What each gate of an explanation went by: the rule with its file and line, and the facts that were held against it.
 */
import type { GateName } from '../../audit/record.ts';
import type { Caller } from '../../authn/authenticator.ts';
import type { Permit } from '../../authz/authorizer.ts';
import type { LimitConfig } from '../../config/quota-config.ts';
import type { TenantConfig } from '../../config/tenant-config.ts';
import type { Peer } from '../../identity/peer.ts';
import type { Denial, QuotaUnit } from '../../kernel/denial.ts';
import type { Result } from '../../kernel/result.ts';
import { CallClasses } from '../call-classes.ts';
import type { Admission } from '../pipeline.ts';
import type { Trail } from '../trail.ts';
import { place } from './remedy.ts';

/** What a call came to. */
export interface Outcome {
  readonly denial: Denial | undefined;
  readonly caller: Caller | undefined;
  readonly admission: Admission | undefined;
  readonly permit: Permit | undefined;
  readonly trail: Trail;
}

/** Of one gate that the pipeline went through. */
export function gateText(
  gate: GateName,
  { caller, admission, permit, denial, trail }: Outcome,
  tenant: TenantConfig,
  peer: Result<Peer, Denial>,
): { readonly rule: string; readonly detail: string } {
  switch (gate) {
    case 'identify':
      return {
        rule: `${place(tenant, 'clientCa')} clientCa`,
        detail: peer.ok ? `certificate ${peer.value.certificateId}` : '',
      };
    case 'authenticate':
      return { rule: credentialRule(tenant, caller, denial), detail: caller?.id ?? '' };
    case 'authorize':
      // Of a refusal: the rule that denies it, or there is none: it is that no role among these has the method.
      return {
        rule: admission?.permit.rule ?? (trail.rule === '' ? `${place(tenant, 'roles')} roles` : trail.rule),
        detail: admission?.method.fullName ?? '',
      };
    case 'queue':
      return {
        rule: tenant.priority === undefined ? 'scheduling' : `${tenant.file} priority`,
        detail: turnText(tenant, admission),
      };
    case 'reserve':
      return { rule: `${place(tenant, 'quota')} quota`, detail: quotaText(tenant) };
    case 'inspect':
      // Of a refusal: the rule that denies it, or the first that has the method.
      return {
        rule: permit?.rule ?? (trail.rule === '' ? (admission?.permit.rule ?? '') : trail.rule),
        detail: permit === undefined ? '' : modelText(permit),
      };
    case 'upstream':
      return { rule: '', detail: '' };
  }
}

/** Where the credential stands by which somebody is who they are, or the list that it is not in. */
function credentialRule(tenant: TenantConfig, caller: Caller | undefined, denial: Denial | undefined): string {
  const issuers = `${place(tenant, 'issuers')} issuers`;
  const keys = `${place(tenant, 'apiKeys')} apiKeys`;
  if (caller !== undefined) {
    if (caller.issuer !== undefined)
      return `${issuers}[${tenant.issuers.findIndex((one) => one.issuer === caller.issuer)}]`;
    if (caller.keyId === undefined) return `${place(tenant, 'accept')} accept`;
    return `${keys}[${tenant.apiKeys.findIndex((one) => one.id === caller.keyId)}]`;
  }
  switch (denial?.kind) {
    case 'api_key_invalid':
    case 'foreign_key_unproven':
      return keys;
    case 'address_not_allowed':
      return denial.by === 'api key' ? keys : `${place(tenant, denial.list)} ${denial.list}`;
    case 'credentials_missing':
      return `${place(tenant, 'accept')} accept`;
    case 'certificate_unacceptable':
      return `${place(tenant, 'clientCa')} clientCa`;
    default:
      return issuers;
  }
}

/** By what its turn would come, where calls wait. */
function turnText({ scheduling }: TenantConfig, admission: Admission | undefined): string {
  if (scheduling === undefined) return '';
  const { weight, concurrentCalls, classes } = scheduling;
  const name = admission && classes[new CallClasses(scheduling).of(admission.permit)]?.name;
  const limit = concurrentCalls === undefined ? '' : `; ${concurrentCalls} calls of all tenants at once`;
  const whose = `tenant’s weight ${weight}${name === undefined ? '' : `, class ${name}`}`;
  return `${whose}${limit} (whether calls wait now is not asked)`;
}

function quotaText({
  quota: { perTenant, perCaller, maxConcurrentCalls, limits: further, service },
  organisation,
}: TenantConfig): string {
  const limits = [
    ...(perTenant === undefined ? [] : [`tenant ${perTenant.callsPerSecond}/s, burst ${perTenant.burst}`]),
    ...(perCaller === undefined ? [] : [`caller ${perCaller.callsPerSecond}/s, burst ${perCaller.burst}`]),
    ...(maxConcurrentCalls === undefined ? [] : [`${maxConcurrentCalls} calls at once`]),
    ...(further ?? []).map(limitText),
    ...(service === undefined ? [] : [`what the rate limit service ${service.display} says`]),
    ...(organisation?.limits.map((limit) => `${limitText(limit)} (${organisation.name})`) ?? []),
  ];
  return limits.length === 0 ? 'no limits' : `${limits.join('; ')} (what is left of it now is not asked)`;
}

const WHAT: Readonly<Record<QuotaUnit, string>> = {
  calls: 'calls',
  requestBytes: 'request bytes',
  responseBytes: 'response bytes',
  tensorElements: 'tensor elements',
  inputTokens: 'input tokens',
  outputTokens: 'output tokens',
  computeSeconds: 'compute seconds',
};

function limitText({ name, level, unit, methods, models, versions, bound }: LimitConfig): string {
  const narrowed = [
    ...(models === undefined ? [] : [`of ${models.join(', ')}`]),
    ...(versions === undefined ? [] : [`in version ${versions.join(', ')}`]),
    ...(methods === undefined ? [] : [`in ${methods.join(', ')}`]),
  ];
  const who = [level, ...narrowed].join(' ');
  const what = unit === undefined ? 'calls' : WHAT[unit];
  switch (bound.kind) {
    case 'rate':
      return `${name}: ${who} ${bound.callsPerSecond}/s, burst ${bound.burst}`;
    case 'concurrency':
      return `${name}: ${who} ${bound.calls} calls at once`;
    case 'calendar':
      return `${name}: ${who} ${bound.amount} ${what} a ${bound.unit}, ${bound.zone}`;
    case 'sliding':
      return `${name}: ${who} ${bound.amount} ${what} in ${bound.lengthMs / 1_000} s`;
    case 'total':
      return `${name}: ${who} ${bound.amount} ${what} in all`;
  }
}

function modelText({ model, version }: Permit): string {
  return `model ${model === '' ? '(none named)' : model}, version ${version === '' ? 'latest' : version}`;
}
