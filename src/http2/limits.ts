/**
 * Every bound of a connection that the RFC leaves to us: what it counts, its default, and the attack that it stops. Exceeding
 * one ends the connection with GOAWAY(ENHANCE_YOUR_CALM) and `limit` set to its name, unless it says otherwise.
 */

/** How often something may happen: a bucket of `burst` that refills. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
  /** Also refilled by so many for each useful frame: one that opens a stream or carries DATA, in either direction. */
  readonly perUsefulFrame: number;
  /** Also refilled by so many for each stream that came to its regular end. Absent: 0. */
  readonly perFinishedStream?: number;
}

export interface ConnectionLimits {
  /**
   * Fields in one header block. Many tiny fields cost far more than their octets. The stream is reset with
   * ENHANCE_YOUR_CALM, the block is still decoded. Default 128: gRPC clients send about 10, proxies in front add as many.
   */
  readonly maxHeaderFields: number;
  /**
   * Encoded bytes of one header block, gathered over CONTINUATION frames before they are decoded (CVE-2024-27316, the
   * CONTINUATION flood). Default 64 KiB: with Huffman a block is shorter than its list, which has its own limit.
   */
  readonly maxHeaderBlockBytes: number;
  /** CONTINUATION frames in one header block; empty ones cost nothing to send. Default 16, each may hold 16 KiB. */
  readonly maxContinuationFrames: number;
  /**
   * Streams that the peer resets within `youngStreamMs` of opening them (CVE-2023-44487, rapid reset: work is begun and
   * thrown away, and never counts as concurrent). Default 80, 40 per second (whoever is faster than 200 a
   * second has then opened 100 streams at most), and one per stream that ended regularly, for clients that hedge. Late
   * cancellations are not counted: they cost the peer a stream for as long.
   */
  readonly youngResets: Rate;
  /** Until what age of the stream a reset counts as young, in milliseconds. Default 1000. */
  readonly youngStreamMs: number;
  /** Streams that we must reset or refuse because of what the peer sent on them (CVE-2025-8671, MadeYouReset). Default as above. */
  readonly provokedResets: Rate;
  /** PING frames, each of which we answer (CVE-2019-9512). Default 200, 20 per second, and 2 per useful frame: gRPC's BDP probes. */
  readonly pings: Rate;
  /**
   * The least time between two PINGs of a client that we have sent nothing to in between, in milliseconds (gRFC A8). Beyond
   * `maxPingStrikes` that come sooner the connection ends with `too_many_pings`, and gRPC's clients double their interval. 0:
   * not looked at. Default 0; `limits.keepalive.minTime` sets it for clients.
   */
  readonly pingMinIntervalMs: number;
  /** Whether a client may PING that often while it has no streams; if not, two hours must lie between two. Default true. */
  readonly pingsWithoutStreams: boolean;
  /** PINGs that may come too soon, until something is sent again. Default 2, as gRPC has it. */
  readonly maxPingStrikes: number;
  /** SETTINGS frames, each applied to every stream and answered (CVE-2019-9515). Default 50, then 5 per second. */
  readonly settings: Rate;
  /** Entries in one SETTINGS frame, of which 2,730 fit (CVE-2020-11080). Default 32, as nghttp2 has it; there are seven that mean something. */
  readonly maxSettingsEntries: number;
  /** WINDOW_UPDATE frames (one octet at a time). Default 2000, 100 per second, and 4 per useful frame: two per DATA frame is usual. */
  readonly windowUpdates: Rate;
  /** PRIORITY frames, which mean nothing any more (CVE-2019-9513). Default 500, then 20 per second, and 2 per useful frame. */
  readonly priorities: Rate;
  /** DATA frames without payload that do not end their stream (CVE-2019-9518). Default 100, then 20 per second. */
  readonly emptyData: Rate;
  /** GOAWAY frames: a graceful end has two, and a client that says it again and again says nothing. Default 20, then 1 per second. */
  readonly goaways: Rate;
  /** Frames of unknown types, which we must skip. Default 100, then 20 per second. */
  readonly unknownFrames: Rate;
  /**
   * Frames on streams that are gone, DATA only below 1 KiB. They are usual after a reset, until the peer hears of it. Default
   * 2000, 200 per second, and 4 per useful frame: whoever is refused a thousand calls a second is not attacking.
   */
  readonly lateFrames: Rate;
  /**
   * Answers that wait for a peer that does not read: acknowledgements, resets and the like that no flow control holds back
   * (CVE-2019-9517). Default 1000.
   */
  readonly maxQueuedControlFrames: number;
  /** How long the peer may take to acknowledge our SETTINGS, in milliseconds: GOAWAY(SETTINGS_TIMEOUT). Default 10 s. */
  readonly settingsAckTimeoutMs: number;
  /**
   * A server sends a PING when streams are open and nothing was heard for so long, in milliseconds: a peer that is gone, or
   * silent with half a request, would hold its streams for ever. Default 60 s.
   */
  readonly serverKeepaliveMs: number;
  /** The same for a client. Default 330 s: gRPC servers take PINGs at intervals below five minutes for an attack (gRFC A8). */
  readonly clientKeepaliveMs: number;
  /** How long the answer to that PING may take, in milliseconds. Default 20 s, as gRPC has it. */
  readonly keepaliveTimeoutMs: number;
  /** How long the socket may take for one write of ours: a peer that never reads holds our memory. Default 60 s. */
  readonly writeStallTimeoutMs: number;
  /**
   * How long a frame may take to come whole, from its first octet, and a header block with its CONTINUATION frames: a
   * slow header (Slowloris) holds a buffer, and everything behind it. DATA is passed on as it comes and not meant. Default 10 s.
   */
  readonly frameTimeoutMs: number;
  /**
   * A server's streams are looked at this often, and one that stands still from one look to the next is reset with
   * ENHANCE_YOUR_CALM: its reader opens no window for what is queued, or its writer does not go on with a message that it
   * has begun. The reset counts as provoked. Default 5 min: callers that pause for a while are no attack.
   */
  readonly streamStallMs: number;
  /** Fewer bytes than this from one look to the next are standing still: windows and bodies can be dribbled. Default 4 KiB. */
  readonly streamStallBytes: number;
  /** How long a graceful end waits for the round trip that tells which streams were opened before it was heard of. Default 1 s. */
  readonly drainRoundTripMs: number;
  /** How long the socket is kept after GOAWAY, for the peer to read it: a socket that is closed with unread input would destroy it on the way. Default 1 s. */
  readonly lingerMs: number;
  /** What our encoder's dynamic table may hold, whatever the peer allows, in bytes. Default 16 KiB. */
  readonly encoderTableBytes: number;
}

