/**
 * Sets of SPIFFE ids by patterns: `spiffe://domain/path` is that id, `spiffe://domain/path/*` are all ids below the path, by whole
 * segments, and `spiffe://domain/*` are all of the trust domain. Two patterns have an id in common if and only if they are the same, or
 * one lies below the other; so whether owners overlap is known without asking about any id.
 */
import { parseSpiffeId } from './spiffe-id.ts';

/** Segments of a pattern's path; an id may have more. */
export const MAX_PATTERN_SEGMENTS = 16;

const SCHEME = 'spiffe://';

/** Whether a text is a pattern. Trust domains are written in lower case, as ids are compared. */
export function isSpiffePattern(text: string): boolean {
  const whole = text.endsWith('/*') ? text.slice(0, -2) : text;
  const id = parseSpiffeId(whole);
  if (id === undefined || id.uri !== whole || id.path.split('/').length > MAX_PATTERN_SEGMENTS + 1) return false;
  return text !== whole || id.path !== '';
}

/** The trust domain that a pattern's ids are of. */
export function domainOf(pattern: string): string {
  return pattern.slice(SCHEME.length).split('/')[0] ?? '';
}

/** Who owns which ids. */
export class SpiffeOwners<T> {
  readonly #exact = new Map<string, Set<T>>();
  /** `spiffe://domain/path` of each `spiffe://domain/path/*`. */
  readonly #below = new Map<string, Set<T>>();

  enter(pattern: string, owner: T): void {
    const { map, key } = this.#place(pattern);
    const known = map.get(key);
    if (known === undefined) map.set(key, new Set([owner]));
    else known.add(owner);
  }

  leave(pattern: string, owner: T): void {
    const { map, key } = this.#place(pattern);
    const known = map.get(key);
    known?.delete(owner);
    if (known?.size === 0) map.delete(key);
  }

  /** All who own an id, as `parseSpiffeId` spells it. */
  ownersOf(uri: string): ReadonlySet<T> {
    const owners = new Set(this.#exact.get(uri));
    for (const prefix of prefixesOf(uri)) for (const owner of this.#below.get(prefix) ?? []) owners.add(owner);
    return owners;
  }

  /** Another owner of an id that a pattern has. Patterns that lie below it are for their own owners to ask about. */
  otherOwner(pattern: string, owner: T): T | undefined {
    const { map, key } = this.#place(pattern);
    const sets = [map.get(key), ...prefixesOf(key).map((prefix) => this.#below.get(prefix))];
    for (const owners of sets) for (const other of owners ?? []) if (other !== owner) return other;
    return undefined;
  }

  #place(pattern: string): { readonly map: Map<string, Set<T>>; readonly key: string } {
    return pattern.endsWith('/*')
      ? { map: this.#below, key: pattern.slice(0, -2) }
      : { map: this.#exact, key: pattern };
  }
}

/** What an id lies below, from its trust domain on, as far as patterns go. */
function prefixesOf(uri: string): readonly string[] {
  const prefixes: string[] = [];
  let at = uri.indexOf('/', SCHEME.length);
  while (at > 0 && prefixes.length <= MAX_PATTERN_SEGMENTS) {
    prefixes.push(uri.slice(0, at));
    at = uri.indexOf('/', at + 1);
  }
  return prefixes;
}
