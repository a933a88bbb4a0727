/**
 * The ten ways in which one tenant makes noise at full strength, by name. What a client that keeps to HTTP/2 can do comes here; the rest is
 * that of the attack table (`neighbour-attacks.ts`).
 */
import { randomBytes } from 'node:crypto';
import type { HeaderBlock } from '../../src/http2/contract.ts';
import { requestHead } from './caller.ts';
import { modelInfer } from './message.ts';
import { BENCH_ATTACKS, type BenchAttack } from './neighbour-attacks.ts';

const SMALL = 100;
const HUGE = 4 * 1024 * 1024;

const random = (bytes: number): string => randomBytes(bytes).toString('base64url');
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Of the issuer that is known, with the id of its key, and signed by nobody: each costs a look at its signature. */
function madeUpToken(): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: noisyIssuer(ATTACKER), aud: 'ml', sub: random(9), iat: now, exp: now + 3_600 };
  return `${part({ alg: 'ES256', typ: 'JWT', kid: NOISY_KEY_ID })}.${part(claims)}.${random(64)}`;
}

/** Of the tenant of this id; the attacker is `acme`. */
export const noisyIssuer = (tenant: string): string => `https://idp.${tenant}.example`;
export const ATTACKER = 'acme';
export const NOISY_KEY_ID = 'bench';

const calls = (
  shape: { readonly connections: number; readonly atOnce: number; readonly messageBytes?: number },
  extra: () => readonly string[] = () => [],
): BenchAttack => ({
  kind: 'calls',
  connections: shape.connections,
  atOnce: shape.atOnce,
  message: modelInfer(shape.messageBytes ?? SMALL),
  head: (serverName): HeaderBlock => [...requestHead(serverName, undefined), ...extra()],
});

function known(name: string): BenchAttack {
  const attack = BENCH_ATTACKS.get(name);
  if (attack === undefined) throw new Error(`the attack table has no ${name}`);
  return attack;
}

export const NOISY_ATTACKS: ReadonlyMap<string, BenchAttack> = new Map<string, BenchAttack>([
  ['call flood', calls({ connections: 8, atOnce: 25 })],
  ['handshake flood', { kind: 'handshakes', certificate: true, atOnce: 16 }],
  ['stream flood', known('headers without END_STREAM')],
  ['slow reader', known('90 calls whose windows are dribbled open')],
  ['slow writer', known('90 messages, octet by octet')],
  ['huge messages', calls({ connections: 2, atOnce: 4, messageBytes: HUGE })],
  [
    'header flood',
    calls({ connections: 4, atOnce: 25 }, () =>
      Array.from({ length: 40 }, (_, index) => [`x-noise-${index}`, random(120)]).flat(),
    ),
  ],
  ['cancel flood', known('rapid reset')],
  ['cache stuffing', calls({ connections: 4, atOnce: 25 }, () => ['authorization', `Bearer ${madeUpToken()}`])],
  ['many keys', calls({ connections: 4, atOnce: 25 }, () => ['x-api-key', `bk_${ATTACKER}_${random(32)}`])],
]);
