/**
 * Judge: grpc-go's interop suite, all 18 cases, once with a client that presents a certificate itself and once with grpc-go's
 * own client through the byte tunnel.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BytesTunnel } from './harness/byte-tunnel.ts';
import { run } from './harness/child.ts';
import { ALL_GO_CASES, GO_CASE_TIMEOUT_MS, interopIngress, runGoCase } from './harness/go-interop.ts';
import { type InteropServer, startInteropServer } from './harness/interop-server.ts';
import { peerFile } from './harness/peer-file.ts';
import type { Sidecar } from './harness/sidecar.ts';

let server: InteropServer;
let sidecar: Sidecar;
let tunnel: BytesTunnel;

beforeAll(async () => {
  server = await startInteropServer();
  sidecar = await interopIngress(server);
  tunnel = await sidecar.tunnel('acme');
});

afterAll(async () => {
  await sidecar?.stop();
  await server?.child.stop();
});

describe('grpc-go interop through the sidecar', () => {
  it.each(ALL_GO_CASES)('%s passes over mTLS', async (name) => {
    const { pki, files } = sidecar.tenant('acme');
    const args = ['-addr', `127.0.0.1:${sidecar.port}`, '-servername', pki.serverName, '-ca', files.ca];
    const exit = await run(
      name,
      {
        command: peerFile('bin/interop'),
        args: ['client', ...args, '-cert', files.cert, '-key', files.key, '-case', name],
      },
      GO_CASE_TIMEOUT_MS,
    );
    expect(exit, exit.output).toMatchObject({ code: 0, output: expect.stringContaining(`PASS ${name}`) });
  });

  it.each(ALL_GO_CASES)('%s passes with grpc-go’s own client through the byte tunnel', async (name) => {
    const exit = await runGoCase(name, tunnel.port);
    expect(exit.code, exit.output).toBe(0);
  });
});
