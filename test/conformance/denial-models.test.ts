/**
 * The denial matrix of authorization by model server: every method of every protocol × {not in the role, not named although
 * sensitive, another model, another version}, each with its counter-proof: the same call against a configuration that allows it
 * gets through.
 *
 * The methods come from the protos, and so do the requests: a descriptor writes them, not our shapes.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type DescMethod, fromJson, type JsonObject, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RoleConfig, TenantConfig } from '../../src/config/generation.ts';
import { FakeUpstream } from '../fakes/fake-upstream.ts';
import { generationOf, InProcessSidecar } from '../fakes/in-process-sidecar.ts';
import { type DescribedService, SERVICES } from '../fakes/protocol-protos.ts';
import { frame, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { type FakeTenant, fakeTenant } from '../fakes/trust.ts';

const SERVED_MODEL = 'served';

let upstream: FakeUpstream;
let acme: FakeTenant;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  acme = fakeTenant('acme');
});
afterAll(() => upstream.stop());

/** What a request of the method says of the model, by the names of its descriptor. */
function requestJson(method: DescMethod, model: string, version: string): JsonObject {
  const names = new Set(method.input.fields.map(({ name }) => name));
  const spec = { name: model, ...(version === '' ? {} : { version }) };
  if (names.has('model_spec')) return { model_spec: spec };
  if (names.has('tasks')) return { tasks: [{ model_spec: { name: 'allowed', version: '1' } }, { model_spec: spec }] };
  const json: Record<string, string> = {};
  const isOfModel = /^Model|^RepositoryModel/.test(method.name);
  if (names.has('model_name')) json['model_name'] = model;
  else if (isOfModel && names.has('name')) json['name'] = model;
  if (names.has('model_version')) json['model_version'] = version;
  else if (isOfModel && names.has('version')) json['version'] = version;
  return json;
}

function requestOf(method: DescMethod, model: string, version: string): Buffer {
  const message = fromJson(method.input, requestJson(method, model, version));
  return frame(Buffer.from(toBinary(method.input, message)));
}

interface Row {
  readonly name: string;
  /** Default: it is a gap where it does not apply. */
  readonly byDefinition?: true;
  readonly applies: (service: DescribedService, method: string) => boolean;
  readonly strict: (full: string, service: DescribedService) => Partial<RoleConfig>;
  readonly lax: (full: string, service: DescribedService) => Partial<RoleConfig>;
  readonly model?: string;
  readonly version?: string;
}

const reads = ({ rows }: DescribedService, method: string): boolean => rows.get(method)?.plan !== undefined;
const isServed = ({ rows }: DescribedService, method: string): boolean => rows.get(method)?.servedModel === true;
const readsVersion = (service: DescribedService, method: string): boolean =>
  isServed(service, method) || rowSlots(service, method) === 2;

function rowSlots({ rows }: DescribedService, method: string): number {
  return rows.get(method)?.plan?.slots ?? 0;
}

const ROWS: readonly Row[] = [
  {
    name: 'a role without the method',
    applies: () => true,
    strict: (full, { rows, service }) => ({
      methods: [...rows.keys()].map((method) => `${service}/${method}`).filter((other) => other !== full),
    }),
    lax: (full) => ({ methods: [full] }),
  },
  {
    name: 'a sensitive method that is only in the whole of its service',
    byDefinition: true,
    applies: ({ rows }, method) => rows.get(method)?.sensitive === true,
    strict: (_, { service }) => ({ methods: [`${service}/*`] }),
    lax: (full) => ({ methods: [full] }),
  },
  {
    name: 'a model that is not allowed',
    applies: (service, method) => reads(service, method) || isServed(service, method),
    model: 'other',
    strict: (full) => ({ methods: [full], models: ['allowed'] }),
    lax: (full) => ({ methods: [full], models: ['allowed', 'other', SERVED_MODEL] }),
  },
  {
    name: 'a version that is not allowed',
    applies: readsVersion,
    version: '2',
    strict: (full) => ({ methods: [full], versions: ['1'] }),
    lax: (full) => ({ methods: [full], versions: ['1', '2', 'latest'] }),
  },
];

