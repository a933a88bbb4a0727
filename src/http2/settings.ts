/** SETTINGS: parsed and checked as a whole before any of it is applied (RFC 9113 §6.5). */
import { err, ok, type Result } from '../kernel/result.ts';
import { ErrorCode } from './error-code.ts';
import {
  DEFAULT_MAX_FRAME_BYTES,
  FRAME_HEADER_BYTES,
  FrameType,
  LARGEST_MAX_FRAME_BYTES,
  MAX_31_BITS,
  putFrameHeader,
  putUint32,
  uint16,
  uint32,
} from './frame.ts';

/** What one SETTINGS frame says; undefined is not said. */
export interface Settings {
  headerTableBytes?: number;
  enablePush?: boolean;
  maxConcurrentStreams?: number;
  initialWindowBytes?: number;
  maxFrameBytes?: number;
  maxHeaderListBytes?: number;
}

export interface SettingsFault {
  readonly code: ErrorCode;
  readonly why: string;
}

const Identifier = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

/** An identifier and a value (RFC 9113 §6.5.1). */
export const SETTINGS_ENTRY_BYTES = 6;

/** Parses a SETTINGS payload. The last of several values for one setting holds; unknown settings are skipped. */
export function parseSettings(bytes: Uint8Array, start: number, end: number): Result<Settings, SettingsFault> {
  if ((end - start) % SETTINGS_ENTRY_BYTES !== 0) {
    return err({ code: ErrorCode.FRAME_SIZE_ERROR, why: 'SETTINGS whose length is no multiple of six' });
  }
  const settings: Settings = {};
  for (let at = start; at < end; at += SETTINGS_ENTRY_BYTES) {
    const fault = readEntry(settings, uint16(bytes, at), uint32(bytes, at + 2));
    if (fault !== undefined) return err(fault);
  }
  return ok(settings);
}

function readEntry(settings: Settings, identifier: number, value: number): SettingsFault | undefined {
  switch (identifier) {
    case Identifier.HEADER_TABLE_SIZE:
      settings.headerTableBytes = value;
      return undefined;
    case Identifier.ENABLE_PUSH:
      if (value > 1) return { code: ErrorCode.PROTOCOL_ERROR, why: 'ENABLE_PUSH is neither 0 nor 1' };
      settings.enablePush = value === 1;
      return undefined;
    case Identifier.MAX_CONCURRENT_STREAMS:
      settings.maxConcurrentStreams = value;
      return undefined;
    case Identifier.INITIAL_WINDOW_SIZE:
      if (value > MAX_31_BITS) {
        return { code: ErrorCode.FLOW_CONTROL_ERROR, why: 'INITIAL_WINDOW_SIZE above 2^31-1' };
      }
      settings.initialWindowBytes = value;
      return undefined;
    case Identifier.MAX_FRAME_SIZE:
      if (value < DEFAULT_MAX_FRAME_BYTES || value > LARGEST_MAX_FRAME_BYTES) {
        return { code: ErrorCode.PROTOCOL_ERROR, why: 'MAX_FRAME_SIZE out of range' };
      }
      settings.maxFrameBytes = value;
      return undefined;
    case Identifier.MAX_HEADER_LIST_SIZE:
      settings.maxHeaderListBytes = value;
      return undefined;
    default:
      return undefined;
  }
}

/** The most octets that `putSettings` writes. */
export const MAX_SETTINGS_FRAME_BYTES = FRAME_HEADER_BYTES + 6 * SETTINGS_ENTRY_BYTES;

/** Writes a SETTINGS frame with what is defined in `settings`. */
export function putSettings(into: Uint8Array, at: number, settings: Settings): number {
  const entries: [number, number | undefined][] = [
    [Identifier.HEADER_TABLE_SIZE, settings.headerTableBytes],
    [Identifier.ENABLE_PUSH, settings.enablePush === undefined ? undefined : Number(settings.enablePush)],
    [Identifier.MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams],
    [Identifier.INITIAL_WINDOW_SIZE, settings.initialWindowBytes],
    [Identifier.MAX_FRAME_SIZE, settings.maxFrameBytes],
    [Identifier.MAX_HEADER_LIST_SIZE, settings.maxHeaderListBytes],
  ];
  const payload = at + FRAME_HEADER_BYTES;
  let position = payload;
  for (const [identifier, value] of entries) {
    if (value === undefined) continue;
    into[position] = 0;
    into[position + 1] = identifier;
    position = putUint32(into, position + 2, value);
  }
  putFrameHeader(into, at, position - payload, FrameType.SETTINGS, 0, 0);
  return position;
}
