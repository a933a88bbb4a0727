import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseClaims, parseCompactJws } from '../../../src/authn/compact-jws.ts';
import { parseStrictJsonObject } from '../../../src/authn/strict-json.ts';

const MAX = 16 * 1024;
const encode = (text: string | Buffer): string => Buffer.from(text).toString('base64url');
const HEADER = encode('{"alg":"ES256","kid":"k"}');
const CLAIMS = encode('{"iss":"i"}');
const SIGNATURE = encode('signature');

function whyNot(token: string): string {
  const jws = parseCompactJws(token, MAX);
  const parsed = jws.ok ? parseClaims(jws.value) : jws;
  if (parsed.ok) return 'accepted';
  return parsed.error.kind === 'token_invalid' ? parsed.error.why : parsed.error.kind;
}

test('a token of three canonical parts is parsed', () => {
  expect(parseCompactJws(`${HEADER}.${CLAIMS}.${SIGNATURE}`, MAX)).toMatchObject({
    ok: true,
    value: { algorithm: 'ES256', keyId: 'k', payload: Buffer.from('{"iss":"i"}') },
  });
});

test.each([
  ['not three parts', `${HEADER}.${CLAIMS}`],
  ['not three parts', `${HEADER}.${CLAIMS}.${SIGNATURE}.`],
  ['not three parts', `${HEADER}.${CLAIMS}.${SIGNATURE}.a.b`],
  ['not canonical base64url', `${HEADER}.${CLAIMS}.`],
  ['not canonical base64url', `.${CLAIMS}.${SIGNATURE}`],
  ['not canonical base64url', `${HEADER}..${SIGNATURE}`],
  ['not canonical base64url', `${HEADER}.${CLAIMS}.${SIGNATURE}=`],
  ['not canonical base64url', `${HEADER}.${CLAIMS}. ${SIGNATURE}`],
  ['not canonical base64url', `${HEADER}.${CLAIMS}.${SIGNATURE}\n`],
  ['not canonical base64url', `${HEADER}.${CLAIMS}.ab+/`],
  ['not canonical base64url', `${HEADER}.${CLAIMS}.a`],
  // The last character carries bits that no octet has.
  ['not canonical base64url', `${HEADER}.${CLAIMS}.ab`],
  ['header: not JSON in UTF-8', `${encode('nonsense')}.${CLAIMS}.${SIGNATURE}`],
  [
    'header: not JSON in UTF-8',
    `${encode(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))}.${CLAIMS}.${SIGNATURE}`,
  ],
  ['header: not a JSON object', `${encode('[]')}.${CLAIMS}.${SIGNATURE}`],
  ['header: a member stands in it twice', `${encode('{"alg":"ES256","alg":"none"}')}.${CLAIMS}.${SIGNATURE}`],
  ['header: a member stands in it twice', `${encode('{"alg":"ES256","\\u0061lg":"none"}')}.${CLAIMS}.${SIGNATURE}`],
  ['claims: a member stands in it twice', `${HEADER}.${encode('{"sub":"a","sub":"b"}')}.${SIGNATURE}`],
  ['claims: a member stands in it twice', `${HEADER}.${encode('{"a":[{"b":1,"b":2}]}')}.${SIGNATURE}`],
  ['claims: nested too deeply', `${HEADER}.${encode(`{"a":${'['.repeat(16)}${']'.repeat(16)}}`)}.${SIGNATURE}`],
  ['claims: not a JSON object', `${HEADER}.${encode('null')}.${SIGNATURE}`],
  ['header: no alg', `${encode('{}')}.${CLAIMS}.${SIGNATURE}`],
  ['header: no alg', `${encode('{"alg":["ES256"]}')}.${CLAIMS}.${SIGNATURE}`],
  ['header: bad kid', `${encode('{"alg":"ES256","kid":1}')}.${CLAIMS}.${SIGNATURE}`],
  ['header: bad kid', `${encode(`{"alg":"ES256","kid":"${'k'.repeat(257)}"}`)}.${CLAIMS}.${SIGNATURE}`],
  [
    'header: typ is not that of an access token',
    `${encode('{"alg":"ES256","typ":"dpop+jwt"}')}.${CLAIMS}.${SIGNATURE}`,
  ],
])('%s: %s', (why, token) => {
  expect(whyNot(token)).toBe(why);
});

test.each(['crit', 'jku', 'jwk', 'x5u', 'b64', 'cty', 'zip'])('a header with %s is refused', (member) => {
  for (const value of ['null', '"x"', '[]', 'true']) {
    expect(whyNot(`${encode(`{"alg":"ES256","${member}":${value}}`)}.${CLAIMS}.${SIGNATURE}`)).toBe(
      `header: has ${member}`,
    );
  }
});

test.each(['JWT', 'at+jwt', 'application/at+jwt', 'AT+JWT'])('typ %s is that of an access token', (typ) => {
  expect(whyNot(`${encode(`{"alg":"ES256","typ":"${typ}"}`)}.${CLAIMS}.${SIGNATURE}`)).toBe('accepted');
});

test('a token at the limit is parsed, one above it is not', () => {
  const token = `${HEADER}.${CLAIMS}.${SIGNATURE}`;
  expect([parseCompactJws(token, token.length).ok, parseCompactJws(token, token.length - 1).ok]).toEqual([true, false]);
});

describe('strict JSON', () => {
  const parse = (text: string): unknown => {
    const parsed = parseStrictJsonObject(Buffer.from(text));
    return parsed.ok ? parsed.value : parsed.error;
  };

  test('the same name in two objects, or as a value, is fine', () => {
    expect(parse('{"a":{"a":"a"},"b":[{"a":1},{"a":2}],"c":"a:"}')).toEqual({
      a: { a: 'a' },
      b: [{ a: 1 }, { a: 2 }],
      c: 'a:',
    });
    expect(parse('{"\\"":1,"{":2,"}":3,":":4}')).toEqual({ '"': 1, '{': 2, '}': 3, ':': 4 });
  });

  test('sixteen levels are read, seventeen are not', () => {
    const nested = (levels: number): string => `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    expect(typeof parse(nested(16))).toBe('object');
    expect(parse(nested(17))).toBe('nested too deeply');
  });

  test('a byte order mark is not part of JSON', () => {
    expect(parse('\ufeff{}')).toBe('not JSON in UTF-8');
  });

  test('whatever JSON.stringify writes is accepted and means the same', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 4 })), (value) => {
        const text = JSON.stringify(value);
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test('an object whose member is written again is always found', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 2 }), { minKeys: 1 }),
        fc.nat(),
        (value, pick) => {
          const names = Object.keys(value);
          const name = names[pick % names.length] ?? '';
          const text = `${JSON.stringify(value).slice(0, -1)},${JSON.stringify(name)}:0}`;
          expect(parse(text)).toBe('a member stands in it twice');
        },
      ),
    );
  });

  test('random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(typeof parseStrictJsonObject(bytes).ok).toBe('boolean');
      }),
    );
  });
});
