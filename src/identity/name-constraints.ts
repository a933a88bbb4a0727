/**
 * Whether a leaf's DNS names and URIs are within what the CAs above it may sign for (RFC 5280 §4.2.1.10). These two are the kinds of
 * names that we take identities from; OpenSSL has judged the others.
 */
import type { CertificateFacts, ConstrainedNames } from './certificate-facts.ts';

/** The first name that a CA may not have signed for; undefined: there is none. */
export function unconstrainedName(
  leaf: Pick<CertificateFacts, 'dnsNames' | 'uris'>,
  { nameConstraints }: Pick<CertificateFacts, 'nameConstraints'>,
): string | undefined {
  if (nameConstraints === undefined) return undefined;
  const { permitted, excluded } = nameConstraints;
  return (
    leaf.dnsNames.find((name) => isOutside(name.toLowerCase(), 'dns', permitted, excluded, matchesDns)) ??
    leaf.uris.find((uri) => isOutside(hostOf(uri), 'uris', permitted, excluded, matchesHost))
  );
}

/** A kind of name without permitted subtrees is not restricted; an excluded one loses against nothing. */
function isOutside(
  name: string | undefined,
  kind: keyof ConstrainedNames,
  permitted: ConstrainedNames,
  excluded: ConstrainedNames,
  matches: (name: string, base: string) => boolean,
): boolean {
  const bases = { permitted: permitted[kind], excluded: excluded[kind] };
  // §4.2.1.10: a URI without a host cannot be held to a constraint on hosts.
  if (name === undefined) return bases.permitted.length + bases.excluded.length > 0;
  if (bases.excluded.some((base) => matches(name, base.toLowerCase()) || covers(name, base.toLowerCase()))) return true;
  return bases.permitted.length > 0 && !bases.permitted.some((base) => matches(name, base.toLowerCase()));
}

/** A name permits itself and all below it; with a leading dot, as many write it, only what is below. */
function matchesDns(name: string, base: string): boolean {
  return base === '' || name === base || name.endsWith(base.startsWith('.') ? base : `.${base}`);
}

/** A host permits itself alone; with a leading dot, only what is below. */
function matchesHost(host: string, base: string): boolean {
  return base.startsWith('.') ? host.endsWith(base) : host === base;
}

/** A wildcard reaches into what is excluded. */
function covers(name: string, base: string): boolean {
  return name.startsWith('*.') && `.${base}`.endsWith(name.slice(1));
}

function hostOf(uri: string): string | undefined {
  const host = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:]+)/i.exec(uri)?.[1];
  return host?.toLowerCase();
}
