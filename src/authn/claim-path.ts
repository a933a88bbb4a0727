/**
 * Where in a token a claim is: a name, names joined by dots (`realm_access.roles`), or a JSON Pointer (RFC 6901) for names that have
 * dots themselves (`/https:~1~1acme.example~1groups`).
 */
import { isJsonObject, type JsonObject } from './strict-json.ts';

/** Longest path, as written. */
export const MAX_CLAIM_PATH_LENGTH = 256;
/** Names in one path: tokens are nested no deeper than 16, and what issuers write no deeper than three. */
export const MAX_CLAIM_PATH_STEPS = 8;

/** A path's canonical spelling, the JSON Pointer; undefined for what is no path. */
export function canonicalClaimPath(text: string): string | undefined {
  if (text.length === 0 || text.length > MAX_CLAIM_PATH_LENGTH) return undefined;
  if (text.startsWith('/')) {
    const steps = text.slice(1).split('/');
    const isPointer = steps.every((step) => step !== '' && /^([^~]|~[01])*$/.test(step));
    return isPointer && steps.length <= MAX_CLAIM_PATH_STEPS ? text : undefined;
  }
  const steps = text.split('.');
  if (steps.includes('') || steps.length > MAX_CLAIM_PATH_STEPS) return undefined;
  return steps.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** The names of a canonical path. */
export function claimPathSteps(pointer: string): readonly string[] {
  return pointer
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** What a token says there; undefined for nothing. Arrays are values, not ways: no path leads through one. */
export function claimAt(claims: JsonObject, steps: readonly string[]): unknown {
  let value: unknown = claims;
  for (const step of steps) {
    // Own members only: `constructor` is no claim that a token has by being an object.
    if (!isJsonObject(value) || !Object.hasOwn(value, step)) return undefined;
    value = value[step];
  }
  return value;
}
