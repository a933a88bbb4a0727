/**
 * Why a call would be let through or refused, gate by gate.
 *
 * The call is put together and handed to the pipeline with the gates that the configuration compiles to: nothing is decided here.
 * Quota is decided with full buckets: how much of it is left depends on the calls before.
 */
import type { X509Certificate } from 'node:crypto';
import type { GateName } from '../../audit/record.ts';
import { ClientStatuses } from '../../authn/client-statuses.ts';
import { Directory } from '../../authn/directory.ts';
import { askResponder, statusOf } from '../../authn/ocsp-exchange.ts';
import { fetchRevocationLists } from '../../authn/revocation-list-fetch.ts';
import { Revocations } from '../../authn/revocations.ts';
import type { ShadowVerdict } from '../../authz/authorizer.ts';
import { type RuleReport, reportRules } from '../../authz/rule-report.ts';
import { parseCertificates } from '../../config/certificates.ts';
import type { Generation } from '../../config/generation.ts';
import { openTenant, type StoredTenant } from '../../config/stored-tenant.ts';
import type { TenantConfig } from '../../config/tenant-config.ts';
import { type DocumentFetch, DocumentFetcher } from '../../fetching/document-fetch.ts';
import { viewDenial } from '../../grpc/denial-table.ts';
import { statusName } from '../../grpc/status.ts';
import { acceptPeer, type Peer } from '../../identity/peer.ts';
import type { Denial } from '../../kernel/denial.ts';
import { err, ok, type Result } from '../../kernel/result.ts';
import { attachSharedState, createSharedState } from '../../quota/shared-state.ts';
import { describe } from '../describe-denial.ts';
import { trustOf } from '../peer-judge.ts';
import { admit, permitMessage } from '../pipeline.ts';
import { gatesOf, type TenantResources, trustedCas } from '../tenant-runtime.ts';
import { Trail } from '../trail.ts';
import { type Assumed, assumeCertificate, assumeKey, assumeToken } from './assumed-credentials.ts';
import { gateText, type Outcome } from './gate-text.ts';
import { fullMethodName, type Question } from './question.ts';
import { remedyOf } from './remedy.ts';

export interface Explanation {
  readonly tenant: string;
  /** `package.Service/Method`. */
  readonly method: string;
  readonly model: string;
  readonly modelVersion: string;
  /** `token:<sub>`, `key:<id>`, `cert:<name>`; empty when nobody was authenticated. */
  readonly caller: string;
  readonly verdict: 'allowed' | 'denied';
  readonly gates: readonly GateExplanation[];
  /** The rules that are about it, where the tenant has any that deny, have a condition or are in shadow: each by itself. */
  readonly rules: readonly RuleReport[];
  /** What rules in shadow would have decided otherwise; undefined: nothing. */
  readonly shadow: ShadowVerdict | undefined;
  /** Present when it is denied. */
  readonly refusal: RefusalExplanation | undefined;
  /** What was taken for granted. */
  readonly assumed: readonly string[];
}

export interface GateExplanation {
  /** `request`: what comes before all gates, that the headers make sense. */
  readonly gate: GateName | 'request';
  readonly verdict: 'pass' | 'deny' | 'not reached';
  /** What decides, with file and line; empty where nothing did. */
  readonly rule: string;
  readonly detail: string;
}

export interface RefusalExplanation {
  /** `Denial.kind`, as on record. */
  readonly kind: Denial['kind'];
  /** What the caller sees. */
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  /** What the operator may know. */
  readonly why: string;
  readonly allow: readonly string[];
}

