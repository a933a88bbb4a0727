/**
 * Names that a certificate may be issued for, and what its directory is called.
 */
import { isIP } from 'node:net';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { type Ledger, parseLeafName } from './ledger.ts';
import { refused } from './problem.ts';

const DNS_NAME =
  /^(?=.{1,253}$)(?:\*\.(?=[^.]+\.))?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
/** A name that is an address to some resolver is not a DNS name. */
const LOOKS_LIKE_ADDRESS = /^[\d.]+$/;

/** A DNS name in lower case, its first label perhaps `*`; undefined when it is none. */
export function parseDnsName(text: string): string | undefined {
  const name = text.toLowerCase();
  return DNS_NAME.test(name) && !LOOKS_LIKE_ADDRESS.test(name) ? name : undefined;
}

/** What a server's certificate is for. Throws a PkiProblem when a name is none, or not one that the tenant's CA may sign. */
export function serverNames(
  ledger: Ledger,
  dnsNames: readonly string[],
  ipAddresses: readonly string[],
): { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] } {
  const names = dnsNames.map((text) => {
    const name = parseDnsName(text);
    if (name === undefined) throw refused(`${text} is no DNS name`, 'such as acme.models.example, or *.models.example');
    const permitted = ledger.constrained?.dnsNames ?? [];
    if (permitted.length === 0 || permitted.some((under) => name === under || name.endsWith(`.${under}`))) return name;
    throw refused(`the CA of tenant ${ledger.tenant} may not sign for ${name}`, `a name in ${permitted.join(', ')}`);
  });
  const bad = ipAddresses.find((address) => isIP(address) === 0 || address.includes('%'));
  if (bad !== undefined) throw refused(`${bad} is no IP address`, 'such as 192.0.2.7 or 2001:db8::7');
  return { dnsNames: [...new Set(names)], ipAddresses: [...new Set(ipAddresses)] };
}

/** The SPIFFE id of a client, from its path or the whole id. Throws a PkiProblem when it is none of the tenant's. */
export function clientId(ledger: Ledger, text: string): string {
  const whole = /^spiffe:/i.test(text) ? text : `spiffe://${ledger.trustDomain}/${text.replace(/^\//, '')}`;
  const id = parseSpiffeId(whole);
  if (id === undefined || id.path === '') {
    throw refused(`${text} is no SPIFFE id of a client`, `such as trainer, or spiffe://${ledger.trustDomain}/trainer`);
  }
  if (id.trustDomain === ledger.trustDomain) return id.uri;
  throw refused(
    `${text} is not in trust domain ${ledger.trustDomain} of tenant ${ledger.tenant}`,
    `spiffe://${ledger.trustDomain}/…`,
  );
}

/** The directory's name for a leaf: its first DNS name or address, or the path of its SPIFFE id. */
export function defaultLeafName(identity: string): string {
  const plain = identity.replace(/^spiffe:\/\/[^/]+\//, '').replaceAll(/[^A-Za-z0-9._-]/g, '_');
  // A name may begin with a dot or hyphen that a directory of ours may not.
  const name = parseLeafName(/^[.-]/.test(plain) ? `_${plain}` : plain);
  if (name === undefined) throw refused(`${identity} is too long to name a directory`, 'name it yourself: --name NAME');
  return name;
}
