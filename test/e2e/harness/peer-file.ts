/**
 * Where `test/e2e/install` leaves what it installs.
 */
import { fileURLToPath } from 'node:url';

/** The absolute path of an installed peer's file, such as `bin/grpcurl`. */
export function peerFile(path: string): string {
  return fileURLToPath(new URL(`../.peers/${path}`, import.meta.url));
}

/** The absolute path of a file that the tests bring for a peer, such as `triton-models`. */
export function peerSource(path: string): string {
  return fileURLToPath(new URL(`../peers/${path}`, import.meta.url));
}