/** Explains a call under a configuration, or says why it cannot be asked. A key set by URL is fetched, as for a call. */
export async function explain(
  { tenants, fetching, denied }: Pick<Generation, 'tenants' | 'fetching' | 'denied'>,
  question: Question,
): Promise<Result<Explanation, string>> {
  const stored = tenants.find(({ id }) => id === question.tenant);
  if (stored === undefined) return err(noTenant(question.tenant, tenants));
  // Nobody's first use of a token: an explanation has a memory of its own.
  const { replayMemory: _shared, ...own } = openTenant(stored);
  const presented = present(alone(own), question);
  if (!presented.ok) return presented;
  const others = tenants.filter((other) => other !== stored);
  const { fetch } = new DocumentFetcher(fetching?.allowAddresses);
  const statuses = new ClientStatuses({ ask: () => undefined, changed: () => undefined });
  const revocations = new Revocations(denied, statuses);
  await fetchLists(presented.value.tenant, revocations, fetch);
  await askAbout(presented.value, statuses, fetch);
  return ok(await run(presented.value, others, question, { fetch, revocations }));
}

/** Those that the tenant names by URL. Without one that cannot be had, it is decided as a call would be. */
async function fetchLists(tenant: TenantConfig, revocations: Revocations, fetch: DocumentFetch): Promise<void> {
  const { clientRevocation, clientCaPem } = tenant;
  if (clientRevocation === undefined || clientRevocation.urls.length === 0) return;
  const fetched = clientRevocation.urls.map((source) => fetchRevocationLists(source, clientCaPem, fetch));
  const lists = (await Promise.all(fetched)).flatMap((result) => (result.ok ? result.value : []));
  revocations.setLists(tenant.id, lists);
}

/** Its responder, as at the beginning of a connection. */
async function askAbout(
  { tenant, peer }: PresentedCall,
  statuses: ClientStatuses,
  fetch: DocumentFetch,
): Promise<void> {
  const ocsp = tenant.clientRevocation?.ocsp;
  const issued = peer.ok && ocsp !== undefined ? peer.value.issued(trustedCas(tenant.clientCaPem)) : undefined;
  if (!peer.ok || ocsp === undefined || issued === undefined) return;
  const question = { tenant: tenant.id, id: peer.value.certificate.sha256, ...issued };
  statuses.hold(question, ocsp.timeoutMs);
  const answer = await askResponder(question, ocsp, { fetch, nowMs: Date.now });
  const status = answer.ok ? statusOf(answer.value, ocsp, Date.now()) : { status: 'none' as const, why: answer.error };
  statuses.take(question.tenant, question.id, status);
}

/** In tables of its own, where it is the first. */
function alone(tenant: TenantConfig): TenantConfig {
  const { organisation } = tenant;
  return { ...tenant, slot: 0, ...(organisation === undefined ? {} : { organisation: { ...organisation, slot: 0 } }) };
}

function noTenant(id: string, tenants: readonly StoredTenant[]): string {
  const some = tenants.slice(0, 5).map((tenant) => tenant.id);
  const more = tenants.length > some.length ? ', …' : '';
  return `there is no tenant ${id}; there ${some.length === 0 ? 'is none' : `are: ${some.join(', ')}${more}`}`;
}

/** A call as it would come: what its connection has shown, and its headers. */
interface PresentedCall {
  /** As configured, with trust in what is assumed. */
  readonly tenant: TenantConfig;
  readonly peer: Result<Peer, Denial>;
  readonly headers: readonly string[];
  readonly assumed: readonly string[];
}

