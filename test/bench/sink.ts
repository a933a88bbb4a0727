/**
 * An OTLP/HTTP collector that takes everything and keeps nothing: exporting must cost what it costs, storing is not measured.
 *
 * usage: node test/bench/sink.ts PORT
 */
import { createServer } from 'node:http';

const [port = '4318'] = process.argv.slice(2);

createServer((request, response) => {
  request.resume();
  request.on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
}).listen(Number(port), '127.0.0.1');
