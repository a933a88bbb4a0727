/**
 * The life of an API key, over the wire: a change of its secret that nobody notices, and ends that all look the same.
 */
import { createHash } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { newSecret } from '../../src/authn/api-key-secret.ts';
import type { ApiKeyConfig } from '../../src/config/credentials-config.ts';
import { HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

const HOUR = 3600;
const now = (): number => Math.floor(Date.now() / 1000);

function infer(client: RawGrpcClient, key: string): Promise<Answer> {
  return client.call(INFER, { headers: { 'x-api-key': key }, chunks: [inferRequest()] });
}

const told = ({ status, reason }: Answer): string => `${status} ${reason}`.trim();

it('a rotation lets the old and the new secret in, and then the new one alone', async () => {
  ground = await HostileGround.start();
  const client = await ground.client();
  const [before] = ground.acme.config.apiKeys;
  if (before === undefined) throw new Error('acme has a key');
  const secret = newSecret(before.id);
  const apply = (previousEnd: number | undefined): void => {
    const previous =
      previousEnd === undefined ? {} : { previous: { sha256: before.sha256, expiresAtSeconds: previousEnd } };
    ground.sidecar.apply(ground.generation({ acme: { apiKeys: [{ ...before, sha256: secret.sha256, ...previous }] } }));
  };
  const both = async (): Promise<string[]> => [
    told(await infer(client, ground.acme.apiKey)),
    told(await infer(client, secret.key)),
  ];
  expect(await both()).toEqual(['0', '16 API_KEY_INVALID']);
  apply(now() + HOUR);
  expect(await both()).toEqual(['0', '0']);
  // A secret that was let in before is looked at again in each call.
  apply(now() - 1);
  expect(await both()).toEqual(['16 API_KEY_INVALID', '0']);
  apply(undefined);
  expect(await both()).toEqual(['16 API_KEY_INVALID', '0']);
});

it('an unknown, a wrong, a revoked and an expired key are refused in the same words, to the byte', async () => {
  ground = await HostileGround.start();
  const secret = createHash('sha256').update('a secret').digest('base64url');
  const sha256 = createHash('sha256').update(secret).digest('hex');
  const key = (id: string, changes: Partial<ApiKeyConfig> = {}): ApiKeyConfig => ({
    ...{ id, sha256, expiresAtSeconds: undefined, revoked: false },
    ...changes,
  });
  const apiKeys = [
    key('good'),
    key('revoked', { revoked: true }),
    key('expired', { expiresAtSeconds: now() - HOUR }),
    key('ended', { sha256: '0'.repeat(64), previous: { sha256, expiresAtSeconds: now() - HOUR } }),
  ];
  ground.sidecar.apply(ground.generation({ acme: { apiKeys } }));
  const client = await ground.client();
  expect(told(await infer(client, `bk_good_${secret}`))).toBe('0');
  const answers: Answer[] = [];
  for (const id of ['nobody', 'revoked', 'expired', 'ended']) answers.push(await infer(client, `bk_${id}_${secret}`));
  answers.push(await infer(client, `bk_good_${secret.slice(1)}x`), await infer(client, 'bk_good'));
  expect(new Set(answers.map(told))).toEqual(new Set(['16 API_KEY_INVALID']));
  const block = ({ headers, body }: Answer): string => JSON.stringify([Object.entries(headers), body.toString('hex')]);
  expect(new Set(answers.map(block)).size).toBe(1);
});
