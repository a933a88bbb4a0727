/**
 * Decisions agree with a plain model of what the manual says: over generated roles, bindings and deny rules, in force and in shadow, with
 * conditions that are met, are not, or cannot be evaluated. `FUZZ_RUNS` is how many, in tens.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Authenticator, type Caller } from '../../src/authn/authenticator.ts';
import { parseCredentials } from '../../src/authn/credentials.ts';
import { Directory } from '../../src/authn/directory.ts';
import { Authorizer, withoutModel } from '../../src/authz/authorizer.ts';
import type { BindingConfig, DenyConfig, RoleConfig } from '../../src/config/policy-config.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { binding } from '../fakes/explain.ts';
import { TEST_NOW_SECONDS } from '../fakes/tokens.ts';
import { fakeTenant, micros } from '../fakes/trust.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 400) * 10;
const NOW = micros(TEST_NOW_SECONDS);
const SERVICE = 's.S';
const METHODS = [
  { fullName: 's.S/Infer', readsModel: true, sensitive: false },
  { fullName: 's.S/Load', readsModel: true, sensitive: true },
  { fullName: 's.S/Live', readsModel: false, sensitive: false },
] as const;

const acme = fakeTenant('acme');
const peer = acme.peer();
const CLAIMS: NonNullable<TenantConfig['claims']> = [{ name: 'groups', path: '/groups', type: 'strings' }];
const everyGroup = binding({ claims: [{ path: '/groups', values: ['ml', 'ops'] }] });

interface Known {
  readonly caller: Caller;
  readonly subject: string | undefined;
  readonly groups: readonly string[] | undefined;
}

async function known(subject: string | undefined, groups?: readonly string[]): Promise<Known> {
  const config = { ...acme.config, bindings: [everyGroup], claims: CLAIMS };
  const token = subject === undefined ? undefined : `Bearer ${acme.issuer.token({ sub: subject, groups })}`;
  const presented = parseCredentials(token, subject === undefined ? acme.apiKey : undefined);
  if (!presented.ok) throw new Error(presented.error.kind);
  const verdict = await new Authenticator(config, new Directory([config])).authenticate(peer, presented.value, NOW);
  if (!verdict.ok) throw new Error(verdict.error.kind);
  return { caller: verdict.value, subject, groups };
}

const callers = [
  await known('alice', ['ml']),
  await known('alice'),
  await known('bob', ['ml', 'ops']),
  await known('bob', []),
  await known(undefined),
];

interface Call extends Known {
  readonly method: (typeof METHODS)[number];
  readonly model: string;
  readonly version: string;
  readonly purpose: string | undefined;
}

type Met = boolean | 'failed';

/** Conditions, and what each means. */
const CONDITIONS: readonly (readonly [string, (call: Call) => Met])[] = [
  ['caller.subject == "alice"', ({ subject }) => subject === 'alice'],
  ['"ops" in claims.groups', ({ groups }) => (groups === undefined ? 'failed' : groups.includes('ops'))],
  ['call.model == "a"', ({ model }) => (model === '' ? 'failed' : model === 'a')],
  ['call.metadata["x-purpose"] == "test"', ({ purpose }) => (purpose === undefined ? 'failed' : purpose === 'test')],
  ['call.method.endsWith("Infer")', ({ method }) => method.fullName.endsWith('Infer')],
  ['call.time > timestamp("2030-01-01T00:00:00Z")', () => false],
];
const meaning = new Map(CONDITIONS);

const seldom = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: of });
const condition = seldom(fc.constantFrom(...CONDITIONS.map(([text]) => text)));
const mode = seldom(fc.constant('shadow' as const));
const some = <T>(...of: readonly T[]): fc.Arbitrary<readonly T[]> => fc.subarray([...of], { minLength: 1 });
const effect = fc.record({ condition, mode }).map(({ condition: text, mode: shadow }) => ({
  ...(text === undefined ? {} : { condition: text }),
  ...(shadow === undefined ? {} : { mode: shadow }),
}));
const who = fc
  .record({
    subjects: fc.subarray(['alice', 'bob', '*']),
    keys: fc.subarray(['*']),
    groups: fc.option(some('ml', 'ops'), { nil: undefined }),
  })
  .map(({ subjects, keys, groups }) => ({
    ...{ subjects, keys, certificates: [] },
    ...(groups === undefined ? {} : { claims: [{ path: '/groups', values: groups }] }),
  }));

