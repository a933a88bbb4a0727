/**
 * From what is written about quotas to limits: each has one bound, and only what belongs to that bound.
 */
import { createHash } from 'node:crypto';
import { GrpcStatus } from '../grpc/status.ts';
import type { FileScope } from './file-scope.ts';
import type { Finding, ValuePath } from './finding.ts';
import type { Generation } from './generation.ts';
import type {
  LimitBound,
  LimitConfig,
  LimitLevel,
  OrganisationConfig,
  QuotaConfig,
  TokenConfig,
  TokenSource,
} from './quota-config.ts';
import { buildRateService } from './rate-service.ts';
import type { LimitSource, OrganisationSource } from './schema-quota.ts';
import type { TenantSource } from './schema-tenant.ts';
import { nearest } from './suggestion.ts';
import type { BuiltTenant, TenantDraft } from './tenant.ts';

/** An organisation before it has its place in the shared tables. */
export type OrganisationDraft = Omit<OrganisationConfig, 'slot'>;

/** Builds a tenant's quota. */
export function buildQuota(scope: FileScope, { quota, protocols }: TenantSource): QuotaConfig {
  const limits = buildLimits(scope, ['quota', 'limits'], quota.limits, (source) => source.per);
  if (!protocols.includes('vllm')) judgeTokens(scope, quota);
  const service = buildRateService(scope, quota.service);
  return {
    perTenant: rateOf(quota.tenant),
    perCaller: rateOf(quota.caller),
    maxConcurrentCalls: quota.concurrentCalls,
    ...(limits.length === 0 ? {} : { limits }),
    ...(service === undefined ? {} : { service }),
    ...(quota.organisation === undefined ? {} : { organisation: quota.organisation }),
    ...(quota.announce.length === 0 ? {} : { announce: quota.announce }),
    ...(quota.tokens === undefined ? {} : { tokens: buildTokens(scope, quota.tokens) }),
    ...(quota.compute === undefined
      ? {}
      : { compute: { estimateMs: quota.compute.estimate, weights: quota.compute.weights } }),
    ...(quota.refund.length === 0 ? {} : { refund: quota.refund.map((status) => GrpcStatus[status]) }),
  };
}

/** vLLM tells of tokens by itself; of all others it has to be said where. */
function judgeTokens(scope: FileScope, { limits, tokens }: TenantSource['quota']): void {
  for (const [index, limit] of limits.entries())
    for (const which of ['input', 'output'] as const) {
      if (limit[`${which}Tokens`] === undefined || tokens?.[which] !== undefined) continue;
      scope.report(
        { path: ['quota', 'limits', index, `${which}Tokens`], at: 'key' },
        'are counted, and nothing says where the model server tells them',
        `add quota: { tokens: { ${which}: { metadata: x-${which}-tokens } } }, or { parameter: NAME } for KServe V2`,
      );
    }
}

type TokensSource = NonNullable<TenantSource['quota']['tokens']>;

function buildTokens(scope: FileScope, { input, output, counting, estimate }: TokensSource): TokenConfig {
  const [inputSource, outputSource] = [sourceOf(scope, 'input', input), sourceOf(scope, 'output', output)];
  return {
    ...(inputSource === undefined ? {} : { input: inputSource }),
    ...(outputSource === undefined ? {} : { output: outputSource }),
    counting,
    estimatedInput: estimate.input,
    estimatedOutput: estimate.output,
  };
}

function sourceOf(scope: FileScope, which: 'input' | 'output', source: TokensSource['input']): TokenSource | undefined {
  if (source === undefined) return undefined;
  const { metadata, parameter } = source;
  if (metadata !== undefined && parameter === undefined) return { metadata };
  if (parameter !== undefined && metadata === undefined) return { parameter };
  const message = metadata === undefined ? 'names nothing' : 'has metadata and parameter: it is one or the other';
  scope.report({ path: ['quota', 'tokens', which] }, message, 'write { metadata: x-tokens } or { parameter: tokens }');
  return undefined;
}

/** Builds the organisations of the main file. */
export function buildOrganisations(
  scope: FileScope,
  sources: readonly OrganisationSource[],
): readonly OrganisationDraft[] {
  const names = new Set<string>();
  return sources.map((source, index) => {
    const path = ['organisations', index];
    if (names.has(source.name))
      scope.report({ path: [...path, 'name'] }, `${source.name} stands twice`, 'join the two, or rename one');
    names.add(source.name);
    const limits = buildLimits(scope, [...path, 'limits'], source.limits, () => 'organisation');
    return { name: source.name, limits };
  });
}

/** Which tenants name an organisation that is not there, and which organisations nobody names. */
export function judgeOrganisations(
  organisations: readonly OrganisationDraft[] | undefined,
  tenants: readonly BuiltTenant[],
): readonly Finding[] {
  // While the main file is wrong, nobody knows which there are.
  if (organisations === undefined) return [];
  const names = organisations.map((one) => one.name);
  const findings: Finding[] = [];
  for (const { document, draft } of tenants) {
    const named = draft?.quota.organisation;
    if (named === undefined || names.includes(named)) continue;
    const near = nearest(named, names);
    const fix = near === undefined ? 'add it under organisations in the main file' : `did you mean ${near}?`;
    findings.push(
      document.finding({ path: ['quota', 'organisation'] }, `the main file has no organisation ${named}`, fix),
    );
  }
  return findings;
}

