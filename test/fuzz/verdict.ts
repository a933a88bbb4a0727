/**
 * What the engine makes of a peer's bytes when its user does nothing: opens no window, answers nothing. For comparing runs with
 * one another, and the engine with others.
 */
import { duplexPair } from 'node:stream';
import { expect } from 'vitest';
import { Http2Connection } from '../../src/http2/connection.ts';
import { ErrorCode } from '../../src/http2/error-code.ts';
import { FrameType, uint32 } from '../../src/http2/frame.ts';
import { FrameReader } from '../../src/http2/frame-reader.ts';
import { buffers, options, REQUEST, turn } from '../unit/http2/loopback.ts';
import { RecordingConnectionOwner, RecordingStreamOwner } from '../unit/http2/recording-owner.ts';

export interface Verdict {
  /** `open`, `closed`, or `GOAWAY` with a code. */
  readonly connection: string;
  /** Streams that were reset, with their codes: `1 PROTOCOL_ERROR`. */
  readonly resets: readonly string[];
  /** Of a server: ids of the streams that reached the user. */
  readonly opened: readonly number[];
}

/** What a client makes of it that has asked on stream 1, and asks on 3 and 5 without having ended its request. */
export interface ClientVerdict extends Omit<Verdict, 'opened'> {
  /** Ids of the streams whose user got a response that is not informational. */
  readonly answered: readonly number[];
  /** Ids of the streams whose user got the end. */
  readonly ended: readonly number[];
}

/** As one line. */
export function verdictText({ opened, ...rest }: Verdict): string {
  return [...howItWent(rest), `opened ${list(opened)}`].join('; ');
}

/** As one line. */
export function clientVerdictText({ answered, ended, ...rest }: ClientVerdict): string {
  return [...howItWent(rest), `answered ${list(answered)}`, `ended ${list(ended)}`].join('; ');
}

function howItWent({ connection, resets }: Omit<Verdict, 'opened'>): readonly string[] {
  return [connection, ...resets.map((reset) => `reset ${reset}`)];
}

function list(ids: readonly number[]): string {
  return ids.join(' ') || 'none';
}

/** Judges what a client says, in these pieces. */
export async function engineVerdict(pieces: readonly Uint8Array[]): Promise<Verdict> {
  const { owner, ...rest } = await hear('server', pieces, () => undefined);
  for (const { owner: stream } of owner.streams) expect(stream.resets.length).toBeLessThanOrEqual(1);
  return { ...rest, opened: owner.streams.map(({ stream }) => stream.id) };
}

/** Judges what a server says, in these pieces. */
export async function clientVerdict(pieces: readonly Uint8Array[]): Promise<ClientVerdict> {
  const asked: { readonly id: number; readonly owner: RecordingStreamOwner }[] = [];
  const { owner: _, ...rest } = await hear('client', pieces, (connection) => {
    for (const end of [true, false, false]) {
      const owner = new RecordingStreamOwner();
      owner.credits = false;
      asked.push({ id: connection.open(REQUEST, end, owner).id, owner });
    }
  });
  for (const { owner } of asked) expect(owner.resets.length).toBeLessThanOrEqual(1);
  const isFinal = ({ block }: RecordingStreamOwner['headers'][number]): boolean =>
    block[0] === ':status' && block[1]?.startsWith('1') === false;
  return {
    ...rest,
    answered: asked.filter(({ owner }) => owner.headers.some(isFinal)).map(({ id }) => id),
    ended: asked.filter(({ owner }) => owner.ended).map(({ id }) => id),
  };
}

async function hear(
  role: 'client' | 'server',
  pieces: readonly Uint8Array[],
  begin: (connection: Http2Connection) => void,
) {
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
    role === 'client',
  );
  peer.on('data', (chunk: Buffer) => reader.read(chunk));
  const windows = { connectionWindowBytes: 65_535, streamWindowBytes: 65_535, maxHeaderListBytes: 65_536 };
  const judged = options(role, { ...windows, limits: { lingerMs: 1 } });
  begin(new Http2Connection(engine, judged, owner, turn, buffers));
  for (const piece of pieces) if (!peer.destroyed) peer.write(piece);
  for (let round = 0; round < 6; round++) await new Promise((resolve) => setImmediate(resolve));
  if (connection === 'open' && owner.ends.length > 0) connection = 'closed';
  peer.destroy();
  engine.destroy();
  await owner.ended;
  expect(owner.ends).toHaveLength(1);
  return { owner, connection, resets };
}

function codeName(code: number): string {
  return Object.entries(ErrorCode).find(([, value]) => value === code)?.[0] ?? String(code);
}
