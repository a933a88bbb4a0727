/**
 * A model server for tensors of any size, in a process of its own: it counts what it is sent and throws it away, and sends as
 * much as it is asked for. Cleartext HTTP/2 by node:http2; no message is ever held.
 *
 * Request headers: `x-sink-bytes-per-second` reads that slowly; `x-sink-answer-bytes` answers with a tensor of that size.
 * The trailer `x-sink-received` says how many bytes of DATA came. Prints its port when it listens.
 */
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { inferMessageHead } from '../harness/tensor-message.ts';
import { discardTensor, writeTensor } from '../harness/tensor-stream.ts';

const CHUNK_BYTES = 64 * 1024;
const chunk = Buffer.alloc(CHUNK_BYTES, 7);

const server = createServer({ settings: { initialWindowSize: 1024 * 1024 } });
server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  // A reset is what some tests are about.
  stream.on('error', () => undefined);
  const rate = Number(headers['x-sink-bytes-per-second'] ?? Number.POSITIVE_INFINITY);
  const answerBytes = Number(headers['x-sink-answer-bytes'] ?? 0);
  void serve(stream, rate, answerBytes);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.stdout.write(`port ${address.port}\n`);
});

async function serve(stream: ServerHttp2Stream, rate: number, answerBytes: number): Promise<void> {
  const received = await discardTensor(stream, rate);
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-sink-received': `${received}` }));
  // The answer's first field is the model's name as well, and its tensors' field is number 6.
  stream.write(inferMessageHead('sink', answerBytes, 6));
  await writeTensor(stream, answerBytes, chunk);
}
