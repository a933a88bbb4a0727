/**
 * Whether a caller can tell by time what an API key is refused for: `node test/bench/key-lookup.ts`.
 *
 * Each kind is looked up in turn, so that the machine's moods meet all of them; what is printed is the median of rounds and
 * its distance from that of the unknown key. The distance has to be small beside the spread of one kind with itself, which is
 * what the second unknown key is for.
 */
import { hash } from 'node:crypto';
import { ApiKeys } from '../../src/authn/api-keys.ts';
import { Directory } from '../../src/authn/directory.ts';
import type { ApiKeyConfig } from '../../src/config/credentials-config.ts';
import { TEST_NOW_SECONDS } from '../fakes/tokens.ts';
import { fakeTenant, micros } from '../fakes/trust.ts';

const ROUNDS = 400;
const LOOK_UPS = 500;
const NOW = micros(TEST_NOW_SECONDS);
const SECRET = hash('sha256', 'the secret', 'base64url');
const sha256 = hash('sha256', SECRET, 'hex');

function key(id: string, changes: Partial<ApiKeyConfig> = {}): ApiKeyConfig {
  return { id, sha256, expiresAtSeconds: undefined, revoked: false, ...changes };
}

const many = Array.from({ length: 1000 }, (_, index) => key(`key-${index}`, { sha256: '0'.repeat(64) }));
const tenant = fakeTenant('acme', {
  apiKeys: [
    ...many,
    key('known'),
    key('revoked', { revoked: true }),
    key('expired', { expiresAtSeconds: TEST_NOW_SECONDS - 1 }),
    key('rotated', { sha256: '0'.repeat(64), previous: { sha256, expiresAtSeconds: TEST_NOW_SECONDS - 1 } }),
  ],
}).config;
const other = fakeTenant('globex', {
  apiKeys: [
    key('foreign'),
    key('foreign-revoked', { revoked: true }),
    ...Array.from({ length: 1000 }, (_, index) => key(`foreign-${index}`)),
  ],
}).config;
const keys = new ApiKeys(tenant, new Directory([tenant, other]));
const wrong = hash('sha256', 'another secret', 'base64url');

const kinds = [
  { name: 'unknown', presented: { id: 'nobody1', secret: SECRET } },
  { name: 'unknown, again', presented: { id: 'nobody2', secret: SECRET } },
  { name: 'wrong secret', presented: { id: 'known', secret: wrong } },
  { name: 'revoked', presented: { id: 'revoked', secret: SECRET } },
  { name: 'expired', presented: { id: 'expired', secret: SECRET } },
  { name: 'secret before, ended', presented: { id: 'rotated', secret: SECRET } },
  { name: 'another tenant’s id', presented: { id: 'foreign', secret: wrong } },
  { name: 'another’s, revoked', presented: { id: 'foreign-revoked', secret: SECRET } },
].map((kind) => ({ ...kind, nanos: [] as number[] }));

function nanosPerLookUp(presented: { readonly id: string; readonly secret: string }): number {
  const begin = process.hrtime.bigint();
  let refused = 0;
  for (let index = 0; index < LOOK_UPS; index += 1) if (!keys.verify(presented, NOW).ok) refused += 1;
  const nanos = Number(process.hrtime.bigint() - begin) / LOOK_UPS;
  if (refused !== LOOK_UPS) throw new Error('a key was let in that must not be');
  return nanos;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
}

// The first rounds are for the compiler.
for (let round = -50; round < ROUNDS; round += 1) {
  for (const { presented, nanos } of kinds) {
    const took = nanosPerLookUp(presented);
    if (round >= 0) nanos.push(took);
  }
}
const rows = kinds.map(({ name, nanos }) => ({ name, sorted: nanos.toSorted((a, b) => a - b) }));
const reference = quantile(rows[0]?.sorted ?? [], 0.5);
for (const { name, sorted } of rows) {
  const median = quantile(sorted, 0.5);
  const [low, high] = [quantile(sorted, 0.25), quantile(sorted, 0.75)].map((value) => value.toFixed(0));
  const distance = median - reference;
  console.log(
    `${name.padEnd(22)} ${median.toFixed(0)} ns (quartiles ${low} to ${high}), ${distance >= 0 ? '+' : ''}${distance.toFixed(0)}`,
  );
}
