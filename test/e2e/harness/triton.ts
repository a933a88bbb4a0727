/**
 * A real Triton with the models of `peers/triton-models`, started raw out of PyTriton's wheel: gRPC, HTTP and metrics on
 * loopback, models loaded and unloaded by request.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { answers, Child, run } from './child.ts';
import { freePorts } from './free-port.ts';
import { peerFile, peerSource } from './peer-file.ts';

export interface Triton {
  readonly grpcPort: number;
  readonly httpPort: number;
  stop(): Promise<void>;
}

export async function startTriton(): Promise<Triton> {
  const [grpcPort, httpPort, metricsPort] = await freePorts(3);
  if (grpcPort === undefined || httpPort === undefined || metricsPort === undefined) throw new Error('no ports');
  const site = peerFile('triton/venv/lib/python3.11/site-packages');
  const bin = peerFile('triton/venv/bin');
  // Triton's Python backend leaves compiled files beside the models: it gets its own copy.
  const repository = mkdtempSync(join(tmpdir(), 'bulkhead-triton-'));
  cpSync(peerSource('triton-models'), repository, { recursive: true });
  const python = await run(
    'python',
    { command: join(bin, 'python'), args: ['-c', 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))'] },
    10_000,
  );
  const child = await Child.spawn('Triton', {
    command: join(site, 'pytriton/tritonserver/bin/tritonserver'),
    args: [
      `--model-repository=${repository}`,
      `--backend-directory=${peerFile('triton/backends')}`,
      `--cache-directory=${peerFile('triton/caches')}`,
      '--model-control-mode=explicit',
      '--load-model=*',
      '--http-address=127.0.0.1',
      `--http-port=${httpPort}`,
      '--grpc-address=127.0.0.1',
      `--grpc-port=${grpcPort}`,
      '--metrics-address=127.0.0.1',
      `--metrics-port=${metricsPort}`,
    ],
    env: {
      PATH: [bin, process.env['PATH'] ?? ''].join(delimiter),
      PYTHONPATH: site,
      LD_LIBRARY_PATH: [join(site, 'nvidia_pytriton.libs'), python.output.trim()].join(delimiter),
    },
  });
  await child.until('ready', () => answers(`http://127.0.0.1:${httpPort}/v2/health/ready`), 60_000);
  return {
    grpcPort,
    httpPort,
    async stop() {
      // It waits for the models to unload, of which nothing is kept.
      await child.stop(2_000);
      rmSync(repository, { recursive: true, force: true });
    },
  };
}
