/**
 * API keys as an attacker tries them: by the thousand, several at once, and in every spelling of one that is good. None gets in, and
 * from the answer nobody learns which part of a guess was right.
 */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BALANCED, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';

const secretOf = (name: string): string => createHash('sha256').update(`secret of ${name}`).digest('base64url');
const keyOf = (id: string): string => `bk_${id}_${secretOf(id)}`;
const random = (): string => randomBytes(32).toString('base64url');
const REVOKED = 'revoked-key';
const EXPIRED = 'expired-key';

let ground: HostileGround;
let client: RawGrpcClient;
beforeAll(async () => {
  const key = (id: string) => ({ id, sha256: createHash('sha256').update(secretOf(id)).digest('hex') });
  ground = await HostileGround.start({
    acme: {
      accept: ['api-key'],
      apiKeys: [
        { ...key('acme-key'), expiresAtSeconds: undefined, revoked: false },
        { ...key(REVOKED), expiresAtSeconds: undefined, revoked: true },
        { ...key(EXPIRED), expiresAtSeconds: 1, revoked: false },
      ],
    },
  });
  client = await ground.client();
});
afterAll(() => ground.stop());

function ask(key: string | string[]): Promise<Answer> {
  return client.call(INFER, { headers: { 'x-api-key': key }, chunks: [inferRequest()] });
}

/** All that an answer says. */
function said({ status, reason, message, headers, trailers, body }: Answer): string {
  const { date: _date, ...fields } = { ...headers, ...trailers };
  return JSON.stringify([status, reason, message, fields, body.length]);
}

describe('key stuffing', () => {
  it('gets nobody in, is on record guess by guess, and costs the good key nothing', async () => {
    const before = (await ground.sidecar.calls()).length;
    const guesses = Array.from({ length: 2_000 }, (_, index) =>
      index % 2 === 0 ? `bk_acme-key_${random()}` : `bk_guess-${index}_${random()}`,
    );
    const statuses = new Map<string, number>();
    for (let at = 0; at < guesses.length; at += 100) {
      const answers = await Promise.all(guesses.slice(at, at + 100).map(ask));
      for (const { status, reason } of answers)
        statuses.set(`${status} ${reason}`, (statuses.get(`${status} ${reason}`) ?? 0) + 1);
      expect((await ask(keyOf('acme-key'))).status).toBe(0);
    }
    expect([...statuses]).toEqual([['16 API_KEY_INVALID', 2_000]]);
    const records = (await ground.sidecar.calls()).slice(before);
    expect(records.filter(({ outcome, tenantVerified }) => outcome === 'denied' && !tenantVerified)).toHaveLength(
      2_000,
    );
    expect(records.filter(({ outcome }) => outcome === 'ok')).toHaveLength(20);
    expect(JSON.stringify(records)).not.toContain(guesses[0]?.split('_')[2]);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('says the same of an unknown, a wrong, a revoked, an expired and another tenant’s key', async () => {
    const answers = await Promise.all(
      [
        `bk_nobodys_${random()}`,
        `bk_acme-key_${random()}`,
        `bk_globex-key_${random()}`,
        keyOf(REVOKED),
        keyOf(EXPIRED),
        `bk_${REVOKED}_${random()}`,
        'bk_malformed',
      ].map(ask),
    );
    expect(new Set(answers.map(said)).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 16, reason: 'API_KEY_INVALID', message: 'the API key is not valid' });
    // On record they differ, for who has to act on them.
    const why = (await ground.sidecar.calls()).slice(-7).map(({ reason, detail }) => `${reason} ${detail}`);
    expect(new Set(why).size).toBeGreaterThan(4);
  });
});

describe('a good key', () => {
  const [good, other] = [keyOf('acme-key'), `bk_acme-key_${random()}`];

  it.each<[string, string | string[]]>([
    ['twice', [good, good]],
    ['before a bad one', [good, other]],
    ['behind a bad one', [other, good]],
    ['in a list', `${good}, ${good}`],
    ['with a comma', `${good},`],
    ['with a prefix in upper case', good.replace('bk_', 'BK_')],
    ['with an id in upper case', good.replace('acme-key', 'ACME-KEY')],
    ['without its prefix', good.slice(3)],
    ['with another prefix', good.replace('bk_', 'sk_')],
    ['as a bearer would be', `Bearer ${good}`],
    ['in quotes', `"${good}"`],
    ['padded', `${good}=`],
    ['with one character more', `${good}A`],
    ['with one character less', good.slice(0, -1)],
    ['with a path for an id', good.replace('acme-key', '../acme-key')],
    ['with an id of an object’s own', `bk___proto___${secretOf('acme-key')}`],
    ['with a blank within', good.replace('_', '_ ')],
    ['with 300 characters of secret', `bk_acme-key_${'A'.repeat(300)}`],
    ['with its hash for a secret', `bk_acme-key_${createHash('sha256').update(secretOf('acme-key')).digest('hex')}`],
  ])('%s is none', async (_, key) => {
    const calls = ground.upstream.calls.length;
    expect(await ask(key)).toMatchObject({ status: 16, reason: 'API_KEY_INVALID' });
    expect(ground.upstream.calls).toHaveLength(calls);
    expect((await ask(good)).status).toBe(0);
  });

  it('in another header is none', async () => {
    for (const headers of [
      { authorization: `Bearer ${good}` },
      { 'x-api_key': good },
      { 'api-key': good },
      { cookie: `x-api-key=${good}` },
    ]) {
      expect((await client.call(INFER, { headers, chunks: [inferRequest()] })).status).toBe(16);
    }
  });
});
