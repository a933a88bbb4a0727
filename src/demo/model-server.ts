/**
 * The demo's model server: a process of its own that serves trained ONNX models over the KServe V2 gRPC protocol.
 *
 *     node src/demo/model-server.ts --listen 127.0.0.1:8001 --models src/demo/models
 *
 * It has no idea of tenants, as real model servers have none: it prints what it was told of each call, one JSON line each.
 * `--listen` takes `host:port` (port 0: a free one) or `unix:/path`; it serves plaintext, so only loopback is accepted.
 */

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { INFERENCE_SERVICE, loadInferenceService } from './inference-protocol.ts';
import { inferenceService } from './server/inference-service.ts';
import { loadModels } from './server/model-repository.ts';

/** Largest message in either direction. grpc-js' default of 4 MiB is less than one batch of images. */
const MAX_MESSAGE_BYTES = 1024 ** 3;

const LOOPBACK = /^(?:127\.0\.0\.1|\[::1\]|localhost):\d{1,5}$|^unix:/;

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:8001' },
    models: { type: 'string', default: fileURLToPath(new URL('models/', import.meta.url)) },
  },
});

if (!LOOPBACK.test(values.listen)) {
  process.stderr.write(`--listen ${values.listen}: only a loopback address or unix:/path\n`);
  process.exit(2);
}

const repository = await loadModels(values.models);
const server = new Server({
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
});
server.addService(
  loadInferenceService(),
  inferenceService(repository, (call) => print({ event: 'call', ...call })),
);
new HealthImplementation({ '': 'SERVING', [INFERENCE_SERVICE]: 'SERVING' }).addToServer(server);

server.bindAsync(values.listen, ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
  print({ event: 'ready', port, pid: process.pid, models: repository.models.map((model) => model.name) });
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => server.tryShutdown(() => process.exit(0)));
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
