/**
 * The model server of the search for leaks: resets every tenth call, and answers the others as the bench's does.
 *
 * usage: node test/bench/leak-backend.ts PORT
 */
import { ErrorCode } from '../../src/http2/error-code.ts';
import { ANSWER_BYTES } from './message.ts';
import { serveHttp2 } from './plain-server.ts';

const [port = '9001'] = process.argv.slice(2);
const message = Buffer.alloc(5 + ANSWER_BYTES);
message.writeUInt32BE(ANSWER_BYTES, 1);
let calls = 0;

serveHttp2(Number(port), {
  onData: () => undefined,
  answer: (stream) => {
    calls++;
    if (calls % 10 === 0) return stream.reset(ErrorCode.INTERNAL_ERROR);
    stream.sendHeaders([':status', '200', 'content-type', 'application/grpc'], false);
    stream.sendData(message, false);
    stream.sendHeaders(['grpc-status', '0'], true);
  },
});