const roles = fc.array(
  fc.tuple(
    some('s.S/*', ...METHODS.map(({ fullName }) => fullName)),
    some('a', 'b', '*'),
    some('1', 'latest', '*'),
    effect,
  ),
  { minLength: 1, maxLength: 3 },
);
const rules = fc.record({
  roles: roles.map((all) =>
    all.map(
      ([methods, models, versions, how], index): RoleConfig => ({
        ...{ name: `r${index}`, methods, models, versions, source: `f:${index} roles[${index}]` },
        ...how,
      }),
    ),
  ),
  bindings: fc.array(fc.tuple(fc.nat(2), who, effect), { minLength: 1, maxLength: 4 }).map((all) =>
    all.map(
      ([role, named, how], index): BindingConfig => ({
        ...{ role: `r${role}`, ...named, source: `f:${index} bindings[${index}]` },
        ...how,
      }),
    ),
  ),
  denials: fc
    .array(
      fc.tuple(
        fc.option(who, { nil: undefined }),
        fc.option(some('*', 's.S/*', 's.S/Infer', 's.S/Load'), { nil: undefined }),
        fc.option(some('a', 'b'), { nil: undefined }),
        fc.option(some('1', '2'), { nil: undefined }),
        effect,
      ),
      { maxLength: 2 },
    )
    .map((all) =>
      all.map(
        ([named, methods, models, versions, how], index): DenyConfig => ({
          ...{ name: `d${index}`, source: `f:${index} denyRules[${index}]` },
          ...(named === undefined ? {} : { who: named }),
          ...(methods === undefined ? {} : { methods }),
          ...(models === undefined ? {} : { models }),
          ...(versions === undefined ? {} : { versions }),
          ...how,
        }),
      ),
    ),
});
type Rules = typeof rules extends fc.Arbitrary<infer T> ? T : never;

const call: fc.Arbitrary<Call> = fc
  .record({
    who: fc.constantFrom(...callers),
    method: fc.constantFrom(...METHODS),
    model: fc.constantFrom('', 'a', 'b'),
    version: fc.constantFrom('', '1', '2'),
    purpose: fc.constantFrom(undefined, 'test', 'other'),
  })
  .map(({ who: named, ...rest }) => ({
    ...named,
    ...rest,
    ...(rest.method.readsModel ? {} : { model: '', version: '' }),
  }));

// --- the plain model

function names(
  { subjects, keys, claims }: Pick<BindingConfig, 'subjects' | 'keys' | 'claims'>,
  { subject, groups }: Call,
): boolean {
  const bySubject = subject !== undefined && (subjects.includes(subject) || subjects.includes('*'));
  const byKey = subject === undefined && keys.includes('*');
  const byGroups = claims !== undefined && groups?.some((group) => claims[0]?.values.includes(group)) === true;
  return bySubject || byKey || byGroups;
}

const met = (text: string | undefined, of: Call): Met =>
  text === undefined ? true : (meaning.get(text)?.(of) ?? 'failed');
const readsModel = (text: string | undefined): boolean => text?.includes('call.model') === true;

function denies(rule: DenyConfig, of: Call): boolean {
  const { method, model, version } = of;
  if (rule.who !== undefined && !names(rule.who, of)) return false;
  if (rule.methods?.some((name) => name === '*' || name === `${SERVICE}/*` || name === method.fullName) === false)
    return false;
  const narrowed = rule.models !== undefined || rule.versions !== undefined;
  if (narrowed && !method.readsModel) return false;
  if (rule.models !== undefined && model !== '' && !rule.models.includes(model)) return false;
  if (rule.versions !== undefined && version !== '' && !rule.versions.includes(version)) return false;
  return met(rule.condition, of) !== false;
}

