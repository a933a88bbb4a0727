/**
 * Model servers that are not Triton, as processes on loopback: TorchServe itself, KServe's own server, and two peers that speak
 * TensorFlow Serving's and vLLM's protocols by their published stubs.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accepts, Child } from './child.ts';
import { freePorts } from './free-port.ts';
import { peerFile, peerSource } from './peer-file.ts';

export interface ModelServer {
  /** Of its inference service. */
  readonly port: number;
  /** Of its management service, where that has one of its own; else the same. */
  readonly managementPort: number;
  /** How often its models, or methods without one, were called by this name. */
  called(name: string): number;
  stop(): Promise<void>;
}

/** A Python peer of `peers/`, which is told its port, and a directory of its own. */
async function startPython(name: string, python: string, env: Readonly<Record<string, string>>): Promise<ModelServer> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error('no ports');
  const directory = mkdtempSync(join(tmpdir(), `bulkhead-${name}-`));
  const args = [peerSource(`${name}.py`), String(port), directory];
  const child = await Child.spawn(name, { command: python, args, env });
  await child.until('ready', () => accepts(port));
  return {
    port,
    managementPort: port,
    called: (what) => count(child.output, what),
    async stop() {
      await child.stop(1_000);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const besideClients = { PYTHONPATH: peerFile('model-servers/site') };

/** Models `fraud` and `secret`, which give a number's square. */
export function startTensorflowServing(): Promise<ModelServer> {
  return startPython('table_server', peerFile('clients/bin/python'), besideClients);
}

/** An engine that says what it is asked backwards. */
export function startVllm(): Promise<ModelServer> {
  return startPython('vllm_engine', peerFile('clients/bin/python'), besideClients);
}

/** Models `echo`, `spare` and `secret`, which answer with what they were sent. */
export function startKserve(): Promise<ModelServer> {
  return startPython('kserve_server', peerFile('kserve/bin/python'), {});
}

/** Models `echo` and `secret`, which answer with what they were sent; with the Open Inference Protocol. */
export async function startTorchserve(): Promise<ModelServer> {
  const ports = await freePorts(5);
  const [port, managementPort, http, httpManagement, httpMetrics] = ports;
  if (port === undefined || managementPort === undefined) throw new Error('no ports');
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-torchserve-'));
  for (const model of ['echo', 'secret']) addModel(directory, model);
  mkdirSync(join(directory, 'tmp'));
  const config = {
    inference_address: `http://127.0.0.1:${http}`,
    management_address: `http://127.0.0.1:${httpManagement}`,
    metrics_address: `http://127.0.0.1:${httpMetrics}`,
    grpc_inference_address: '127.0.0.1',
    grpc_management_address: '127.0.0.1',
    grpc_inference_port: port,
    grpc_management_port: managementPort,
    model_store: join(directory, 'models'),
    load_models: 'echo=echo,secret=secret',
    default_workers_per_model: 1,
    number_of_netty_threads: 2,
    disable_token_authorization: true,
  };
  const lines = Object.entries(config).map(([key, value]) => `${key}=${value}`);
  writeFileSync(join(directory, 'config.properties'), lines.join('\n'));
  const site = peerFile('torchserve/venv/lib/python3.11/site-packages');
  const child = await Child.spawn('TorchServe', {
    command: 'java',
    args: [
      `-Dmodel_server_home=${site}`,
      `-Djava.io.tmpdir=${join(directory, 'tmp')}`,
      ...['-cp', join(site, 'ts/frontend/*'), 'org.pytorch.serve.ModelServer'],
      ...['--python', peerFile('torchserve/venv/bin/python'), '-f', join(directory, 'config.properties')],
    ],
    cwd: directory,
    env: {
      TS_OPEN_INFERENCE_PROTOCOL: 'oip',
      TEMP: join(directory, 'tmp'),
      LOG_LOCATION: join(directory, 'logs'),
      METRICS_LOCATION: join(directory, 'logs'),
      PYTHONPATH: [peerSource('torchserve'), site].join(':'),
      PYTHONDONTWRITEBYTECODE: '1',
    },
  });
  // It says that it is well before it listens to gRPC, and before its models do anything.
  const loaded = (): boolean => child.output.split('-> WORKER_MODEL_LOADED').length > 2;
  const ready = async (): Promise<boolean> => loaded() && (await accepts(port)) && (await accepts(managementPort));
  await child.until('ready', ready, 60_000);
  return {
    port,
    managementPort,
    called: (what) => count(child.output, what),
    async stop() {
      await child.stop(5_000);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A copy of the model that the tests bring, under this name. */
function addModel(directory: string, model: string): void {
  const folder = join(directory, 'models', model);
  cpSync(peerSource('torchserve/echo'), folder, { recursive: true });
  const manifest = join(folder, 'MAR-INF/MANIFEST.json');
  writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('"echo"', `"${model}"`));
}

function count(output: string, name: string): number {
  return output.split('\n').filter((line) => line.endsWith(`called ${name}`)).length;
}
