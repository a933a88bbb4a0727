/**
 * Everything that the steps play on: two tenants' credentials, a model server, a sidecar and a trace sink, all on loopback.
 */
import { fileURLToPath } from 'node:url';
import { jsonRequest } from './inference-batch.ts';
import { type CallCounter, type ClientTrace, InferenceClient } from './inference-client.ts';
import { type ModelName, SAMPLES, type Sample } from './models/samples.ts';
import { Child, type LogLine } from './setup/children.ts';
import type { QuotaPlan } from './setup/configuration.ts';
import { makeCredentials, type TenantCredentials } from './setup/credentials.ts';
import { makeWorkplace, type Workplace } from './setup/workplace.ts';
import { OtlpForwarder } from './telemetry/otlp-forwarder.ts';
import { OtlpSink } from './telemetry/otlp-sink.ts';

const START_TIMEOUT_MS = 20_000;

/** What a caller of globex may do: little, so that the burst of the demo runs into it. */
export const GLOBEX_QUOTA: QuotaPlan = {
  tenantCalls: '200/s',
  tenantBurst: 200,
  callerCalls: '5/s',
  callerBurst: 10,
  concurrentCalls: 64,
};

const ACME_QUOTA: QuotaPlan = { ...GLOBEX_QUOTA, callerCalls: '100/s', callerBurst: 100 };

export interface Tenant {
  readonly credentials: TenantCredentials;
  /** Its client, with its certificate and its token. */
  readonly withToken: InferenceClient;
  /** Its client, with its certificate and its API key. */
  readonly withApiKey: InferenceClient;
}

export interface Stage {
  readonly workplace: Workplace;
  readonly modelServer: Child;
  readonly sidecar: Child;
  /** `host:port` of the model server. */
  readonly upstream: string;
  /** Where the sidecar listens. */
  readonly port: number;
  readonly adminPort: number;
  readonly sink: OtlpSink;
  readonly forwarder: OtlpForwarder | undefined;
  readonly acme: Tenant;
  readonly globex: Tenant;
  /** Calls that the sidecar must have on record. */
  readonly counter: CallCounter;
  /** What a step leaves for a later one. */
  readonly notes: { tracedCall?: ClientTrace };
  /** Ends everything that was started, in reverse. Returns the sidecar's exit code. */
  close(): Promise<number | null>;
}

/** What has been started so far: to be ended on every way out. */
export interface Started {
  readonly children: Child[];
  readonly closers: (() => void)[];
}

/** Sets the stage; what has been started is noted in `started` at once, so that a failure half-way leaves nothing behind. */
export async function setStage(directory: string, started: Started, env: NodeJS.ProcessEnv): Promise<Stage> {
  const forwarder = OtlpForwarder.fromEnvironment(env);
  const sink = await OtlpSink.listen(forwarder);
  started.closers.push(() => sink.close());
  const nowSeconds = Math.floor(Date.now() / 1000);
  const acme = makeCredentials('acme', 'ada@acme.example', nowSeconds);
  const globex = makeCredentials('globex', 'grace@globex.example', nowSeconds);

  const workplace = makeWorkplace(directory);
  const modelServer = new Child({
    name: 'the model server',
    args: [script('model-server.ts'), '--listen', '127.0.0.1:0'],
    logFile: workplace.path('logs', 'model-server.log'),
  });
  started.children.push(modelServer);
  const ready = await modelServer.waitFor((line) => line['event'] === 'ready', START_TIMEOUT_MS);

  const upstream = `127.0.0.1:${portOf(ready, 'port')}`;
  workplace.write({
    upstream,
    otlpEndpoint: sink.endpoint,
    requests: Object.fromEntries(
      (
        [
          ['digit.json', 'digits'],
          ['wine.json', 'wine-cultivar'],
        ] as const
      ).map(([file, model]) => [file, jsonRequest(model, firstOf(model))]),
    ),
    tenants: [
      { credentials: acme, models: ['digits', 'breast-cancer'], quota: ACME_QUOTA },
      { credentials: globex, models: ['wine-cultivar', 'breast-cancer'], quota: GLOBEX_QUOTA },
    ],
  });

  const sidecar = new Child({
    name: 'the sidecar',
    args: [script('../main.ts'), 'run', '--config', workplace.configFile],
    logFile: workplace.path('logs', 'sidecar.log'),
    env: withoutOtel(env),
  });
  started.children.push(sidecar);
  const serving = await sidecar.waitFor((line) => line['msg'] === 'serving', START_TIMEOUT_MS);
  const port = portOf(serving, 'port');

  const counter: CallCounter = { calls: 0 };
  const asTenant = (credentials: TenantCredentials): Tenant => {
    const tenant = tenantOf(credentials, port, counter);
    started.closers.push(
      () => tenant.withToken.close(),
      () => tenant.withApiKey.close(),
    );
    return tenant;
  };
  return {
    workplace,
    modelServer,
    sidecar,
    upstream,
    port,
    adminPort: portOf(serving, 'adminPort'),
    sink,
    forwarder,
    acme: asTenant(acme),
    globex: asTenant(globex),
    counter,
    notes: {},
    close: () => endAll(started, sidecar),
  };
}

/** Ends what was started, last first. Returns the exit code of `child`. */
export async function endAll(started: Started, child?: Child): Promise<number | null> {
  let code: number | null = null;
  for (const one of started.children.splice(0).reverse()) {
    const ended = await one.stop();
    if (one === child) code = ended;
  }
  for (const close of started.closers.splice(0).reverse()) close();
  return code;
}

/** What a client presents besides its tenant's name. */
export interface Presented {
  /** Undefined: none. */
  readonly certificate: { readonly certPem: string; readonly keyPem: string } | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** Undefined when its calls cannot become calls: there will be no connection. */
  readonly counter: CallCounter | undefined;
}

/** A client that connects to a tenant's name. */
export function clientOf(credentials: TenantCredentials, port: number, presented: Presented): InferenceClient {
  const { certificate, metadata, counter } = presented;
  return new InferenceClient({
    target: `127.0.0.1:${port}`,
    serverName: credentials.serverName,
    caPem: credentials.ca.certPem,
    certificate,
    metadata,
    ...(counter === undefined ? {} : { counter }),
  });
}

function tenantOf(credentials: TenantCredentials, port: number, counter: CallCounter): Tenant {
  const presenting = (metadata: Readonly<Record<string, string>>): InferenceClient =>
    clientOf(credentials, port, { certificate: credentials.client, metadata, counter });
  return {
    credentials,
    withToken: presenting({ authorization: `Bearer ${credentials.token}` }),
    withApiKey: presenting({ 'x-api-key': credentials.apiKey }),
  };
}

function firstOf(model: ModelName): Sample {
  const [sample] = SAMPLES[model];
  if (sample === undefined) throw new Error(`held-out.json has no sample for ${model}`);
  return sample;
}

function script(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}

/** The sidecar exports to the demo's sink only, which passes on: nothing in the environment may point it elsewhere. */
function withoutOtel(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('OTEL_')));
}

function portOf(line: LogLine, name: string): number {
  const port = line[name];
  if (typeof port !== 'number') throw new Error(`a child that is ready did not say its ${name}`);
  return port;
}
