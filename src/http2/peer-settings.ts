/** Applies the peer's SETTINGS to everything that they concern (RFC 9113 §6.5.2). */
import type { ConnectionCore } from './connection-core.ts';
import { ErrorCode } from './error-code.ts';
import type { Settings, SettingsFault } from './settings.ts';

/** Returns why they cannot be applied; the connection is then lost. */
export function applyPeerSettings(core: ConnectionCore, settings: Settings): SettingsFault | undefined {
  if (settings.enablePush === true && !core.isServer) {
    return { code: ErrorCode.PROTOCOL_ERROR, why: 'a server enables push' };
  }
  if (settings.headerTableBytes !== undefined) core.sender.setPeerMaxTableBytes(settings.headerTableBytes);
  if (settings.maxFrameBytes !== undefined) core.sender.setMaxFrameBytes(settings.maxFrameBytes);
  if (settings.maxHeaderListBytes !== undefined) core.sender.setMaxHeaderListBytes(settings.maxHeaderListBytes);
  if (settings.maxConcurrentStreams !== undefined) core.peerMaxConcurrentStreams = settings.maxConcurrentStreams;
  else if (!core.peerSettingsSeen) core.peerMaxConcurrentStreams = Number.POSITIVE_INFINITY;
  core.peerSettingsSeen = true;
  return settings.initialWindowBytes === undefined ? undefined : resizeWindows(core, settings.initialWindowBytes);
}

/**
 * Every open stream's window changes by the difference, even below zero (RFC 9113 §6.9.2). What then may leave, leaves behind the
 * acknowledgement: until it has that, the peer counts by its old windows.
 */
function resizeWindows(core: ConnectionCore, bytes: number): SettingsFault | undefined {
  const difference = bytes - core.sendWindowBytes;
  core.sendWindowBytes = bytes;
  if (difference === 0) return undefined;
  for (const stream of core.streams.all()) {
    if (!core.sender.shiftWindow(stream, difference)) {
      return { code: ErrorCode.FLOW_CONTROL_ERROR, why: 'INITIAL_WINDOW_SIZE makes a window too wide' };
    }
  }
  return undefined;
}
