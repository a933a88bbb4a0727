/**
 * Opens the socket to a model server: TCP, a Unix socket, or TLS with a pinned CA.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import type { UpstreamConfig } from '../config/upstream-config.ts';
import { readCertificateFacts } from '../identity/certificate-facts.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { err, ok, type Result } from '../kernel/result.ts';

/** Why there is no socket: for the audit record, in words. */
export type DialError = string;

/** Connects, or says why not, within `connectTimeoutMs`; the callback is called exactly once. */
export function dial(config: UpstreamConfig, done: (result: Result<Socket, DialError>) => void): void {
  const { target, tls } = config;
  if (tls?.missing !== undefined) {
    const { missing } = tls;
    // Not in this turn: whoever dials is not ready for the answer yet.
    setImmediate(() => done(err(missing)));
    return;
  }
  const plain =
    target.kind === 'unix'
      ? connectTcp({ path: target.path })
      : connectTcp({ host: target.host, port: target.port, noDelay: true });
  const socket =
    tls === undefined
      ? plain
      : connectTls({
          socket: plain,
          servername: tls.serverName,
          secureContext: secureContextOf(tls),
          ALPNProtocols: ['h2'],
          minVersion: 'TLSv1.2',
          rejectUnauthorized: true,
          ...(tls.spiffeId === undefined ? {} : { checkServerIdentity: idCheck(tls.spiffeId) }),
        });
  let settled = false;
  const settle = (result: Result<Socket, DialError>): void => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    socket.off('error', fail);
    if (!result.ok) {
      // The socket may still fail while it is torn down; nobody needs to hear of it.
      socket.on('error', () => undefined);
      socket.destroy();
      plain.destroy();
    }
    done(result);
  };
  const fail = (error: Error): void => settle(err(error.message));
  const timer = setTimeout(
    () => settle(err(`no connection within ${config.connectTimeoutMs} ms`)),
    config.connectTimeoutMs,
  );
  socket.on('error', fail);
  plain.on('error', fail);
  if (tls === undefined) plain.once('connect', () => settle(ok(plain)));
  else {
    socket.once('secureConnect', () => {
      const protocol = 'alpnProtocol' in socket ? socket.alpnProtocol : undefined;
      if (protocol === 'h2') settle(ok(socket));
      else settle(err('the upstream does not speak h2 (ALPN)'));
    });
  }
}

/** X509-SVID.md §5.2: exactly one URI, which is the id that is meant, on a leaf. */
function idCheck(spiffeId: string): (host: string, peer: { readonly raw: Buffer }) => Error | undefined {
  return (_host, { raw }) => {
    try {
      const { uris, isCa } = readCertificateFacts(raw);
      const shown = uris.length === 1 ? parseSpiffeId(uris[0] ?? '')?.uri : undefined;
      if (shown === spiffeId && !isCa) return undefined;
      return new Error(`the server’s SPIFFE id is not ${spiffeId}, but ${shown ?? 'none'}`);
    } catch {
      return new Error('the server’s certificate cannot be read');
    }
  };
}

type UpstreamTls = NonNullable<UpstreamConfig['tls']>;

/** Parsing certificates costs milliseconds: once per configuration, not once per connection. */
const contexts = new WeakMap<UpstreamTls, SecureContext>();

function secureContextOf(tls: UpstreamTls): SecureContext {
  let context = contexts.get(tls);
  if (context === undefined) {
    context = createSecureContext({
      ...(tls.caPem === undefined ? {} : { ca: tls.caPem }),
      ...(tls.clientCertificate === undefined
        ? {}
        : { cert: tls.clientCertificate.chainPem, key: tls.clientCertificate.keyPem }),
    });
    contexts.set(tls, context);
  }
  return context;
}
