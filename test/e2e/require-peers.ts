/**
 * Refuses to start the end-to-end tests without their peers: a judge that is missing is a failure, never a skip.
 */
import { existsSync } from 'node:fs';
import { peerFile } from './harness/peer-file.ts';

const REQUIRED = [
  'bin/interop',
  'bin/interop-client',
  'bin/h2spec',
  'bin/grpcurl',
  'bin/ratelimit',
  'lib/moved-clock.so',
  'bin/buf',
  'bin/otelcol',
  'bin/jaeger',
  'bin/spire-server',
  'bin/spire-agent',
  'bin/promtool',
  'bin/certificate-judge',
  'lib/certificate-judge/Judge.class',
  'triton/backends/python/triton_python_backend_stub',
  'clients/bin/python',
  'torchserve/proto/inference.proto',
  'model-servers/descriptors/tensorflow-serving.binpb',
  'kserve/bin/python',
  'token-issuers/bin/python',
  'oidc/node_modules/oidc-provider/lib/index.js',
];
/** What the Debian packages among them bring. */
const REQUIRED_OF_DEBIAN = ['/usr/bin/redis-server', '/usr/bin/ruby', '/usr/bin/python3'];

/** vitest's global setup of the e2e project. */
export default function requirePeers(): void {
  const missing = [...REQUIRED.map((file) => peerFile(file)), ...REQUIRED_OF_DEBIAN].filter(
    (file) => !existsSync(file),
  );
  if (missing.length > 0) throw new Error(`peers are missing (${missing.join(', ')}): run test/e2e/install`);
}
