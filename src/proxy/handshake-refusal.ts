/**
 * A failed handshake, in words for the audit record. OpenSSL's codes say why; the peer itself saw a TLS alert, or a close.
 */
import type { TLSSocket } from 'node:tls';
import type { TenantConfig } from '../config/generation.ts';
import type { Refusal } from './refusals.ts';

const REASONS: readonly (readonly [RegExp, string])[] = [
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE/, 'TLS_CLIENT_CERT_REQUIRED'],
  [/CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/, 'TLS_CLIENT_CERT_EXPIRED'],
  [/UNABLE_TO_|SELF_SIGNED|CERT_|INVALID_CA|INVALID_PURPOSE|VERIFY/, 'TLS_CLIENT_CERT_UNTRUSTED'],
  [/SNI|UNRECOGNIZED_NAME|CALLBACK_FAILED/, 'TLS_UNKNOWN_SERVER_NAME'],
  [/APPLICATION_PROTOCOL/, 'TLS_NO_H2'],
  [/HANDSHAKE_TIMEOUT/, 'TLS_HANDSHAKE_TIMEOUT'],
  [/VERSION|CIPHER|SHARED_GROUP|SIGALG/, 'TLS_NO_COMMON_PARAMETERS'],
  [/ECONNRESET|EPIPE/, 'TLS_PEER_LEFT'],
];

/** Names the reason, and the tenant whose door it was. */
export function handshakeRefusal(
  error: Error,
  socket: TLSSocket,
  claimed: (serverName: string) => TenantConfig | undefined,
): Refusal {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.message;
  const serverName = typeof socket.servername === 'string' ? socket.servername.slice(0, 255) : '';
  return {
    reason: REASONS.find(([pattern]) => pattern.test(code))?.[1] ?? 'TLS_HANDSHAKE_FAILED',
    serverName,
    tenantClaim: serverName === '' ? '' : (claimed(serverName)?.id ?? ''),
    peerAddress: socket.remoteAddress ?? '',
    detail: code.slice(0, 200),
  };
}