export const defaultLimits: ConnectionLimits = {
  maxHeaderFields: 128,
  maxHeaderBlockBytes: 65_536,
  maxContinuationFrames: 16,
  youngResets: { burst: 80, perSecond: 40, perUsefulFrame: 0, perFinishedStream: 1 },
  youngStreamMs: 1_000,
  provokedResets: { burst: 80, perSecond: 40, perUsefulFrame: 0 },
  pings: { burst: 200, perSecond: 20, perUsefulFrame: 2 },
  pingMinIntervalMs: 0,
  pingsWithoutStreams: true,
  maxPingStrikes: 2,
  settings: { burst: 50, perSecond: 5, perUsefulFrame: 0 },
  maxSettingsEntries: 32,
  windowUpdates: { burst: 2_000, perSecond: 100, perUsefulFrame: 4 },
  priorities: { burst: 500, perSecond: 20, perUsefulFrame: 2 },
  emptyData: { burst: 100, perSecond: 20, perUsefulFrame: 0 },
  goaways: { burst: 20, perSecond: 1, perUsefulFrame: 0 },
  unknownFrames: { burst: 100, perSecond: 20, perUsefulFrame: 0 },
  lateFrames: { burst: 2_000, perSecond: 200, perUsefulFrame: 4 },
  maxQueuedControlFrames: 1_000,
  settingsAckTimeoutMs: 10_000,
  serverKeepaliveMs: 60_000,
  clientKeepaliveMs: 330_000,
  keepaliveTimeoutMs: 20_000,
  writeStallTimeoutMs: 60_000,
  frameTimeoutMs: 10_000,
  streamStallMs: 300_000,
  streamStallBytes: 4_096,
  drainRoundTripMs: 1_000,
  lingerMs: 1_000,
  encoderTableBytes: 16_384,
};

/** The limits that are rates. */
export type RateName =
  | 'youngResets'
  | 'provokedResets'
  | 'pings'
  | 'settings'
  | 'windowUpdates'
  | 'priorities'
  | 'emptyData'
  | 'goaways'
  | 'unknownFrames'
  | 'lateFrames';