function config(service: DescribedService, role: Partial<RoleConfig>): TenantConfig {
  const whole = { name: 'some', methods: [], models: ['*'], versions: ['*'], source: 'acme.yaml:1', ...role };
  return {
    ...acme.config,
    upstream: upstream.config,
    accept: ['certificate'],
    protocols: [service.protocol],
    servedModel: SERVED_MODEL,
    roles: [whole],
    bindings: [{ role: 'some', subjects: [], keys: [], certificates: ['*'], source: 'acme.yaml:2' }],
    digest: `${acme.config.digest}-${JSON.stringify([service.service, role])}`,
  };
}

async function call(service: DescribedService, method: DescMethod, row: Row, role: Partial<RoleConfig>) {
  const sidecar = await InProcessSidecar.start(generationOf([config(service, role)]));
  const client = await RawGrpcClient.connect({
    port: sidecar.port,
    serverName: acme.pki.serverName,
    caPem: acme.pki.ca.certPem,
    certPem: acme.pki.client.certPem,
    keyPem: acme.pki.client.keyPem,
  });
  const before = upstream.calls.length;
  try {
    const request = requestOf(method, row.model ?? 'allowed', row.version ?? '');
    const answer = await client.call(`/${service.service}/${method.name}`, { chunks: [request] });
    return { status: answer.status, reason: answer.reason, reached: upstream.calls.length - before };
  } finally {
    client.close();
    await sidecar.stop();
  }
}

describe.each(ROWS)('$name', (row) => {
  const applying = SERVICES.flatMap((service) =>
    [...service.methods.values()]
      .filter((method) => row.applies(service, method.name))
      .map((method) => ({ full: `${service.service}/${method.name}`, service, method })),
  );

  it.each(applying)('is refused to $full, and gets through where it is allowed', async ({ full, service, method }) => {
    const refused = await call(service, method, row, row.strict(full, service));
    expect(refused).toMatchObject({ status: 7, reason: 'MODEL_ACCESS_DENIED' });
    const allowed = await call(service, method, row, row.lax(full, service));
    expect(allowed).toEqual({ status: 0, reason: allowed.reason, reached: 1 });
  });
});

describe('a version label of TensorFlow Serving', () => {
  it('is not the version that it looks like', async () => {
    const service = SERVICES.find((each) => each.service === 'tensorflow.serving.PredictionService');
    const predict = service?.methods.get('Predict');
    if (service === undefined || predict === undefined) throw new Error('no such method');
    const sidecar = await InProcessSidecar.start(
      generationOf([config(service, { methods: [`${service.service}/Predict`], versions: ['1', 'label:prod'] })]),
    );
    const client = await RawGrpcClient.connect({
      port: sidecar.port,
      serverName: acme.pki.serverName,
      caPem: acme.pki.ca.certPem,
      certPem: acme.pki.client.certPem,
      keyPem: acme.pki.client.keyPem,
    });
    const ask = async (spec: JsonObject): Promise<number> => {
      const message = fromJson(predict.input, { model_spec: { name: 'm', ...spec } });
      const chunks = [frame(Buffer.from(toBinary(predict.input, message)))];
      return (await client.call(`/${service.service}/Predict`, { chunks })).status;
    };
    try {
      expect(await ask({ version: '1' })).toBe(0);
      expect(await ask({ version_label: '1' })).toBe(7);
      expect(await ask({ version_label: 'prod' })).toBe(0);
      expect(await ask({ version: '0' })).toBe(7);
      expect(await ask({})).toBe(7);
    } finally {
      client.close();
      await sidecar.stop();
    }
  });
});

describe('the matrix', () => {
  it('covers every method in every row, or says why not', () => {
    const uncovered = ROWS.filter(({ byDefinition }) => byDefinition === undefined).flatMap((row) =>
      SERVICES.flatMap((service) =>
        [...service.methods.keys()]
          .filter((method) => !row.applies(service, method))
          .map((method) => `${service.service}/${method}: ${row.name}`),
      ),
    );
    const listed = readFileSync(fileURLToPath(new URL('uncovered.txt', import.meta.url)), 'utf8')
      .split('\n')
      .filter((line) => !line.startsWith('#') && line.includes('/'));
    expect(uncovered.toSorted()).toEqual(listed.toSorted());
  });
});
