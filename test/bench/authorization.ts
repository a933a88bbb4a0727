/**
 * What a decision costs with one tenant, one key and one rule, and with many of each: `node test/bench/authorization.ts`
 *
 *   node --expose-gc test/bench/authorization.ts [tenants [keys [rules]]]        10000 100 50
 *
 * A call by API key over its certificate, as the pipeline asks: the caller, the method, the model. Both sizes take turns in one run, so that the
 * machine's moods meet both; what counts is the ratio. `one busy tenant` is a tenant among many that calls all the time; `all in turn` calls
 * of all tenants, each of another one than the call before, so that nothing of it is in the processor's caches. Then conditions, by
 * what they depend on.
 */
import { hash } from 'node:crypto';
import { Authenticator } from '../../src/authn/authenticator.ts';
import { parseCredentials } from '../../src/authn/credentials.ts';
import { Directory } from '../../src/authn/directory.ts';
import { Authorizer } from '../../src/authz/authorizer.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { TEST_NOW_SECONDS } from '../fakes/tokens.ts';
import { fakeTenant, micros } from '../fakes/trust.ts';

const NOW = micros(TEST_NOW_SECONDS);
const ROUNDS = 30;
const CALLS = 20_000;
const INFER = { fullName: 'inference.GRPCInferenceService/ModelInfer', readsModel: true, sensitive: false };
const LIVE = { fullName: 'inference.GRPCInferenceService/ServerLive', readsModel: false, sensitive: false };

const acme = fakeTenant('acme');
const peer = acme.peer();
const secretOf = (key: string): string => hash('sha256', key, 'base64url');

/** A tenant with so many keys and roles; it has acme's certificates, so that one peer can call all. */
function tenant(keys: number, rules: number, changes: Partial<TenantConfig> = {}): TenantConfig {
  const ids = Array.from({ length: keys }, (_, index) => `key-${index}`);
  return {
    ...acme.config,
    apiKeys: ids.map((id) => ({
      id,
      sha256: hash('sha256', secretOf(id), 'hex'),
      expiresAtSeconds: undefined,
      revoked: false,
    })),
    roles: Array.from({ length: rules }, (_, index) => ({
      ...{ name: `role-${index}`, methods: [INFER.fullName, LIVE.fullName], versions: ['*'] },
      ...{ models: [`model-${index}-*`, 'digits'], source: `tenants/acme.yaml:${index} roles[${index}]` },
    })),
    bindings: Array.from({ length: rules }, (_, index) => ({
      ...{ role: `role-${index}`, subjects: [], keys: ids.slice(0, 10), certificates: [] },
      source: `tenants/acme.yaml:${index} bindings[${index}]`,
    })),
    ...changes,
  };
}

type Call = () => boolean;

/** A call of one key of a tenant, as the pipeline makes it. */
function caller(config: TenantConfig): Call {
  const authenticator = new Authenticator(config, new Directory([config]));
  const authorizer = new Authorizer(config);
  const presented = parseCredentials(undefined, `bk_key-0_${secretOf('key-0')}`);
  if (!presented.ok) throw new Error(presented.error.kind);
  const facts = { peer, headers: ['user-agent', 'grpc', 'x-purpose', 'nightly'], at: NOW };
  return () => {
    const who = authenticator.authenticate(peer, presented.value, NOW);
    if (who instanceof Promise || !who.ok) return false;
    const permit = authorizer.method(who.value, INFER, NOW, authorizer.asksCalls ? facts : undefined);
    return permit.ok && authorizer.model(permit.value, 'digits', '').ok;
  };
}

interface Series {
  readonly name: string;
  readonly calls: readonly Call[];
  readonly nanos: number[];
}

function measure(series: readonly Series[]): void {
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { calls, nanos } of series) {
      const begin = process.hrtime.bigint();
      let passed = 0;
      for (let index = 0; index < CALLS; index += 1) if (calls[index % calls.length]?.() === true) passed += 1;
      nanos.push(Number(process.hrtime.bigint() - begin) / CALLS);
      if (passed !== CALLS) throw new Error('a call was refused');
    }
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function print(series: readonly Series[]): void {
  const base = median(series[0]?.nanos ?? []);
  for (const { name, nanos } of series) {
    const middle = median(nanos);
    console.log(
      `${name.padEnd(44)} ${(middle / 1000).toFixed(2).padStart(6)} µs  ${(middle / base).toFixed(2)} of the first`,
    );
  }
}

const [tenants = 10_000, keys = 100, rules = 50] = process.argv.slice(2).map(Number);
const gc: unknown = Reflect.get(globalThis, 'gc');
const settle = (): number => {
  if (typeof gc === 'function') gc();
  return process.memoryUsage().heapUsed;
};

const small = caller(tenant(1, 1));
const before = settle();
const many = Array.from({ length: tenants }, () => caller(tenant(keys, rules)));
const bytes = settle() - before;
console.log(`${tenants} tenants with ${keys} keys and ${rules} rules, as they are compiled once each has called`);
const sizes: readonly Series[] = [
  { name: '1 tenant, 1 key, 1 rule', calls: [small], nanos: [] },
  { name: `one busy tenant of ${tenants}`, calls: many.slice(0, 1), nanos: [] },
  { name: 'all in turn', calls: many, nanos: [] },
];
// The first call of each is the one that decides.
for (const call of many) call();
measure(sizes);
print(sizes);
console.log(
  `memory: ${(bytes / tenants / 1024).toFixed(0)} KiB for a tenant, ${(bytes / 1024 ** 2).toFixed(0)} MiB of heap for ${tenants * keys} keys; RSS ${(process.memoryUsage.rss() / 1024 ** 2).toFixed(0)} MiB`,
);

const CLAUSES = [
  'call.address == "127.0.0.1"',
  'caller.tenant == "acme"',
  'caller.kind in ["api-key", "token"]',
  'call.service.startsWith("inference.")',
  'call.metadata["x-purpose"] == "nightly"',
  'call.time > timestamp("2026-01-01T00:00:00Z") - duration("1h")',
].join(' && ');

const conditions = [
  ['no condition', undefined],
  ['on the caller: remembered', 'caller.key_id == "key-0" && caller.kind == "api-key"'],
  ['on the model: remembered', 'call.model.startsWith("dig")'],
  ['on the time', 'call.time < timestamp("2030-01-01T00:00:00Z")'],
  ['on the hour in a zone', 'call.time.getHours("Europe/Berlin") < 24'],
  ['on a header', '"x-purpose" in call.metadata && call.metadata["x-purpose"] == "nightly"'],
  ['on the address, and five more clauses', CLAUSES],
] as const;
const asked: readonly Series[] = conditions.map(([name, condition]) => {
  const plain = tenant(1, 1, { metadata: ['x-purpose'] });
  const roles = condition === undefined ? plain.roles : plain.roles.map((role) => ({ ...role, condition }));
  return { name, calls: [caller({ ...plain, roles })], nanos: [] };
});
measure(asked);
console.log('\none condition (a whole call; the first line is what it costs without)');
print(asked);
