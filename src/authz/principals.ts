/**
 * Whom a rule names: tokens by subject and by what they claim, API keys, client certificates.
 */
import type { KeptClaims } from '../authn/kept-claims.ts';
import type { BindingConfig, ClaimMatch } from '../config/policy-config.ts';

/** Names that rules know callers by. */
export interface Principal {
  readonly subject: string | undefined;
  readonly keyId: string | undefined;
  readonly certificateId: string;
  readonly claims: KeptClaims;
}

/** Which of a caller's credentials are named. */
export interface NamedBy {
  /** By its subject, or by what it claims. */
  readonly byToken: boolean;
  readonly byKey: boolean;
  readonly byCertificate: boolean;
}

const NO_CLAIMS: readonly ClaimMatch[] = [];

export class Principals {
  readonly #subjects: Names;
  readonly #keys: Names;
  readonly #certificates: Names;
  readonly #claims: readonly ClaimMatch[];

  constructor({
    subjects,
    keys,
    certificates,
    claims,
  }: Pick<BindingConfig, 'subjects' | 'keys' | 'certificates' | 'claims'>) {
    this.#subjects = namesOf(subjects);
    this.#keys = namesOf(keys);
    // Certificates name their DNS names in lower case.
    this.#certificates = namesOf(certificates.map((id) => (id.startsWith('dns:') ? id.toLowerCase() : id)));
    this.#claims = claims ?? NO_CLAIMS;
  }

  /** undefined: none of the caller's credentials is named. */
  naming({ subject, keyId, certificateId, claims }: Principal): NamedBy | undefined {
    const byToken = has(this.#subjects, subject) || says(claims, this.#claims);
    const byKey = has(this.#keys, keyId);
    const byCertificate = has(this.#certificates, certificateId);
    return byToken || byKey || byCertificate ? { byToken, byKey, byCertificate } : undefined;
  }
}

interface Names {
  readonly any: boolean;
  /** undefined: none. */
  readonly exact: ReadonlySet<string> | readonly string[] | undefined;
  /** `spiffe://domain/path/` of each `spiffe://domain/path/*`; undefined: none. */
  readonly below: ReadonlySet<string> | undefined;
}

/** So many are looked through one by one: a set of them would weigh more than they do. */
const FEW = 16;

/** Most rules name callers in one way only: what names nobody is made once. */
const NOBODY: Names = { any: false, exact: undefined, below: undefined };
const ANYBODY: Names = { any: true, exact: undefined, below: undefined };

function namesOf(names: readonly string[]): Names {
  if (names.length === 0) return NOBODY;
  if (names.includes('*')) return ANYBODY;
  const isBelow = (name: string): boolean => name.startsWith('spiffe://') && name.endsWith('/*');
  const exact = names.filter((name) => !isBelow(name));
  const below = names.filter(isBelow).map((name) => name.slice(0, -1));
  return {
    any: false,
    exact: exact.length === 0 ? undefined : exact.length <= FEW ? exact : new Set(exact),
    below: below.length === 0 ? undefined : new Set(below),
  };
}

/** `*` means anybody who has such a credential, not anybody. */
function has({ any, exact, below }: Names, name: string | undefined): boolean {
  if (name === undefined) return false;
  if (any || (below !== undefined && isBelowOne(name, below))) return true;
  if (exact === undefined) return false;
  return 'has' in exact ? exact.has(name) : exact.includes(name);
}

/** By whole segments of the path, and never above it: a trust domain is no segment. */
function isBelowOne(id: string, below: ReadonlySet<string>): boolean {
  if (!id.startsWith('spiffe://')) return false;
  const root = id.indexOf('/', 'spiffe://'.length);
  for (let at = id.lastIndexOf('/'); at >= root && root > 0; at = id.lastIndexOf('/', at - 1)) {
    if (below.has(id.slice(0, at + 1))) return true;
  }
  return false;
}

/** Whether a token says all of it. Nothing that is asked is nothing that is said. */
function says({ matched }: KeptClaims, asked: readonly ClaimMatch[]): boolean {
  return (
    asked.length > 0 &&
    asked.every(({ path, values }) => {
      const said = matched.get(path);
      return said !== undefined && values.some((value) => said.includes(value));
    })
  );
}
