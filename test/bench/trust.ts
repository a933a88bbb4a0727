/**
 * What trust costs a call whose credentials are known: authenticate, method, model, each remembered.
 *
 * Run with `node test/bench/trust.ts [--json]`. CPU time of this process, fixed iterations, the median and the spread of 9
 * rounds, interleaved with an empty loop whose cost is subtracted. A wall-clock figure would say more about the machine.
 */
import { Authenticator } from '../../src/authn/authenticator.ts';
import { parseCredentials } from '../../src/authn/credentials.ts';
import { Directory } from '../../src/authn/directory.ts';
import { Authorizer } from '../../src/authz/authorizer.ts';
import { FakeIssuer, TEST_NOW_SECONDS } from '../fakes/tokens.ts';
import { fakeTenant, micros } from '../fakes/trust.ts';

const ROUNDS = 9;
const CALLS = 200_000;
/** CPU microseconds a call may cost here; the build fails above it. */
const GOAL_MICROS = 1;

const METHOD = { fullName: 'inference.GRPCInferenceService/ModelInfer', readsModel: true, sensitive: false };
const NOW = micros(TEST_NOW_SECONDS);

const tenant = fakeTenant(
  'acme',
  {
    roles: [
      {
        name: 'predict',
        methods: [METHOD.fullName],
        models: ['digits', 'acme-*'],
        versions: ['*'],
        source: 'acme.yaml:1',
      },
    ],
    bindings: [{ role: 'predict', subjects: ['*'], keys: ['*'], certificates: [], source: 'acme.yaml:9' }],
  },
  new FakeIssuer('https://acme.idp.test', 'RS256'),
);
const authenticator = new Authenticator(tenant.config, new Directory([tenant.config]));
const authorizer = new Authorizer(tenant.config);
const peer = tenant.peer();
/** Callers of one tenant that take turns, as in a pool of connections. */
const tokens = Array.from(
  { length: 16 },
  (_, index) => `Bearer ${tenant.issuer.token({ sub: `caller-${String(index)}` })}`,
);

function call(authorization: string | undefined, apiKey: string | undefined, model: string): boolean {
  const presented = parseCredentials(authorization, apiKey);
  if (!presented.ok) return false;
  const caller = authenticator.authenticate(peer, presented.value, NOW);
  if (caller instanceof Promise || !caller.ok) return false;
  const method = authorizer.method(caller.value, METHOD, NOW);
  return method.ok && authorizer.model(method.value, model, '').ok;
}

interface Case {
  readonly name: string;
  readonly run: (index: number) => boolean;
}

const cases: readonly Case[] = [
  { name: 'token', run: (index) => call(tokens[index & 15], undefined, 'digits') },
  // As from a peer that does not index the header: equal, but another string object each time.
  {
    name: 'token, fresh string',
    run: (index) => call(Buffer.from(tokens[index & 15] ?? '').toString('latin1'), undefined, 'digits'),
  },
  { name: 'api key', run: () => call(undefined, tenant.apiKey, 'digits') },
  { name: 'model denied', run: (index) => !call(tokens[index & 15], undefined, 'globex-secret') },
];

function cpuMicrosPerCall(run: (index: number) => boolean): number {
  const begin = process.cpuUsage();
  let passed = 0;
  for (let index = 0; index < CALLS; index += 1) if (run(index)) passed += 1;
  const { user, system } = process.cpuUsage(begin);
  if (passed !== CALLS) throw new Error(`${String(CALLS - passed)} calls had the wrong verdict`);
  return (user + system) / CALLS;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

for (const token of tokens) {
  const presented = parseCredentials(token, undefined);
  if (presented.ok) await authenticator.authenticate(peer, presented.value, NOW);
}

const samples = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
const empty: number[] = [];
for (let round = 0; round <= ROUNDS; round += 1) {
  const base = cpuMicrosPerCall((index) => index >= 0);
  // The first round warms up.
  if (round > 0) empty.push(base);
  for (const { name, run } of cases) {
    const cost = cpuMicrosPerCall(run) - base;
    if (round > 0) samples.get(name)?.push(cost);
  }
}

const rows = [...samples].map(([name, values]) => ({
  name,
  cpuMicros: Number(median(values).toFixed(3)),
  low: Number(Math.min(...values).toFixed(3)),
  high: Number(Math.max(...values).toFixed(3)),
}));
if (process.argv.includes('--json'))
  process.stdout.write(`${JSON.stringify({ calls: CALLS, rounds: ROUNDS, rows })}\n`);
else
  for (const row of rows)
    process.stdout.write(`${row.name.padEnd(22)} ${row.cpuMicros} µs per call (${row.low} to ${row.high})\n`);
if (rows.some(({ name, cpuMicros }) => name === 'token' && cpuMicros >= GOAL_MICROS)) {
  process.stderr.write(`a remembered token costs ${String(GOAL_MICROS)} µs or more\n`);
  process.exitCode = 1;
}
