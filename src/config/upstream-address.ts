/**
 * Addresses that we connect to: the model server's, the collector's.
 */
import { BlockList, isIP } from 'node:net';
import { err, ok, type Result } from '../kernel/result.ts';
import type { UpstreamConfig } from './upstream-config.ts';

/** `sun_path` of a Unix socket is 108 bytes with its terminator (unix(7)). */
const MAX_SOCKET_PATH = 107;

export interface AddressFlaw {
  readonly message: string;
  readonly fix: string;
}

export interface UpstreamAddress {
  readonly target: UpstreamConfig['target'];
  readonly tls: boolean;
}

/** Parses `http://host:port`, `https://host:port` or `unix:/path`. */
export function parseUpstreamAddress(text: string): Result<UpstreamAddress, AddressFlaw> {
  const fix = 'write http://host:port, https://host:port or unix:/path';
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (!path.startsWith('/')) return err({ message: 'the socket’s path is not absolute', fix: 'write unix:/path' });
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
      return err({
        message: `the socket’s path is longer than ${MAX_SOCKET_PATH} bytes`,
        fix: 'choose a shorter path',
      });
    }
    return ok({ target: { kind: 'unix', path }, tls: false });
  }
  const match = /^(https?):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})\/?$/.exec(text);
  const host = match?.[2]?.replace(/^\[|\]$/g, '');
  const port = Number(match?.[3]);
  if (match === null || host === undefined || !hostStands(match[2] ?? '', host)) {
    return err({ message: `"${text}" is not an address`, fix });
  }
  if (port < 1 || port > 65_535)
    return err({ message: `${match[3]} is not a port`, fix: 'write a port from 1 to 65535' });
  return ok({ target: { kind: 'tcp', host, port }, tls: match[1] === 'https' });
}

function hostStands(written: string, host: string): boolean {
  if (written.startsWith('[')) return isIP(host) === 6;
  return isIP(host) === 4 || /[A-Za-z]/.test(host);
}

/** Whether a host is this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || (isIP(host) !== 0 && LOOPBACK.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4'));
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** What speaks against an OTLP endpoint; undefined when nothing does. */
export function judgeOtlpEndpoint(text: string, protocol: 'grpc' | 'http/protobuf'): AddressFlaw | undefined {
  const url = URL.parse(text);
  const fix = 'write http://host:port or https://host:port';
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') {
    return { message: `"${text}" is not an http or https URL`, fix };
  }
  if (url.username !== '' || url.password !== '')
    return { message: 'has a user or password in it', fix: 'use headers' };
  if (url.search !== '' || url.hash !== '') return { message: 'has a query or a fragment in it', fix };
  if (protocol === 'grpc' && url.pathname !== '/') return { message: 'has a path, which OTLP over gRPC has not', fix };
  return undefined;
}
