/**
 * The model server of the bench: answers every call with 100 bytes and `grpc-status: 0`. The same for every subject.
 *
 * usage: node test/bench/backend.ts PORT
 */
import { ANSWER_BYTES } from './message.ts';
import { serveHttp2 } from './plain-server.ts';

const [port = '9001'] = process.argv.slice(2);
const message = Buffer.alloc(5 + ANSWER_BYTES);
message.writeUInt32BE(ANSWER_BYTES, 1);

const HEADERS = [':status', '200', 'content-type', 'application/grpc'];
const TRAILERS = ['grpc-status', '0'];

serveHttp2(Number(port), {
  onData: () => undefined,
  answer: (stream) => {
    stream.sendHeaders(HEADERS, false);
    stream.sendData(message, false);
    stream.sendHeaders(TRAILERS, true);
  },
});
