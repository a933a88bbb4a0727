/**
 * Roles that ask for scopes or for a sign-in (RFC 9470): what a caller is told over the wire, that it can then do what it was
 * told, and that nobody else learns of it.
 */
import { afterEach, expect, it } from 'vitest';
import type { RoleConfig } from '../../src/config/policy-config.ts';
import { fresh, HostileGround, INFER, inferRequest, openTo, STREAM_INFER } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

function infer(client: RawGrpcClient, token: string, model?: string, path = INFER): Promise<Answer> {
  return client.call(path, { headers: { authorization: `Bearer ${token}` }, chunks: [inferRequest(model)] });
}

const told = ({ status, reason, headers }: Answer): unknown => [status, reason, headers['www-authenticate']];
const MODEL_DENIED = [7, 'MODEL_ACCESS_DENIED', undefined];

/** A ground where acme's callers have `digits` as they are, and `secret` by the role that asks for something. */
async function asking(demands: Pick<RoleConfig, 'scopes' | 'stepUp'>, subject = '*'): Promise<RawGrpcClient> {
  ground = await HostileGround.start();
  const [open] = openTo(ground.acme).roles;
  if (open === undefined) throw new Error('it has a role');
  const roles = [open, { ...open, ...demands, name: 'asking', models: ['secret'] }];
  const binding = { subjects: ['*'], keys: [], certificates: [], source: 'tenant.yaml:2' };
  const bindings = [
    { ...binding, role: 'all' },
    { ...binding, role: 'asking', subjects: [subject] },
  ];
  ground.sidecar.apply(ground.generation({ acme: { roles, bindings } }));
  return ground.client();
}

const token = (claims: object): string => ground.acme.issuer.token(fresh({ ...claims }));

it.each([INFER, STREAM_INFER])(
  'a caller that lacks a scope is told which, gets it, and is let in: %s',
  async (path) => {
    const client = await asking({ scopes: ['models:infer', 'models:read'] });
    expect(told(await infer(client, token({ scope: 'models:infer' }), 'secret', path))).toEqual([
      7,
      'INSUFFICIENT_SCOPE',
      'Bearer error="insufficient_scope", scope="models:infer models:read"',
    ]);
    expect((await infer(client, token({ scope: 'models:infer models:read' }), 'secret', path)).status).toBe(0);
    expect((await infer(client, token({}), 'digits', path)).status).toBe(0);
    expect(ground.upstream.calls).toHaveLength(2);
  },
);

it.each([INFER, STREAM_INFER])(
  'a caller that must sign in again is told how, does, and is let in: %s',
  async (path) => {
    const client = await asking({
      stepUp: { acrValues: ['gold', 'urn:acme:silver'], amr: ['mfa'], maxAgeMs: 300_000 },
    });
    const now = Math.floor(Date.now() / 1000);
    const strong = { acr: 'urn:acme:silver', amr: ['pwd', 'mfa'], auth_time: now };
    for (const weak of [
      {},
      { ...strong, acr: 'bronze' },
      { ...strong, amr: ['pwd'] },
      { ...strong, auth_time: now - 301 },
    ]) {
      expect(told(await infer(client, token(weak), 'secret', path))).toEqual([
        16,
        'STEP_UP_REQUIRED',
        'Bearer error="insufficient_user_authentication", acr_values="gold urn:acme:silver", max_age="300"',
      ]);
    }
    expect((await infer(client, token(strong), 'secret', path)).status).toBe(0);
    expect(ground.upstream.calls).toHaveLength(1);
  },
);

it('a caller that no role would let in learns nothing of what the role asks for', async () => {
  const client = await asking(
    { scopes: ['models:infer'], stepUp: { acrValues: ['gold'], amr: [], maxAgeMs: undefined } },
    'bob',
  );
  const [alice, bob] = [token({ sub: 'alice' }), token({ sub: 'bob' })];
  expect(told(await infer(client, alice, 'secret'))).toEqual(MODEL_DENIED);
  expect(told(await infer(client, bob, 'other'))).toEqual(MODEL_DENIED);
  expect((await infer(client, bob, 'secret')).reason).toBe('STEP_UP_REQUIRED');
});

it('a stream that goes on to a model which asks for more ends there, and none of it had reached that model', async () => {
  const client = await asking({ scopes: ['models:infer'] });
  const stream = (claims: object): Promise<Answer> =>
    client.call(STREAM_INFER, {
      headers: { authorization: `Bearer ${token(claims)}` },
      chunks: [inferRequest('digits'), inferRequest('secret')],
    });
  const answer = await stream({});
  expect([answer.status, answer.reason]).toEqual([7, 'INSUFFICIENT_SCOPE']);
  expect(ground.upstream.calls.some(({ body }) => body.includes('secret'))).toBe(false);
  expect((await stream({ scope: 'models:infer' })).status).toBe(0);
});
