/**
 * What the SPIFFE Workload API gives, as the configuration sees it: texts by name, which change as files do. Nothing of it is on
 * disk, and a name can be told from a path by its scheme.
 */
import type { Result } from '../kernel/result.ts';

const SCHEME = 'spiffe-workload:';

/** Which of its certificates: the first one, the one with this SPIFFE id, or the one with this hint. */
export type SvidChoice =
  | { readonly by: 'default' }
  | { readonly by: 'id'; readonly spiffeId: string }
  | { readonly by: 'hint'; readonly hint: string };

/** The name of a certificate with its chain and key. */
export function svidName(choice: SvidChoice): string {
  if (choice.by === 'default') return `${SCHEME}svid`;
  return choice.by === 'id' ? `${SCHEME}svid/${choice.spiffeId}` : `${SCHEME}hint/${choice.hint}`;
}

/** The name of a trust domain's certificate authorities. */
export function bundleName(trustDomain: string): string {
  return `${SCHEME}bundle/${trustDomain}`;
}

/** Whether a name is one of these, and no path. */
export function isWorkloadName(name: string): boolean {
  return name.startsWith(SCHEME);
}

/** Whether it stands for certificate authorities. */
export function isBundleName(name: string): boolean {
  return name.startsWith(`${SCHEME}bundle/`);
}

/** How messages and metrics call it. */
export function displayName(name: string): string {
  const [kind, ...rest] = name.slice(SCHEME.length).split('/');
  const value = rest.join('/');
  if (kind === 'bundle') return `the authorities of ${value}`;
  if (kind === 'hint') return `hint ${value}`;
  return value === '' ? 'default' : value;
}

export interface WorkloadMaterial {
  /** PEM, all that belongs together in one text; why there is none; or undefined while the API has not been asked. */
  read(name: string): Result<string, string> | undefined;
}

/** Of a process that does not ask. */
export const NOT_ASKED: WorkloadMaterial = { read: () => undefined };
