/**
 * Project Wycheproof's JWS vectors against the outside of a token and its signature: nothing invalid passes, and nothing
 * valid is refused but for the reasons listed here.
 */
import { readFileSync } from 'node:fs';
import { createLocalJWKSet } from 'jose';
import { describe, expect, test } from 'vitest';
import { parseCompactJws } from '../../src/authn/compact-jws.ts';
import { SIGNATURE_ALGORITHMS, verifySignature } from '../../src/authn/jws-signature.ts';
import { AUTHN_LIMITS } from '../../src/authn/limits.ts';
import { isJsonObject, type JsonObject } from '../../src/authn/strict-json.ts';

const folder = process.env['BULKHEAD_VECTORS'] ?? new URL('../../../shared/vectors', import.meta.url).pathname;

interface Vector {
  readonly name: string;
  readonly result: string;
  readonly jws: string;
  readonly keys: readonly JsonObject[];
}

function load(file: string): readonly Vector[] {
  const document: unknown = JSON.parse(readFileSync(`${folder}/wycheproof/${file}`, 'utf8'));
  return groupsOf(document, 'testGroups').flatMap((group) => {
    // A group of symmetric keys has no public half: whoever trusted its key would have put it into the JWKS as it is.
    const key = isJsonObject(group['public']) ? group['public'] : group['private'];
    if (!isJsonObject(key)) throw new Error('a group of vectors has no key');
    const keys = Array.isArray(key['keys']) ? key['keys'].filter(isJsonObject) : [key];
    return groupsOf(group, 'tests').map((vector) => ({
      name: `${String(vector['tcId'])} ${String(vector['comment'])}`,
      result: String(vector['result']),
      jws: typeof vector['jws'] === 'string' ? vector['jws'] : JSON.stringify(vector['jws']),
      keys,
    }));
  });
}

function groupsOf(value: unknown, member: string): readonly JsonObject[] {
  const list: unknown = isJsonObject(value) ? value[member] : undefined;
  if (!Array.isArray(list)) throw new Error(`the vectors have no ${member}`);
  return list.filter(isJsonObject);
}

async function verdict({ jws, keys }: Vector): Promise<string> {
  const parsed = parseCompactJws(jws, AUTHN_LIMITS.maxTokenBytes);
  if (!parsed.ok) return parsed.error.kind === 'token_invalid' ? parsed.error.why : parsed.error.kind;
  return verifySignature(parsed.value, createLocalJWKSet({ keys: keys.map((key) => ({ kty: 'unknown', ...key })) }), [
    ...SIGNATURE_ALGORITHMS,
  ]);
}

const vectors = load('json_web_signature_test.json');

describe('Wycheproof JWS', () => {
  test('all vectors are there: 355 invalid ones, and 46 valid', () => {
    expect(vectors.length).toBe(401);
    expect(vectors.filter(({ result }) => result === 'valid')).toHaveLength(46);
  });

  test('no invalid one is accepted', async () => {
    const accepted: string[] = [];
    for (const vector of vectors) {
      if (vector.result !== 'valid' && (await verdict(vector)) === 'good') accepted.push(vector.name);
    }
    expect(accepted).toEqual([]);
  });

  test('a valid one is refused only for what we refuse on purpose', async () => {
    const refused = new Map<string, number>();
    let good = 0;
    for (const vector of vectors.filter(({ result }) => result === 'valid')) {
      const outcome = await verdict(vector);
      if (outcome === 'good') good += 1;
      else {
        const why = `${vector.name.replace(/^\d+ /, '')}: ${outcome}`;
        refused.set(why, (refused.get(why) ?? 0) + 1);
      }
    }
    expect(good).toBe(26);
    expect(Object.fromEntries(refused)).toEqual(REFUSED_ON_PURPOSE);
  });
});

const REFUSED_ON_PURPOSE = {
  // Symmetric keys, which no issuer of a resource server should share with it.
  'acceptsValid: no_key': 1,
  'Figure35: no_key': 2,
  'ValidMac: no_key': 1,
  'ValidEdgeCaseMac: no_key': 2,
  'ValidSpacesInJsonHeader: no_key': 1,
  'ValidWhiteSpaceInJsonHeader: no_key': 1,
  // The key says another algorithm (PS256, and the misspelt ES521) than the token's.
  'Figure20: no_key': 2,
  'Figure27: no_key': 2,
  // A JWT always has claims.
  'emptyPayload: not canonical base64url': 6,
  // A token has one spelling.
  'InvalidCharacterInsertedInHeader: not canonical base64url': 1,
  'InvalidCharacterInsertedInPayload: not canonical base64url': 1,
};
