/**
 * What the engine makes of a client's bytes when its user does nothing: opens no window, answers nothing. For comparing runs with
 * one another, and the engine with others.
 */
import { duplexPair } from 'node:stream';
import { expect } from 'vitest';
import { Http2Connection } from '../../src/http2/connection.ts';
import { ErrorCode } from '../../src/http2/error-code.ts';
import { FrameType, uint32 } from '../../src/http2/frame.ts';
import { FrameReader } from '../../src/http2/frame-reader.ts';
import { buffers, options, turn } from '../unit/http2/loopback.ts';
import { RecordingConnectionOwner } from '../unit/http2/recording-owner.ts';

export interface Verdict {
  /** `open`, `closed`, or `GOAWAY` with a code. */
  readonly connection: string;
  /** Streams that were reset, with their codes: `1 PROTOCOL_ERROR`. */
  readonly resets: readonly string[];
  /** Ids of the streams that reached the user. */
  readonly opened: readonly number[];
}

/** As one line. */
export function verdictText({ connection, resets, opened }: Verdict): string {
  return [connection, ...resets.map((reset) => `reset ${reset}`), `opened ${opened.join(' ') || 'none'}`].join('; ');
}

/** Judges what a client says, in these pieces. */
export async function engineVerdict(pieces: readonly Uint8Array[]): Promise<Verdict> {
  const [peer, engine] = duplexPair();
  const owner = new RecordingConnectionOwner();
  owner.answer = (_stream, _block, _end, streamOwner) => {
    streamOwner.credits = false;
  };
  let connection = 'open';
  const resets: string[] = [];
  const reader = new FrameReader(
    {
      onFrame: (type, _flags, streamId, bytes, start) => {
        if (type === FrameType.GOAWAY) connection = `GOAWAY ${codeName(uint32(bytes, start + 4))}`;
        if (type === FrameType.RST_STREAM) resets.push(`${streamId} ${codeName(uint32(bytes, start))}`);
      },
      onDataBegin: () => undefined,
      onDataPadding: () => undefined,
      onDataOctets: () => undefined,
      onFrameFault: () => undefined,
    },
    16_384,
    false,
  );
  peer.on('data', (chunk: Buffer) => reader.read(chunk));
  const windows = { connectionWindowBytes: 65_535, streamWindowBytes: 65_535, maxHeaderListBytes: 65_536 };
  new Http2Connection(engine, options('server', { ...windows, limits: { lingerMs: 1 } }), owner, turn, buffers);
  for (const piece of pieces) if (!peer.destroyed) peer.write(piece);
  for (let round = 0; round < 6; round++) await new Promise((resolve) => setImmediate(resolve));
  if (connection === 'open' && owner.ends.length > 0) connection = 'closed';
  peer.destroy();
  engine.destroy();
  await owner.ended;
  expect(owner.ends).toHaveLength(1);
  for (const { owner: stream } of owner.streams) expect(stream.resets.length).toBeLessThanOrEqual(1);
  return { connection, resets, opened: owner.streams.map(({ stream }) => stream.id) };
}

function codeName(code: number): string {
  return Object.entries(ErrorCode).find(([, value]) => value === code)?.[0] ?? String(code);
}
