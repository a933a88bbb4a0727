/**
 * Forged, bent and borrowed tokens over the wire. Each is one change away from a token that is let in, which is tried beside it
 * over the same connection; none reaches the model server, and all are refused in the same words.
 */
import { createHmac, createPublicKey, generateKeyPairSync, sign, type webcrypto } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fresh, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { type Claims, FakeIssuer } from '../fakes/tokens.ts';

let ground: HostileGround;
let client: RawGrpcClient;
beforeAll(async () => {
  ground = await HostileGround.start();
  client = await ground.client();
});
afterAll(() => ground.stop());

function infer(authorization: string | string[], over = client): Promise<Answer> {
  return over.call(INFER, { headers: { authorization }, chunks: [inferRequest()] });
}

const told = ({ status, reason }: Answer): string => `${status} ${reason}`.trim();
const INVALID = '16 TOKEN_INVALID';
const encode = (text: string | Buffer): string => Buffer.from(text).toString('base64url');

const token = (claims: Claims = {}, header: Claims = {}): string => ground.acme.issuer.token(fresh(claims), header);
/** Signed by acme's issuer as they are. */
const raw = (header: string, claims: string): string => ground.acme.issuer.signRaw(header, claims);
const header = (more = ''): string => `{"alg":"ES256","kid":"${ground.acme.issuer.kid}"${more}}`;
const claims = (more = ''): string =>
  `${JSON.stringify({ iss: ground.acme.issuer.issuer, aud: 'bulkhead', sub: 'alice', ...fresh() }).slice(0, -1)}${more}}`;
const parts = (): [string, string, string] => {
  const [first = '', second = '', third = ''] = token().split('.');
  return [first, second, third];
};

