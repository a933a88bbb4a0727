/**
 * Looks at a JSON Web Key Set file (RFC 7517) before a token is verified with it.
 */
import { createPublicKey } from 'node:crypto';
import type { FileProblem } from './certificates.ts';

/** Members of private and symmetric keys (RFC 7518 §6): a file that has one is a leak, or the wrong file. */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const MAX_KEYS = 200;
const MIN_RSA_BITS = 2048;

type KeyRecord = Readonly<Record<string, unknown>>;

/** What is wrong with a key set, given the algorithms that its tokens may have. */
export function judgeKeySet(json: string, algorithms: readonly string[]): readonly FileProblem[] {
  const keys = parseKeys(json);
  if (typeof keys === 'string') {
    return [{ message: keys, fix: 'write a JSON Web Key Set into it: {"keys": […]}', severity: 'error' }];
  }
  const problems: FileProblem[] = [];
  let usable = 0;
  for (const [index, key] of keys.entries()) {
    const secret = PRIVATE_MEMBERS.filter((member) => Object.hasOwn(key, member));
    if (secret.length > 0) {
      const message = `keys[${index}] holds private members (${secret.join(', ')})`;
      problems.push({
        message,
        fix: 'publish the public key only, and replace this one: it is no secret any more',
        severity: 'error',
      });
      continue;
    }
    const flaw = flawOf(key, algorithms);
    if (flaw === undefined) usable += 1;
    else
      problems.push({
        message: `keys[${index}] is not used: ${flaw}`,
        fix: 'remove or replace it',
        severity: 'warning',
      });
  }
  if (usable === 0) {
    const fix = `add a public key for one of: ${algorithms.join(', ')}`;
    problems.push({ message: 'holds no key that a token could be verified with', fix, severity: 'error' });
  }
  return problems;
}

function parseKeys(json: string): readonly KeyRecord[] | string {
  let set: unknown;
  try {
    set = JSON.parse(json);
  } catch (cause) {
    return `is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
  const keys = isRecord(set) ? set['keys'] : undefined;
  if (!Array.isArray(keys)) return 'has no list "keys"';
  if (keys.length > MAX_KEYS) return `has more than ${MAX_KEYS} keys`;
  const records = keys.filter(isRecord);
  return records.length === keys.length ? records : 'has an entry in "keys" that is not a key';
}

function isRecord(value: unknown): value is KeyRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Why no token can be verified with this key; undefined when one can. */
function flawOf(key: KeyRecord, algorithms: readonly string[]): string | undefined {
  if (key['use'] !== undefined && key['use'] !== 'sig') return 'its use is not "sig"';
  const possible = algorithmsOf(key);
  if (possible.length === 0) return 'its type and curve fit no algorithm that is supported';
  const alg = key['alg'];
  if (alg !== undefined && !possible.some((algorithm) => algorithm === alg)) return 'its "alg" does not fit its type';
  const wanted = alg === undefined ? possible : possible.filter((algorithm) => algorithm === alg);
  if (!wanted.some((algorithm) => algorithms.includes(algorithm))) {
    return `its algorithm (${wanted.join(', ')}) is not among ${algorithms.join(', ')}`;
  }
  try {
    const bits = createPublicKey({ key, format: 'jwk' }).asymmetricKeyDetails?.modulusLength;
    return bits !== undefined && bits < MIN_RSA_BITS ? `RSA with ${bits} bits is too short` : undefined;
  } catch {
    return 'it does not parse';
  }
}

const CURVES: Readonly<Record<string, readonly string[]>> = {
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  Ed25519: ['EdDSA', 'Ed25519'],
};

function algorithmsOf(key: KeyRecord): readonly string[] {
  const kty = key['kty'];
  if (kty === 'RSA') return ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
  return kty === 'EC' || kty === 'OKP' ? (CURVES[String(key['crv'])] ?? []) : [];
}