/** Whether a role allows the call; `method`: as far as its method goes. */
function allows(role: RoleConfig, bound: BindingConfig, of: Call, stage: 'method' | 'model'): boolean {
  const { method, model, version } = of;
  if (!names(bound, of)) return false;
  const has = role.methods.includes(method.fullName) || (!method.sensitive && role.methods.includes(`${SERVICE}/*`));
  if (!has) return false;
  for (const text of [role.condition, bound.condition]) {
    if (stage === 'method' && method.readsModel && readsModel(text)) continue;
    if (met(text, of) !== true) return false;
  }
  if (stage === 'method' || !method.readsModel) return true;
  const fits = role.models.includes('*') || (model !== '' && role.models.includes(model));
  return fits && (role.versions.includes('*') || role.versions.includes(version === '' ? 'latest' : version));
}

interface Decision {
  readonly allowed: boolean;
  /** It was decided by the method alone. */
  readonly early: boolean;
}

function decide({ roles: all, bindings, denials }: Rules, of: Call, shadowToo: boolean): Decision {
  const counts = ({ mode: is }: { readonly mode?: 'shadow' }): boolean => shadowToo || is !== 'shadow';
  const isEarly = (rule: DenyConfig): boolean =>
    !of.method.readsModel || !(rule.models !== undefined || rule.versions !== undefined || readsModel(rule.condition));
  const refusing = denials.filter((rule) => counts(rule) && denies(rule, of));
  const granted = (stage: 'method' | 'model'): boolean =>
    bindings.some((bound) => {
      const role = all.find(({ name }) => name === bound.role);
      return role !== undefined && counts(bound) && counts(role) && allows(role, bound, of, stage);
    });
  if (refusing.some(isEarly) || !granted('method')) return { allowed: false, early: true };
  return { allowed: refusing.length === 0 && granted('model'), early: false };
}

function expected(of: Rules, asked: Call): string {
  const real = decide(of, asked, false);
  const inShadow = decide(of, asked, true);
  // A call that the method alone refused was not asked for its model: what would have come of that is not known.
  const would = real.early && !real.allowed ? !inShadow.early || inShadow.allowed : inShadow.allowed;
  if (real.allowed) return would ? 'allow' : 'allow, would deny';
  return would ? 'deny, would allow' : 'deny';
}

function actual(of: Rules, asked: Call): string {
  const by = new Authorizer({ id: acme.config.id, ...of, claims: CLAIMS, metadata: ['x-purpose'] });
  const { caller, method, model, version, purpose } = asked;
  const facts = { peer, headers: purpose === undefined ? [] : ['x-purpose', purpose], at: NOW };
  const decided = (): string => {
    const first = by.method(caller, method, NOW, by.asksCalls ? facts : undefined);
    if (!first.ok) return `deny${first.shadow === undefined ? '' : `, would ${first.shadow.verdict}`}`;
    const last = method.readsModel ? by.model(first.value, model, version) : withoutModel(first.value);
    const shadow = last.ok ? last.value.shadow : last.shadow;
    return `${last.ok ? 'allow' : 'deny'}${shadow === undefined ? '' : `, would ${shadow.verdict}`}`;
  };
  const once = decided();
  // What is remembered says the same.
  expect(decided()).toBe(once);
  return once;
}

test('a decision is what the manual says', () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(rules, fc.array(call, { minLength: 4, maxLength: 4 }), (of, asked) => {
      for (const one of asked) {
        const said = actual(of, one);
        seen.set(said, (seen.get(said) ?? 0) + 1);
        expect(said).toBe(expected(of, one));
      }
    }),
    { numRuns: RUNS, seed: 20_261_124 },
  );
  for (const verdict of ['allow', 'deny', 'allow, would deny', 'deny, would allow']) {
    expect(seen.get(verdict) ?? 0, verdict).toBeGreaterThan(RUNS / 50);
  }
});
