/**
 * Stolen tokens: what is bound to a client certificate (RFC 8705) is worth nothing over another one, however good that one
 * is and whatever was remembered of the token before. Each refusal beside the call that shows that nothing else refused it.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { issueClient } from '../../src/identity/issue.ts';
import { fresh, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { boundTo } from '../fakes/tokens.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

function infer(client: RawGrpcClient, token: string, headers: Record<string, string> = {}): Promise<Answer> {
  return client.call(INFER, {
    headers: { authorization: `Bearer ${token}`, ...headers },
    chunks: [inferRequest()],
  });
}

const told = ({ status, reason }: Answer): string => `${status} ${reason}`.trim();
const REFUSED = '16 TOKEN_BINDING_MISMATCH';

/** Two clients of acme, both with certificates that acme trusts: the token's owner and the thief. */
async function twoClients(): Promise<{ owner: RawGrpcClient; thief: RawGrpcClient; token: string }> {
  const second = issueClient(ground.acme.pki.ca, { spiffeId: 'spiffe://acme.example/other', days: 1 });
  return {
    owner: await ground.client(),
    thief: await ground.client(ground.acme, { certPem: second.certPem, keyPem: second.keyPem }),
    token: ground.acme.issuer.token(fresh({ cnf: boundTo(ground.acme.pki.client.certPem) })),
  };
}

describe('a token that is bound to a certificate', () => {
  it('passes over it and over no other, in whichever order they come, remembered or not', async () => {
    ground = await HostileGround.start();
    const { owner, thief, token } = await twoClients();
    const answers: string[] = [];
    for (const client of [thief, owner, thief, owner, owner, thief]) answers.push(told(await infer(client, token)));
    expect(answers).toEqual([REFUSED, '0', REFUSED, '0', '0', REFUSED]);
    expect(ground.upstream.calls).toHaveLength(3);
    // The thief's certificate is good: with a token of its own it is let in.
    expect(told(await infer(thief, ground.acme.issuer.token(fresh())))).toBe('0');
  });

  it('does not pass for the thief while its owner waits for the verdict, nor the other way round', async () => {
    ground = await HostileGround.start();
    const { owner, thief, token } = await twoClients();
    const both = await Promise.all([infer(thief, token), infer(owner, token), infer(thief, token)]);
    expect(both.map(told)).toEqual([REFUSED, '0', REFUSED]);
  });

  it('does not pass with an API key beside it, which alone would do', async () => {
    ground = await HostileGround.start();
    const { owner, thief, token } = await twoClients();
    const key = { 'x-api-key': ground.acme.apiKey };
    expect(told(await infer(owner, token, key))).toBe('0');
    expect(told(await infer(thief, token, key))).toBe(REFUSED);
    expect(told(await thief.call(INFER, { headers: key, chunks: [inferRequest()] }))).toBe('0');
  });

  it('does not pass over a renewed certificate of the same name and key holder', async () => {
    ground = await HostileGround.start();
    const { owner, token } = await twoClients();
    const renewed = issueClient(ground.acme.pki.ca, { spiffeId: ground.acme.pki.spiffeId, days: 1 });
    const again = await ground.client(ground.acme, { certPem: renewed.certPem, keyPem: renewed.keyPem });
    expect(told(await infer(owner, token))).toBe('0');
    expect(told(await infer(again, token))).toBe(REFUSED);
    const rebound = ground.acme.issuer.token(fresh({ cnf: boundTo(renewed.certPem) }));
    expect([told(await infer(again, rebound)), told(await infer(owner, rebound))]).toEqual(['0', REFUSED]);
  });

  it('is told to its caller as an invalid token, and is on record', async () => {
    ground = await HostileGround.start();
    const { thief, token } = await twoClients();
    const answer = await infer(thief, token);
    expect(answer.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
    expect(answer.message).toBe('the token is not bound to the client certificate');
    const [record] = await ground.sidecar.calls();
    expect(record).toMatchObject({ outcome: 'denied', grpcStatus: 16, reason: 'token_binding_mismatch' });
  });
});

describe('a token that is bound in a way that nobody can check here', () => {
  it.each([
    ['to a DPoP key', { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' }],
    ['to a key', { jwk: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' } }],
    ['to the name of a key', { kid: 'key-1' }],
    ['to nothing that is named', {}],
  ])('%s is not taken for a bearer token', async (_name, cnf) => {
    ground = await HostileGround.start();
    const client = await ground.client();
    expect(told(await infer(client, ground.acme.issuer.token(fresh({ cnf }))))).toBe(REFUSED);
    expect(told(await infer(client, ground.acme.issuer.token(fresh())))).toBe('0');
  });
});

it('an issuer whose tokens must be bound has its bearer tokens refused, and its bound ones accepted', async () => {
  ground = await HostileGround.start();
  const client = await ground.client();
  const [bearer, bound] = [
    ground.acme.issuer.token(fresh()),
    ground.acme.issuer.token(fresh({ cnf: boundTo(ground.acme.pki.client.certPem) })),
  ];
  expect(told(await infer(client, bearer))).toBe('0');
  const issuers = ground.acme.config.issuers.map((issuer) => ({ ...issuer, requireBound: true }));
  ground.sidecar.apply(ground.generation({ acme: { issuers } }));
  expect([told(await infer(client, bearer)), told(await infer(client, bound))]).toEqual([REFUSED, '0']);
});