/** A token of acme's claims that somebody else signs with a key of their own. */
function selfSigned(more: (jwk: webcrypto.JsonWebKey) => object): string {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const head = { alg: 'ES256', kid: ground.acme.issuer.kid, ...more(publicKey.export({ format: 'jwk' })) };
  const input = `${encode(JSON.stringify(head))}.${encode(claims())}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

/** Signed with the issuer's public key as if it were a shared secret, in each spelling that it has. */
function symmetric(alg: string, spelling: 'pem' | 'jwk' | 'raw'): string {
  const [jwk]: (webcrypto.JsonWebKey & { readonly kid?: string })[] = JSON.parse(ground.acme.issuer.jwks()).keys;
  if (jwk === undefined) throw new Error('an issuer has a key');
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const secret = {
    pem: () => key.export({ type: 'spki', format: 'pem' }),
    jwk: () => JSON.stringify(jwk),
    raw: () => Buffer.from(jwk.x ?? '', 'base64url'),
  }[spelling]();
  const input = `${encode(JSON.stringify({ alg, kid: jwk.kid }))}.${encode(claims())}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

const ATTACKS: readonly (readonly [name: string, () => string])[] = [
  ...['none', 'None', 'NONE', 'nOnE', '', 'HS256', 'es256', 'ES256K', 'ES384', 'RS256', 'ES256 '].map(
    (alg) => [`alg ${JSON.stringify(alg)}`, () => token({}, { alg })] as const,
  ),
  ['alg none without a signature', () => `${encode('{"alg":"none"}')}.${encode(claims())}.`],
  ...(['pem', 'jwk', 'raw'] as const).flatMap((spelling) =>
    ['HS256', 'hs256', 'ES256'].map(
      (alg) => [`${alg} keyed by the public key as ${spelling}`, () => symmetric(alg, spelling)] as const,
    ),
  ),
  ...['../../etc/passwd', 'file:///dev/null', '/dev/null\u0000', "' OR 1=1 --", '__proto__', 'constructor', ''].map(
    (kid) => [`kid ${JSON.stringify(kid)}`, () => token({}, { kid })] as const,
  ),
  ['its own key in jwk', () => selfSigned((jwk) => ({ jwk }))],
  ['a JWKS of its own in jku', () => selfSigned(() => ({ jku: 'https://evil.test/jwks.json' }))],
  ['a certificate of its own in x5u', () => selfSigned(() => ({ x5u: 'https://evil.test/c.pem' }))],
  ['a certificate of its own in x5c', () => selfSigned(() => ({ x5c: ['MIIB'] }))],
  ['the issuer’s kid and another key', () => selfSigned(() => ({}))],
  ['crit', () => token({}, { crit: ['exp'], exp: 1 })],
  ['crit that is empty', () => token({}, { crit: [] })],
  ['an unencoded payload', () => token({}, { b64: false })],
  ['a compressed payload', () => token({}, { zip: 'DEF' })],
  ['a token within', () => token({}, { cty: 'JWT' })],
  ...['dpop+jwt', 'logout+jwt', 'secevent+jwt', 'entity-statement+jwt', 'at+jwt ', ''].map(
    (typ) => [`typ ${JSON.stringify(typ)}`, () => token({}, { typ })] as const,
  ),
  ['alg twice', () => raw(header(',"alg":"none"'), claims())],
  ['sub twice', () => raw(header(), claims(',"sub":"root"'))],
  ['sub twice, once escaped', () => raw(header(), claims(',"\\u0073ub":"root"'))],
  ['a member twice, deep inside', () => raw(header(), claims(',"a":{"b":[{"c":1,"c":2}]}'))],
  ['a member twice in the header, once escaped', () => raw(header(',"\\u0061lg":"none"'), claims())],
  ['claims nested a hundred deep', () => raw(header(), claims(`,"a":${'['.repeat(100)}${']'.repeat(100)}`))],
  ['a comment', () => raw(header(), claims('/**/'))],
  ['a byte order mark', () => raw(`\ufeff${header()}`, claims())],
  ['a list of claims', () => raw(header(), `[${claims()}]`)],
  ['padding', () => `${parts().join('.')}=`],
  ['the other base64 alphabet', () => parts().join('.').replace(/^./, '+')],
  ['bits that no octet has', () => token().replace(/.$/, (last) => String.fromCharCode(last.charCodeAt(0) + 1))],
  ['a blank within', () => parts().join('. ')],
  ['a blank before', () => ` ${token()}`],
  ['a fourth part', () => `${token()}.${parts()[2]}`],
  ['five parts, as of JWE', () => `${parts().join('.')}.a.b`],
  ['JSON serialization', () => JSON.stringify({ protected: parts()[0], payload: parts()[1], signature: parts()[2] })],
  ['another’s payload', () => [parts()[0], encode(claims(',"admin":true')), parts()[2]].join('.')],
  ['a signature of nothing but zeros', () => [parts()[0], parts()[1], encode(Buffer.alloc(64))].join('.')],
  ['a DER signature', () => [parts()[0], parts()[1], encode(Buffer.from('3006020101020101', 'hex'))].join('.')],
  ...[undefined, '', [], {}, ['bulkhead', 1], [['bulkhead']], 'bulkhead ', 'BULKHEAD', null, true].map(
    (aud) => [`aud ${JSON.stringify(aud)}`, () => token({ aud })] as const,
  ),
  ...[undefined, null, '9999999999', [9_999_999_999], -1, 1e300, true].map(
    (exp) => [`exp ${JSON.stringify(exp)}`, () => token({ exp })] as const,
  ),
  ['exp beyond all numbers', () => raw(header(), claims().replace(/"exp":\d+/, '"exp":1e999'))],
  ...['nbf', 'iat'].flatMap((claim) =>
    ['0', null, 1e300, -1, [0], 4_102_444_800].map(
      (value) => [`${claim} ${JSON.stringify(value)}`, () => token({ [claim]: value })] as const,
    ),
  ),
  ...[undefined, '', null, 1, ['alice'], 'a\nb', 'a\u0000', '\ud800', 'a'.repeat(257)].map(
    (sub) => [`sub ${JSON.stringify(sub)?.slice(0, 12)}`, () => token({ sub })] as const,
  ),
  ...[undefined, null, ['https://acme.idp.test'], 'https://acme.idp.test/', 'HTTPS://acme.idp.test'].map(
    (iss) => [`iss ${JSON.stringify(iss)}`, () => token({ iss })] as const,
  ),
];

describe('a token with', () => {
  it.each(ATTACKS)('%s is refused as any other invalid one', async (_name, make) => {
    const calls = ground.upstream.calls.length;
    const answer = await infer(`Bearer ${make()}`);
    expect(told(answer)).toBe(INVALID);
    expect(answer.message).toBe('the token is not valid');
    expect(answer.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
    expect(ground.upstream.calls).toHaveLength(calls);
    expect(told(await infer(`Bearer ${token()}`))).toBe('0');
  });

  it.each<[string, Claims, Claims]>([
    ['nothing special', {}, {}],
    ['a list of audiences', { aud: ['other', 'bulkhead'] }, {}],
    ['a certificate chain in x5c, which is not looked at', {}, { x5c: ['MIIB'], x5t: 'AAAA' }],
    ['typ JWT', {}, { typ: 'JWT' }],
    ['no typ', {}, { typ: undefined }],
    ['times with fractions', { exp: 4_102_444_800.5, nbf: 0.25, iat: 1e9 + 0.5 }, {}],
    ['claims that nobody knows', { hd: 'acme.test', __proto__x: { a: [1] } }, {}],
  ])('%s is let in', async (_name, more, head) => {
    expect(told(await infer(`Bearer ${token(more, head)}`))).toBe('0');
  });
});

describe('an authorization', () => {
  it.each<[string, () => string | string[]]>([
    ['that is no bearer’s', () => `Basic ${encode('a:b')}`],
    ['that is a bare token', () => token()],
    ['of two tokens', () => `Bearer ${token()}, Bearer ${token()}`],
    ['of two schemes', () => `Bearer ${token()}, Basic eA==`],
    ['of 12 KiB that are no token', () => `Bearer ${'a'.repeat(12 * 1024)}`],
  ])('%s is refused', async (_name, make) => {
    expect(told(await infer(make()))).toBe(INVALID);
  });

  it('of 64 KiB does not get as far as a token, and its client’s next call does', async () => {
    const flood = await ground.client();
    const answer = await infer(`Bearer ${'a'.repeat(64 * 1024)}`, flood).catch(() => undefined);
    expect(answer?.status).not.toBe(0);
    expect(told(await infer(`Bearer ${token()}`, await ground.client()))).toBe('0');
  });
});

it('an ID token passes for an access token only while nobody asks for RFC 9068', async () => {
  const issuers = ground.acme.config.issuers.map((issuer) => ({ ...issuer, profile: 'at+jwt' as const }));
  const idToken = token({ nonce: 'n' }, { typ: 'JWT' });
  const accessToken = token({ jti: 'one', client_id: 'batch' }, { typ: 'at+jwt' });
  const both = async (): Promise<string[]> => [
    told(await infer(`Bearer ${idToken}`)),
    told(await infer(`Bearer ${accessToken}`)),
  ];
  expect(await both()).toEqual(['0', '0']);
  ground.sidecar.apply(ground.generation({ acme: { issuers } }));
  expect(await both()).toEqual([INVALID, '0']);
  expect(told(await infer(`Bearer ${token({}, { typ: 'at+jwt' })}`))).toBe(INVALID);
});

it('an issuer of another name with the same keys is nobody', async () => {
  const impostor = new FakeIssuer('https://acme.idp.test.evil.test');
  expect(told(await infer(`Bearer ${impostor.token(fresh())}`))).toBe(INVALID);
});
