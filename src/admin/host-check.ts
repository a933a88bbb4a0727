/**
 * Keeps web pages from reading the admin port through the browser of somebody who can reach it. In DNS rebinding, a page's
 * own name is made to point to 127.0.0.1, and the browser then lets the page read what it gets; but the request still says
 * that name in `Host`. An address cannot be rebound, so addresses are fine, and so are `localhost` and configured names.
 */
import { isIP } from 'node:net';

const HOST = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::\d{1,5})?$/i;

/** Whether a `Host` header names this port and not somebody's web site. */
export function isAllowedHost(host: string | undefined, names: readonly string[]): boolean {
  const match = HOST.exec(host ?? '');
  if (match === null) return false;
  if (match[1] !== undefined) return isIP(match[1]) === 6;
  const name = (match[2] ?? '').toLowerCase();
  return isIP(name) === 4 || name === 'localhost' || names.includes(name);
}
