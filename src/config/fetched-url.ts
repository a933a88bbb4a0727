/**
 * URLs of documents that the sidecar fetches for itself: what is said of them before anything is fetched. Names are resolved, and
 * their addresses judged, when it is.
 */
import { isIP } from 'node:net';
import { addressFlaw, isLoopbackAddress, isNeverFetched } from '../fetching/address-rules.ts';
import { parseAddressRange } from '../kernel/address-range.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import type { Finding, ValuePath } from './finding.ts';
import type { FetchingConfig } from './generation.ts';
import type { BuiltTenant } from './tenant.ts';
import type { AddressFlaw } from './upstream-address.ts';

/** An address that a file names where a document is to be fetched from. */
export interface FetchedAddress {
  readonly path: ValuePath;
  readonly address: string;
}

/** `allowHttp`: the document is signed. The IP address in a URL that documents may be fetched from, undefined when it has a name instead; or what is wrong with it. */
export function parseFetchedUrl(text: string, allowHttp = false): Result<string | undefined, AddressFlaw> {
  const url = URL.parse(text);
  if (url === null) return err({ message: `"${text}" is not a URL`, fix: 'write https://host/path' });
  if (url.username !== '' || url.password !== '') {
    return err({ message: 'has a user or password in it', fix: 'remove them' });
  }
  if (url.hash !== '') return err({ message: 'has a fragment in it', fix: 'remove what follows #' });
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const address = host === 'localhost' ? '127.0.0.1' : isIP(host) === 0 ? undefined : host;
  const isHere = address !== undefined && isLoopbackAddress(address);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && (isHere || allowHttp))) {
    const fix = 'write https:// (http:// only to 127.0.0.1, [::1] or localhost)';
    return err({ message: `${url.protocol}// is not safe for what callers are judged by`, fix });
  }
  if (address !== undefined && isNeverFetched(address)) {
    return err({ message: `${host} ${addressFlaw(address, []) ?? ''}`, fix: 'write the name of the server' });
  }
  return ok(address);
}

/** Addresses in tenants' files that the main file does not let be asked. */
export function judgeFetchedAddresses(
  { allowAddresses }: FetchingConfig,
  tenants: readonly BuiltTenant[],
): readonly Finding[] {
  const allowed = allowAddresses.flatMap((range) => parseAddressRange(range) ?? []);
  return tenants.flatMap(({ document, fetched }) =>
    fetched.flatMap(({ path, address }) => {
      const flaw = addressFlaw(address, allowed);
      if (flaw === undefined) return [];
      const fix = `add ${address} to fetching.allowAddresses of the main file, or write the name of the server`;
      return [document.finding({ path }, `${address} ${flaw}, and the main file does not let it be asked`, fix)];
    }),
  );
}
