import { describe, expect, test } from 'vitest';
import { Authenticator } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import { newReplayMemory } from '../../../src/authn/replay-table.ts';
import { issueClient } from '../../../src/identity/issue.ts';
import type { Peer } from '../../../src/identity/peer.ts';
import { TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const acme = fakeTenant('acme');
const other = issueClient(acme.pki.ca, { spiffeId: 'spiffe://acme.example/other', days: 1 });

type Rule = 'certificate' | 'connection' | 'call';

/** Two workers of one process. */
function workers(replay: Rule | undefined, memory = newReplayMemory()) {
  const issuers = acme.config.issuers.map((issuer) => ({ ...issuer, ...(replay === undefined ? {} : { replay }) }));
  const config = { ...acme.config, issuers, replayMemory: memory };
  const directory = new Directory([config]);
  return [new Authenticator(config, directory), new Authenticator(config, directory)] as const;
}

async function outcome(by: Authenticator, token: string, peer: Peer, apiKey?: string): Promise<string> {
  const presented = parseCredentials(`Bearer ${token}`, apiKey);
  if (!presented.ok) throw new Error('not a token');
  const verdict = await by.authenticate(peer, presented.value, micros(TEST_NOW_SECONDS));
  if (verdict.ok) return 'accepted';
  return 'why' in verdict.error ? `${verdict.error.kind}: ${verdict.error.why}` : verdict.error.kind;
}

let made = 0;
function token(claims: object = {}): string {
  made += 1;
  return acme.issuer.token({ jti: `token-${String(made)}`, ...claims });
}

describe.each<[Rule, readonly string[]]>([
  ['certificate', ['accepted', 'accepted', 'accepted', 'refused']],
  ['connection', ['accepted', 'accepted', 'refused', 'refused']],
  ['call', ['accepted', 'refused', 'refused', 'refused']],
])('a token that its first %s binds', (rule, expected) => {
  test.each([
    ['one worker', [0, 0, 0, 0]],
    ['two workers', [0, 0, 1, 1]],
  ] as const)('is good there and nowhere else, with %s', async (_what, which) => {
    const by = workers(rule);
    const first = acme.peer();
    // The same connection again, another with the same certificate, and another certificate.
    const peers = [first, first, acme.peer(), acme.peer(other)];
    const shown = token();
    const outcomes: string[] = [];
    for (const [index, peer] of peers.entries()) outcomes.push(await outcome(by[which[index] ?? 0], shown, peer));
    const refused = `token_invalid: it was used before, by another ${rule}`;
    expect(outcomes).toEqual(expected.map((one) => (one === 'accepted' ? one : refused)));
    // Another token is not concerned, and nor is this one where nobody asked for it.
    expect(await outcome(by[0], token(), acme.peer(other))).toBe('accepted');
    const [unwatched] = workers(undefined);
    for (const peer of peers) expect(await outcome(unwatched, shown, peer)).toBe('accepted');
  });

  test('must have a jti', async () => {
    const [by] = workers(rule);
    for (const jti of [undefined, '', 7, 'a'.repeat(257)]) {
      expect(await outcome(by, token({ jti }), acme.peer())).toBe('token_invalid: jti is not a name');
    }
  });

  test('stays bound when the configuration changes', async () => {
    const memory = newReplayMemory();
    const shown = token();
    expect(await outcome(workers(rule, memory)[0], shown, acme.peer())).toBe('accepted');
    expect(await outcome(workers(rule, memory)[0], shown, acme.peer(other))).toMatch(/used before/);
    expect(await outcome(workers(rule)[0], shown, acme.peer(other))).toBe('accepted');
  });
});

test('a call that is refused for anything else does not use a token', async () => {
  const [by] = workers('call');
  const shown = token();
  expect(await outcome(by, shown, acme.peer(), 'bk_acme-key_wrong')).toMatch(/^api_key_invalid/);
  expect(await outcome(by, shown, acme.peer())).toBe('accepted');
});

test('a token that cannot be remembered is refused, and the call may come again', async () => {
  const [by] = workers('certificate', newReplayMemory(1));
  expect(await outcome(by, token(), acme.peer())).toBe('accepted');
  expect(await outcome(by, token(), acme.peer())).toMatch(/^overloaded/);
});

test('a call that runs is not another use of its token', async () => {
  const [by] = workers('call');
  const presented = parseCredentials(`Bearer ${token()}`, undefined);
  if (!presented.ok) throw new Error('not a token');
  const peer = acme.peer();
  const admitted = await by.authenticate(peer, presented.value, micros(TEST_NOW_SECONDS));
  if (!admitted.ok) throw new Error('refused');
  expect(by.reauthenticate(admitted.value, peer, presented.value, micros(TEST_NOW_SECONDS)).ok).toBe(true);
});
