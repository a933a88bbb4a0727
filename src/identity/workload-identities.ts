/**
 * What the Workload API has last said: the certificates that are ours, and the authorities of trust domains. Every message is the
 * whole of it (SPIFFE_Workload_API.md §4.4): what one leaves out is gone.
 */
import { bundleName, isBundleName, svidName, type WorkloadMaterial } from '../config/workload-material.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { parseSpiffeId } from './spiffe-id.ts';
import type { BundlesMessage } from './workload-protocol.ts';
import { readBundle, type Svid } from './x509-svid.ts';

/** Names that a message lists of what there is. */
const MAX_LISTED = 5;

export interface UnusableBundle {
  readonly trustDomain: string;
  readonly why: string;
}

export class WorkloadIdentities implements WorkloadMaterial {
  /** By name; undefined: nothing has been said yet. */
  #svids: ReadonlyMap<string, Svid> | undefined;
  #bundles: ReadonlyMap<string, string> | undefined;

  /** Whether it is known what a name stands for, if only that it stands for nothing. */
  isKnown(name: string): boolean {
    return (isBundleName(name) ? this.#bundles : this.#svids) !== undefined;
  }

  has(name: string): boolean {
    return this.#svids?.has(name) === true || this.#bundles?.has(name) === true;
  }

  read(name: string): Result<string, string> | undefined {
    if (isBundleName(name)) {
      if (this.#bundles === undefined) return undefined;
      const pem = this.#bundles.get(name);
      return pem === undefined ? err('the Workload API gives no authorities of this trust domain') : ok(pem);
    }
    if (this.#svids === undefined) return undefined;
    const svid = this.#svids.get(name);
    return svid === undefined ? err(`the Workload API gives no such certificate${this.#listing()}`) : ok(svid.pem);
  }

  /** When the certificate ends that a name stands for, in milliseconds since the epoch. */
  notAfterMs(name: string): number | undefined {
    return this.#svids?.get(name)?.notAfterMs;
  }

  /** When the next of all ends. */
  get nextEndMs(): number | undefined {
    const ends = [...(this.#svids?.values() ?? [])].map(({ notAfterMs }) => notAfterMs);
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  /** Takes a message's certificates over. Returns the names of what is another now. */
  takeSvids(svids: readonly Svid[]): ReadonlySet<string> {
    const next = new Map<string, Svid>();
    const put = (name: string, svid: Svid): void => {
      // Of several with one name, the first (§5.2.1).
      if (!next.has(name)) next.set(name, svid);
    };
    for (const svid of svids) {
      put(svidName({ by: 'default' }), svid);
      put(svidName({ by: 'id', spiffeId: svid.spiffeId }), svid);
      if (svid.hint !== '') put(svidName({ by: 'hint', hint: svid.hint }), svid);
    }
    const before = this.#svids;
    this.#svids = next;
    return difference(before, next, (svid) => svid.pem);
  }

  /** Takes a message's authorities over; those of one trust domain that cannot be used are none, and the others stand. */
  takeBundles({ bundles }: BundlesMessage): {
    readonly changed: ReadonlySet<string>;
    readonly unusable: readonly UnusableBundle[];
  } {
    const next = new Map<string, string>();
    const unusable: UnusableBundle[] = [];
    for (const [id, der] of Object.entries(bundles)) {
      const trustDomain = trustDomainOf(id);
      const pem = trustDomain === undefined ? err('is named by no trust domain') : readBundle(der);
      if (trustDomain !== undefined && pem.ok) next.set(bundleName(trustDomain), pem.value);
      else if (!pem.ok) unusable.push({ trustDomain: id.slice(0, 300), why: pem.error });
    }
    const before = this.#bundles;
    this.#bundles = next;
    return { changed: difference(before, next, (pem) => pem), unusable };
  }

  /** Nobody follows it any more: what it said last is not to be believed when it is asked again. */
  forget(kind: 'svids' | 'bundles'): void {
    if (kind === 'svids') this.#svids = undefined;
    else this.#bundles = undefined;
  }

  /** Lets go of certificates that have ended. Returns the names of what is no more. */
  expire(nowMs: number): ReadonlySet<string> {
    const gone = new Set<string>();
    if (this.#svids === undefined) return gone;
    const left = new Map<string, Svid>();
    for (const [name, svid] of this.#svids) {
      if (svid.notAfterMs > nowMs) left.set(name, svid);
      else gone.add(name);
    }
    this.#svids = left;
    return gone;
  }

  #listing(): string {
    const ids = [...new Set([...(this.#svids?.values() ?? [])].map(({ spiffeId }) => spiffeId))];
    if (ids.length === 0) return '';
    const more = ids.length > MAX_LISTED ? ', …' : '';
    return `; it gives ${ids.slice(0, MAX_LISTED).join(', ')}${more}`;
  }
}

/** Bundles are listed by the trust domain's own id; SPIRE's agent writes it so, older ones without the scheme. */
function trustDomainOf(id: string): string | undefined {
  const parsed = parseSpiffeId(id.includes('://') ? id : `spiffe://${id}`);
  return parsed?.path === '' ? parsed.trustDomain : undefined;
}

function difference<T>(
  before: ReadonlyMap<string, T> | undefined,
  after: ReadonlyMap<string, T>,
  textOf: (value: T) => string,
): ReadonlySet<string> {
  const changed = new Set<string>();
  for (const [name, value] of after) {
    const known = before?.get(name);
    if (known === undefined || textOf(known) !== textOf(value)) changed.add(name);
  }
  for (const name of before?.keys() ?? []) if (!after.has(name)) changed.add(name);
  return changed;
}
