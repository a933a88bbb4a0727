/**
 * Two OTLP collectors, HTTP and gRPC, that take everything and keep nothing: exporting must cost what it costs, storing is not
 * measured. `GET /received` says how many bytes came in on each.
 *
 * usage: node test/bench/sink.ts HTTP_PORT GRPC_PORT
 */
import { createServer } from 'node:http';
import type { Stream } from '../../src/http2/contract.ts';
import { serveHttp2 } from './plain-server.ts';

const [httpPort = '4318', grpcPort = '4317'] = process.argv.slice(2);
const received = { http: 0, grpc: 0 };

createServer((request, response) => {
  if (request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(received));
    return;
  }
  request.on('data', (chunk: Buffer) => (received.http += chunk.length));
  request.on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
}).listen(Number(httpPort), '127.0.0.1');

/** An empty `ExportTraceServiceResponse`, framed. */
const EMPTY = Buffer.alloc(5);

serveHttp2(Number(grpcPort), {
  onData: (chunk) => (received.grpc += chunk.length),
  answer: (stream: Stream) => {
    stream.sendHeaders([':status', '200', 'content-type', 'application/grpc'], false);
    stream.sendData(EMPTY, false);
    stream.sendHeaders(['grpc-status', '0'], true);
  },
});