/** Gives each organisation the slot that it had, or one that neither generation uses. */
export function withOrganisationSlots(
  drafts: readonly OrganisationDraft[],
  previous: Generation | undefined,
): readonly OrganisationConfig[] {
  const before = new Map(previous?.organisations?.map((one) => [one.name, one]));
  const used = new Set(previous?.organisations?.map(({ slot }) => slot));
  let next = 0;
  return drafts.map((draft) => {
    const known = before.get(draft.name);
    if (known !== undefined) return { ...draft, slot: known.slot };
    while (used.has(next)) next += 1;
    used.add(next);
    return { ...draft, slot: next };
  });
}

/** Gives the tenants the limits of their organisations. A change of an organisation is one of each of its tenants. */
export function inOrganisations(
  drafts: readonly TenantDraft[],
  organisations: readonly OrganisationConfig[],
): readonly TenantDraft[] {
  if (organisations.length === 0) return drafts;
  const digests = new Map(organisations.map((one) => [one.name, { one, text: JSON.stringify(one) }]));
  return drafts.map((draft) => {
    const found = digests.get(draft.quota.organisation ?? '');
    if (found === undefined) return draft;
    const digest = createHash('sha256').update(draft.digest).update(found.text).digest('hex');
    return { ...draft, digest, organisation: found.one };
  });
}

type BoundSource = Omit<LimitSource, 'per'> & Partial<Pick<LimitSource, 'per'>>;

function buildLimits<S extends BoundSource>(
  scope: FileScope,
  path: ValuePath,
  sources: readonly S[],
  levelOf: (source: S) => LimitLevel,
): readonly LimitConfig[] {
  const names = new Set<string>();
  const limits: LimitConfig[] = [];
  for (const [index, source] of sources.entries()) {
    const here = [...path, index];
    if (names.has(source.name))
      scope.report({ path: [...here, 'name'] }, `${source.name} stands twice`, 'give each limit a name of its own');
    names.add(source.name);
    const level = levelOf(source);
    const unit = UNITS.find((key) => source[key] !== undefined) ?? 'calls';
    const bound = boundOf(scope, here, source);
    if (bound === undefined) continue;
    if (source.scope !== undefined && bound.kind === 'concurrency') {
      const message = 'is not counted over several sidecars: calls in progress are each one’s own';
      scope.report({ path: [...here, 'scope'], at: 'key' }, message, 'remove it');
    }
    limits.push({
      name: source.name,
      level,
      ...(unit === 'calls' ? {} : { unit }),
      ...(source.scope === undefined ? {} : { scope: source.scope }),
      bound,
      ...(source.methods === undefined ? {} : { methods: source.methods }),
      ...(source.models === undefined ? {} : { models: source.models }),
      ...(source.versions === undefined ? {} : { versions: source.versions }),
    });
  }
  return limits;
}

/** What is counted within a window. */
const UNITS = [
  'calls',
  'requestBytes',
  'responseBytes',
  'tensorElements',
  'inputTokens',
  'outputTokens',
  'computeSeconds',
] as const;
const AMOUNTS = ['rate', 'concurrentCalls', ...UNITS] as const;

function boundOf(scope: FileScope, path: ValuePath, source: BoundSource): LimitBound | undefined {
  const amounts = AMOUNTS.filter((key) => source[key] !== undefined);
  const [only] = amounts;
  if (only === undefined || amounts.length > 1) {
    const message = only === undefined ? 'limits nothing' : `has ${amounts.join(' and ')}: one limit bounds one thing`;
    const fix =
      only === undefined
        ? `add rate, concurrentCalls, or one of ${UNITS.join(', ')} with window`
        : 'make each a limit of its own';
    scope.report({ path }, message, fix);
    return undefined;
  }
  const { rate, burst, concurrentCalls, window } = source;
  const unit = UNITS.find((key) => key === only);
  const amount = unit === undefined ? undefined : source[unit];
  const foreign = [
    only !== 'rate' && burst !== undefined ? (['burst', 'rate'] as const) : undefined,
    unit === undefined && window !== undefined ? (['window', 'something that is counted'] as const) : undefined,
    window?.kind !== 'calendar' && source.zone !== undefined ? (['zone', 'a calendar window'] as const) : undefined,
    window?.kind !== 'total' && source.since !== undefined ? (['since', 'window: total'] as const) : undefined,
  ].filter((one) => one !== undefined);
  for (const [key, owner] of foreign)
    scope.report({ path: [...path, key], at: 'key' }, `has no meaning without ${owner}`, 'remove it');
  if (foreign.length > 0) return undefined;
  if (rate !== undefined) return { kind: 'rate', ...ratePerSecond(rate, burst) };
  if (concurrentCalls !== undefined) return { kind: 'concurrency', calls: concurrentCalls };
  if (amount === undefined) return undefined;
  if (window === undefined) {
    const fix = 'add window: minute, hour, day, month, total, or a duration';
    scope.report({ path: [...path, 'window'] }, `is missing, and ${only} needs it`, fix);
    return undefined;
  }
  switch (window.kind) {
    case 'calendar':
      return { kind: 'calendar', amount, unit: window.unit, zone: source.zone ?? 'UTC' };
    case 'sliding':
      return { kind: 'sliding', amount, lengthMs: window.lengthMs };
    case 'total':
      return { kind: 'total', amount, sinceSeconds: source.since ?? 0 };
  }
}

function rateOf(limit: TenantSource['quota']['tenant']): QuotaConfig['perTenant'] {
  return limit === undefined ? undefined : ratePerSecond(limit.calls, limit.burst);
}

function ratePerSecond(callsPerSecond: number, burst: number | undefined): { callsPerSecond: number; burst: number } {
  return { callsPerSecond, burst: burst ?? Math.max(1, Math.ceil(callsPerSecond)) };
}