function present(configured: TenantConfig, question: Question): Result<PresentedCall, string> {
  const { credentials, now } = question;
  let tenant = configured;
  const assumed: string[] = [];
  const take = <T>(one: Assumed<T>): T => {
    tenant = one.tenant;
    assumed.push(one.note);
    return one.value;
  };
  const { certificate, token, apiKey } = credentials;
  if (certificate.kind === 'presented' && configured.clientCaPem === '') return err(NO_AUTHORITIES);
  const leaf =
    certificate.kind === 'presented' ? readChain(certificate.pem) : assume(tenant, certificate.name, question);
  if (!leaf.ok) return leaf;
  const client = 'value' in leaf.value ? take(leaf.value) : leaf.value;
  const headers = [':method', 'POST', ':scheme', 'https', ':path', `/${fullMethodName(question.method, tenant)}`];
  headers.push('content-type', 'application/grpc', 'te', 'trailers');
  for (const [name, value] of Object.entries(question.metadata ?? {})) headers.push(name.toLowerCase(), value);
  if (token !== undefined) {
    const sha256 = client.fingerprint256.replaceAll(':', '');
    const text = token.kind === 'presented' ? token.text : take(assumeToken(tenant, token, sha256, now));
    headers.push('authorization', `Bearer ${text}`);
  }
  if (apiKey !== undefined) {
    headers.push('x-api-key', apiKey.kind === 'presented' ? apiKey.text : take(assumeKey(tenant, apiKey)));
  }
  const claim = { id: tenant.id, slot: tenant.slot, by: 'sni' } as const;
  const trust = { ...trustOf(tenant), clientCas: trustedCas(tenant.clientCaPem) };
  const { address = NOBODY.address } = question;
  if (token?.kind === 'presented' && tenant.issuers.some(({ replay }) => replay !== undefined)) {
    assumed.push('the first use of the token');
  }
  if (
    question.address === undefined &&
    (tenant.addresses ?? tenant.apiKeys.find((key) => key.addresses)) !== undefined
  ) {
    assumed.push(`a connection from ${address}`);
  }
  const serverName = question.serverName?.toLowerCase() ?? tenant.serverNames[0] ?? '';
  const peer = acceptPeer(claim, client, { address, port: 0, serverName }, trust, now);
  return ok({ tenant, peer, headers, assumed });
}

const NO_AUTHORITIES =
  'the tenant’s certificate authorities come from the SPIFFE Workload API, and are not known here: ask the running sidecar (/explain), or name the certificate instead of showing it';

