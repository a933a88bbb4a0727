/**
 * What the configuration's limits mean for one client's connection, at either kind of listener.
 */
import type { LimitsConfig } from '../config/generation.ts';
import type { ConnectionOptions } from '../http2/contract.ts';
import type { ConnectionLimits } from '../http2/limits.ts';

/** The engine's options. `others`: what differs from its defaults besides. */
export function clientConnectionOptions(
  limits: LimitsConfig,
  others: Partial<ConnectionLimits> = {},
): ConnectionOptions {
  return {
    role: 'server',
    maxConcurrentStreams: limits.maxConcurrentStreams,
    streamWindowBytes: limits.streamWindowBytes,
    connectionWindowBytes: limits.connectionWindowBytes,
    maxHeaderListBytes: limits.maxHeaderListBytes,
    idleTimeoutMs: limits.idleTimeoutMs,
    limits: {
      pingMinIntervalMs: limits.keepalive.minTimeMs,
      pingsWithoutStreams: limits.keepalive.permitWithoutCalls,
      ...others,
    },
  };
}
