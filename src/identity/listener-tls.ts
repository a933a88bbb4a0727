/**
 * TLS options of the tenants' listener: the server name picks a tenant's context, and without one there is no handshake.
 *
 * The listener's own context has neither certificate nor CA. A client hello without a server name, or with one that is
 * nobody's, stays with it and ends in the alert handshake_failure, before any tenant's certificate was shown. (Node offers
 * no way to send unrecognized_name.) Where tenants share a certificate, it has that one, for hellos without a server name.
 */
import { type SecureContext, TLSSocket, type TlsOptions } from 'node:tls';
import type { SharedListenerConfig } from '../config/generation.ts';
import { contextDefaults, type MinTlsVersion } from './tls-contexts.ts';

export interface ListenerTls {
  readonly minVersion: MinTlsVersion;
  /**
   * What tenants share. Then the listener's own context has a certificate, and no handshake ends for want of one of the client's: the caller
   * looks at each certificate, and at what OpenSSL says of those in tenants' own contexts.
   */
  readonly shared: SharedListenerConfig | undefined;
  readonly handshakeTimeoutMs: number;
  /** The context of the tenant that a server name (as sent, lower-cased) claims; undefined: nobody's. */
  contextOf(serverName: string): SecureContext | undefined;
  /** Whether the client of this connection may shake hands in that name just now; when not, it costs us no signature. */
  mayBegin(serverName: string, socket: TLSSocket): boolean;
  /** `contextOf` threw: a tenant's certificate or CA is unusable. The connection ends as for an unknown name. */
  onUnusable(serverName: string, error: unknown): void;
}

/**
 * Options for `tls.createServer`. Two things are left to the caller: to ask `establishedProblem` about each
 * `secureConnection`, and to destroy the socket of each `tlsClientError` (Node leaves one whose handshake timed out open).
 */
export function listenerTlsOptions(listener: ListenerTls): TlsOptions {
  const { shared } = listener;
  const certificate = shared?.certificate;
  return {
    ...contextDefaults(listener.minVersion),
    ...(certificate === undefined ? {} : { cert: certificate.chainPem, key: certificate.keyPem }),
    // No roots: an empty list keeps Node from loading the public ones.
    ca: [],
    requestCert: true,
    rejectUnauthorized: shared === undefined,
    ALPNProtocols: ['h2'],
    handshakeTimeout: listener.handshakeTimeoutMs,
    SNICallback(this: unknown, serverName, done) {
      // Node calls it on the socket that says hello. If it should ever not: the listener asks once more after the handshake.
      if (this instanceof TLSSocket && !listener.mayBegin(serverName.toLowerCase(), this))
        return done(new CoolingOff());
      const context = contextOrNone(listener, serverName.toLowerCase());
      // A name that is nobody's must not come to see what tenants share, and Node takes no context without a certificate.
      if (context === undefined && shared !== undefined) return done(new UnknownName());
      done(null, context);
    },
  };
}

/** It comes back sooner than it may. */
class CoolingOff extends Error {
  readonly code = COOLING_OFF;
}

const COOLING_OFF = 'ERR_COOLING_OFF';

/** The name is no tenant's, nor one that tenants share. */
class UnknownName extends Error {
  readonly code = UNKNOWN_NAME;
}

const UNKNOWN_NAME = 'ERR_UNKNOWN_SERVER_NAME';

/** An exception in an SNICallback would end the process (CVE-2026-21637). */
function contextOrNone(listener: ListenerTls, serverName: string): SecureContext | undefined {
  try {
    return listener.contextOf(serverName);
  } catch (error) {
    listener.onUnusable(serverName, error);
    return undefined;
  }
}

/** Why a TLS connection was refused, for the refusal record. */
export interface HandshakeRefusal {
  readonly reason:
    | 'TLS_SERVER_NAME_MISSING'
    | 'TLS_UNKNOWN_SERVER_NAME'
    | 'TLS_CLIENT_CERT_REQUIRED'
    | 'TLS_CLIENT_CERT_UNTRUSTED'
    | 'TLS_ALPN_UNSUPPORTED'
    | 'TLS_VERSION_UNSUPPORTED'
    | 'TLS_HANDSHAKE_TIMEOUT'
    | 'COOLING_OFF'
    | 'TLS_CONNECTION_LOST'
    | 'TLS_HANDSHAKE_FAILED';
  /** As sent, at most 255 characters; empty when there was none or the hello was refused before it was read. */
  readonly serverName: string;
  /** OpenSSL's or Node's error code. */
  readonly detail: string;
}

/** Explains a `tlsClientError`. */
export function handshakeRefusal(
  error: Error,
  socket: TLSSocket & { readonly servername?: unknown },
): HandshakeRefusal {
  const serverName = typeof socket.servername === 'string' ? socket.servername.slice(0, 255) : '';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  // Node ends a connection whose certificate did not verify without an error of its own, and says why only here.
  const untrusted: unknown = socket.authorizationError;
  if (typeof untrusted === 'string') {
    return { reason: 'TLS_CLIENT_CERT_UNTRUSTED', serverName, detail: untrusted };
  }
  return { reason: reasonOf(code, serverName), serverName, detail: code };
}

/** Why a connection whose handshake succeeded must be closed all the same; undefined: it may go on. */
export function establishedProblem(socket: TLSSocket): HandshakeRefusal | undefined {
  // A client that offers no protocol at all gets past ALPN (RFC 7301 §3.2), and then what it speaks is anyone's guess.
  if (socket.alpnProtocol === 'h2') return undefined;
  const serverName = 'servername' in socket && typeof socket.servername === 'string' ? socket.servername : '';
  return { reason: 'TLS_ALPN_UNSUPPORTED', serverName: serverName.slice(0, 255), detail: 'no ALPN extension' };
}

function reasonOf(code: string, serverName: string): HandshakeRefusal['reason'] {
  switch (code) {
    case 'ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM':
    case 'ERR_SSL_NO_SHARED_CIPHER':
      return serverName === '' ? 'TLS_SERVER_NAME_MISSING' : 'TLS_UNKNOWN_SERVER_NAME';
    case 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE':
      return 'TLS_CLIENT_CERT_REQUIRED';
    case 'ERR_SSL_NO_APPLICATION_PROTOCOL':
      return 'TLS_ALPN_UNSUPPORTED';
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
    case 'ERR_SSL_NO_PROTOCOLS_AVAILABLE':
      return 'TLS_VERSION_UNSUPPORTED';
    case 'ERR_TLS_HANDSHAKE_TIMEOUT':
      return 'TLS_HANDSHAKE_TIMEOUT';
    case COOLING_OFF:
      return 'COOLING_OFF';
    case UNKNOWN_NAME:
      return 'TLS_UNKNOWN_SERVER_NAME';
    case 'ECONNRESET':
      return 'TLS_CONNECTION_LOST';
    default:
      return 'TLS_HANDSHAKE_FAILED';
  }
}