function assume(
  tenant: TenantConfig,
  name: string | undefined,
  { now }: Question,
): Result<Assumed<X509Certificate>, string> {
  try {
    return ok(assumeCertificate(tenant, name, now));
  } catch (cause) {
    return err(
      `no certificate can have the name ${name ?? ''}: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

/** The leaf of a file, with the intermediates that follow it where a handshake would have put them. */
function readChain(pem: string): Result<X509Certificate, string> {
  const parsed = parseCertificates(pem);
  if (!parsed.ok) return err(`the certificate ${parsed.error.message}`);
  const [leaf, ...above] = parsed.value;
  if (leaf === undefined) return err('the certificate’s file holds none');
  let below = leaf;
  for (const issuer of above) {
    Object.defineProperty(below, 'issuerCertificate', { value: issuer });
    below = issuer;
  }
  return ok(leaf);
}

async function run(
  { tenant, peer, headers, assumed }: PresentedCall,
  others: readonly StoredTenant[],
  question: Question,
  access: Pick<TenantResources, 'fetch' | 'revocations'>,
): Promise<Explanation> {
  const state = createSharedState({
    tenantSlots: 1,
    organisationSlots: 1,
    limitCells: 1,
    workers: 1,
    epoch: question.now,
  });
  const tables = attachSharedState(state, 0);
  const gates = gatesOf(tenant, { tables, directory: new Directory([tenant, ...others]), ...access });
  const fullName = fullMethodName(question.method, tenant);
  const method = gates.method(`/${fullName}`);
  const target = {
    // Of a server that has one model, requests name none: it is the one that they are about.
    ...(method === undefined || method.servedModel === ''
      ? { model: question.model ?? '', version: question.modelVersion ?? '' }
      : { model: method.servedModel, version: '' }),
    further: [],
  };
  const trail = new Trail({
    tenantId: tenant.id,
    peer: peer.ok ? peer.value : NOBODY,
    generation: 0,
    clientContext: 'link',
    sampleRatio: 0,
    now: () => question.now,
  });
  const outcome: Outcome = { denial: undefined, caller: undefined, admission: undefined, permit: undefined, trail };
  const settled = await decide();
  const refused = { tenant, caller: trail.caller, method, model: target.model, modelVersion: target.version };
  return {
    tenant: tenant.id,
    method: fullName,
    model: method?.readsModel === true ? target.model : '',
    modelVersion: method?.readsModel === true ? target.version : '',
    caller: trail.caller?.id ?? '',
    verdict: settled.denial === undefined ? 'allowed' : 'denied',
    gates: gatesIn(settled, tenant, peer),
    rules: rulesOf(),
    shadow: trail.shadow,
    refusal: settled.denial === undefined ? undefined : refusalOf(settled.denial),
    assumed,
  };

  function rulesOf(): readonly RuleReport[] {
    const { caller, head } = trail;
    const rules = [...tenant.roles, ...tenant.bindings, ...(tenant.denials ?? [])];
    const isPlain =
      tenant.denials === undefined && rules.every(({ condition, mode }) => (condition ?? mode) === undefined);
    if (isPlain || caller === undefined || method === undefined || head === undefined || !peer.ok) return [];
    const facts = { peer: peer.value, headers: head.passOn, at: question.now };
    const named = method.readsModel ? target : { model: '', version: '' };
    const { model, version } = named;
    return reportRules(tenant, { caller, method, model, version, facts }, question.now).slice(0, MAX_RULES);
  }

  async function decide(): Promise<Outcome> {
    if (!peer.ok) return { ...outcome, denial: trail.fail('identify', peer).error };
    const revoked = gates.revoked(peer.value, question.now);
    if (revoked !== undefined) return { ...outcome, denial: trail.fail('identify', revoked).error };
    const admission = await admit(headers, peer.value, gates, trail);
    if (!admission.ok) return { ...outcome, denial: admission.error, caller: trail.caller };
    admission.value.lease.settle();
    const known = { ...outcome, caller: trail.caller, admission: admission.value };
    const permit = permitMessage(admission.value, target, gates, trail);
    return permit.ok ? { ...known, permit: permit.value } : { ...known, denial: permit.error };
  }

  function refusalOf(denial: Denial): RefusalExplanation {
    const seen = viewDenial(denial, trail.caller === undefined ? '' : tenant.id);
    const { reason, message } = seen;
    return { kind: denial.kind, status: statusName(seen.status), reason, message, ...remedyOf(denial, refused) };
  }
}

/** Rules that one explanation shows. */
const MAX_RULES = 100;

const NOBODY = { address: '127.0.0.1', port: 0, certificate: { sha256: '' } };

/** The gates that the pipeline went through, in its order, and those that it did not come to. */
function gatesIn(outcome: Outcome, tenant: TenantConfig, peer: Result<Peer, Denial>): readonly GateExplanation[] {
  const { denial, trail } = outcome;
  const noted = trail.record(NO_END).gates;
  const gates: GateExplanation[] = [];
  for (const { gate, verdict } of noted) {
    const denied = verdict === 'deny' && denial !== undefined;
    const { rule, detail } = gateText(gate, outcome, tenant, peer);
    // Who asks what would come of a call takes nobody's place: where calls wait, that is between these two.
    if (gate === 'reserve' && tenant.scheduling !== undefined && !gates.some((one) => one.gate === 'queue'))
      gates.push({ gate: 'queue', verdict: 'pass', ...gateText('queue', outcome, tenant, peer) });
    gates.push({ gate, verdict: denied ? 'deny' : 'pass', rule, detail: denied ? describe(denial) : detail });
  }
  if (denial !== undefined && !noted.some(({ verdict }) => verdict === 'deny')) {
    gates.push({ gate: 'request', verdict: 'deny', rule: '', detail: describe(denial) });
  }
  const reads = outcome.admission === undefined || outcome.admission.method.readsModel;
  for (const gate of IN_ORDER) {
    if (gate === 'queue' && tenant.scheduling === undefined) continue;
    if (gates.some((one) => one.gate === gate) || (gate === 'inspect' && !reads)) continue;
    gates.push({ gate, verdict: 'not reached', rule: '', detail: '' });
  }
  return gates;
}

/** As the pipeline has them. */
const IN_ORDER = ['identify', 'authenticate', 'authorize', 'queue', 'reserve', 'inspect'] as const;

const NO_END = {
  outcome: 'ok',
  grpcStatus: 0,
  reason: '',
  detail: '',
  requestBytes: 0,
  responseBytes: 0,
  requestMessages: 0,
  responseMessages: 0,
  upstream: '',
  path: '',
} as const;
