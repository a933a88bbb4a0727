/**
 * The soak's model server, a process of its own: `node model-server.ts <port> <seed>`. It does what each letter says, and holds what
 * it gets against what that letter's sender must have sent: octet for octet, under the tenant that the sidecar vouches for, on a
 * connection that no other tenant uses.
 */
import { createServer, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { frame } from '../fakes/raw-grpc-client.ts';
import { decodeRequest, encodeAnswer, type Letter, Noise, parseLetter } from './letter.ts';
import { MessageSplitter } from './message-splitter.ts';
import { endWithParent } from './orphan.ts';

/** No part of the sidecar makes this status (DATA_LOSS): whoever gets it knows that the bytes were wrong here. */
const WRONG_BYTES = 15;

/** A connection is asked to end at this age. */
const SESSION_MS = 7_000;
const ROUND_TRIP_MS = 500;
const LARGEST_STREAM = 2 ** 31 - 1;

const [port, seed] = process.argv.slice(2).map(Number);
const noise = new Noise(seed ?? 0);
const tenants = new WeakMap<Http2Session, string>();
endWithParent();

// node:http2 counts streams until their objects are gone, and refuses with ENHANCE_YOUR_CALM: room for those, too.
const server = createServer({
  settings: { initialWindowSize: 256 * 1024, maxConcurrentStreams: 64 },
  maxSessionMemory: 1_000,
});
server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  stream.on('error', () => undefined);
  serve(stream, headers).catch((cause: unknown) => {
    if (!stream.destroyed) wrong(stream, `${cause instanceof Error ? cause.stack : String(cause)}`);
  });
});
server.on('session', (session) => {
  session.on('error', () => undefined);
  // Servers that are scaled or renewed say GOAWAY, twice, so that no stream is lost between. No call may feel it.
  let goaway = setTimeout(() => {
    session.goaway(0, LARGEST_STREAM);
    goaway = setTimeout(() => session.close(), ROUND_TRIP_MS);
  }, SESSION_MS);
  session.once('close', () => clearTimeout(goaway));
});
server.listen(port, '127.0.0.1', () => process.stdout.write('listening\n'));

async function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
  const tenant = String(headers['x-bulkhead-tenant-id']);
  const { session } = stream;
  if (session !== undefined) {
    const before = tenants.get(session) ?? tenant;
    if (before !== tenant) return wrong(stream, `a connection of ${before} carries a call of ${tenant}`);
    tenants.set(session, tenant);
  }
  const streaming = headers[':path'] === '/inference.GRPCInferenceService/ModelStreamInfer';
  const splitter = new MessageSplitter();
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    for (const message of splitter.push(chunk)) {
      const { id, tensor } = decodeRequest(message);
      // Its tenant's namespace, which nobody else's names are in.
      if (!id.startsWith(`${tenant}:`))
        return wrong(stream, `${id.slice(0, 200)} is not in the namespace of ${tenant}`);
      const letter = parseLetter(id.slice(tenant.length + 1));
      if (letter === undefined) return wrong(stream, `nobody wrote ${id.slice(0, 200)}`);
      if (letter.tenant !== tenant) return wrong(stream, `${tenant} brought a letter of ${letter.tenant}`);
      if (!tensor.equals(noise.request(letter))) return wrong(stream, `${id} came with other octets`);
      if (letter.delayMs > 0) await sleep(letter.delayMs);
      if (stream.destroyed) return;
      if (letter.fail !== 0) return end(stream, letter.fail);
      await answer(stream, letter, streaming);
    }
  }
  if (stream.destroyed || stream.aborted) return;
  if (splitter.unfinished > 0) return wrong(stream, `a request ended in the middle of a message`);
  end(stream, 0);
}

async function answer(stream: ServerHttp2Stream, letter: Letter, streaming: boolean): Promise<void> {
  if (!stream.headersSent) {
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        ...(letter.gzipAnswer ? { 'grpc-encoding': 'gzip' } : {}),
      },
      { waitForTrailers: true },
    );
  }
  for (let part = 0; part < letter.answers; part++) {
    if (stream.destroyed) return;
    const message = encodeAnswer(letter, part, streaming, noise);
    const more = stream.write(letter.gzipAnswer ? frame(gzipSync(message, { level: 1 }), true) : frame(message));
    if (!more) await room(stream);
  }
}

function room(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}

function end(stream: ServerHttp2Stream, status: number): void {
  if (stream.destroyed || stream.writableEnded) return;
  if (!stream.headersSent) {
    const headers = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(status) };
    stream.respond(headers, { endStream: true });
    refuseRest(stream);
    return;
  }
  stream.once('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': String(status) });
    refuseRest(stream);
  });
  stream.end();
}

/** As gRPC servers do: what the client still has to say is not wanted. */
function refuseRest(stream: ServerHttp2Stream): void {
  if (!stream.readableEnded) setImmediate(() => stream.close(0));
}

function wrong(stream: ServerHttp2Stream, why: string): void {
  process.stdout.write(`MISMATCH ${why}\n`);
  end(stream, WRONG_BYTES);
}
