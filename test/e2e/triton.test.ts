/**
 * Judge: a real Triton behind the sidecar and its own, unmodified Python client before it.
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from './harness/child.ts';
import { peerFile, peerSource } from './harness/peer-file.ts';
import { Sidecar, type TenantAccess } from './harness/sidecar.ts';
import { startTriton, type Triton } from './harness/triton.ts';
import { until } from './harness/until.ts';

type Step = readonly [string, ...(string | number | readonly number[])[]];

type Answer =
  | { readonly step: string; readonly ok: true; readonly value: unknown }
  | { readonly step: string; readonly ok: false; readonly status: string; readonly message: string };

const INFERENCE = [
  'ServerLive',
  'ServerMetadata',
  'ModelReady',
  'ModelMetadata',
  'ModelConfig',
  'ModelInfer',
  'ModelStreamInfer',
  'ModelStatistics',
];

let triton: Triton;
let sidecar: Sidecar;
let operator: TenantAccess['files'];

/** Two tenants with state of their own on the model server, and two for which it is as if there were no sidecar. */
const NEIGHBOURS = ['initech', 'hooli', 'bare', 'raw'];
const WITH_STATE = [
  ...['ModelInfer', 'ModelStreamInfer'],
  ...['SystemSharedMemoryRegister', 'SystemSharedMemoryUnregister', 'SystemSharedMemoryStatus'],
];

beforeAll(async () => {
  triton = await startTriton();
  const upstream = `http://127.0.0.1:${triton.grpcPort}`;
  sidecar = await Sidecar.start({
    tenants: [
      {
        id: 'acme',
        upstream,
        extra: {
          roles: [
            { name: 'inference', methods: INFERENCE, models: ['add_sub', 'countdown', 'spare'] },
            {
              name: 'operator',
              methods: ['RepositoryModelLoad', 'RepositoryModelUnload', 'ModelReady'],
              models: ['spare'],
            },
          ],
          bindings: [
            { role: 'inference', certificates: ['spiffe://acme.example/client'] },
            { role: 'operator', certificates: ['spiffe://acme.example/operator'] },
          ],
        },
      },
      {
        id: 'umbrella',
        upstream,
        extra: { roles: [{ name: 'all', methods: INFERENCE, models: ['countdown'] }] },
      },
      ...NEIGHBOURS.map((id) => ({
        id,
        upstream,
        extra: {
          roles: [{ name: 'all', methods: WITH_STATE, models: ['add_sub', 'running_sum', 'running_sum_text'] }],
          ...(id === 'bare' || id === 'raw' ? { namespaces: 'off' } : {}),
        },
      })),
      {
        id: 'wayne',
        upstream,
        extra: {
          upstream: { address: upstream, healthCheck: { interval: '1s' } },
          roles: [{ name: 'all', methods: INFERENCE, models: ['add_sub'] }],
        },
      },
    ],
  });
  operator = sidecar.issueClient('acme', 'operator');
});

afterAll(async () => {
  await sidecar?.stop();
  await triton?.stop();
  for (const id of NEIGHBOURS) rmSync(`/dev/shm/${id}.input`, { force: true });
});

async function drive(
  tenant: string,
  steps: readonly Step[],
  files?: TenantAccess['files'],
): Promise<readonly Answer[]> {
  const access = sidecar.tenant(tenant);
  const settings = {
    url: `127.0.0.1:${sidecar.port}`,
    serverName: access.pki.serverName,
    ...(files ?? access.files),
    steps,
  };
  const exit = await run(
    'tritonclient',
    { command: peerFile('clients/bin/python'), args: [peerSource('triton_client.py'), JSON.stringify(settings)] },
    60_000,
  );
  if (exit.code !== 0)
    throw new Error(`tritonclient ended with ${exit.code}:\n${exit.output}\n${sidecar.child.output}`);
  const lines = exit.output.split('\n').filter((line) => line.startsWith('{'));
  // Boundary: the script's own lines.
  return lines.map((line) => JSON.parse(line) as Answer);
}

describe('an unmodified tritonclient, through the sidecar to a real Triton', () => {
  it('gets its predictions, plain and compressed, small and large', async () => {
    const answers = await drive('acme', [
      ['infer', 'add_sub', [1, 2, 3], [10, 20, 30]],
      ['infer', 'add_sub', [5], [4], 'gzip'],
      ['infer_large', 'add_sub', 1_000_000],
    ]);
    expect(answers).toEqual([
      { step: 'infer', ok: true, value: { sum: [11, 22, 33], difference: [-9, -18, -27] } },
      { step: 'infer', ok: true, value: { sum: [9], difference: [1] } },
      { step: 'infer_large', ok: true, value: true },
    ]);
  });

  it('gets every response of a decoupled stream', async () => {
    expect(await drive('acme', [['stream', 'countdown', 5]])).toEqual([
      { step: 'stream', ok: true, value: [4, 3, 2, 1, 0] },
    ]);
  });

  it('gets metadata, configuration and statistics of the models it may use', async () => {
    const [live, server, ready, model, config, statistics] = await drive('acme', [
      ['live'],
      ['metadata'],
      ['model_ready', 'add_sub'],
      ['model_metadata', 'add_sub'],
      ['model_config', 'add_sub'],
      ['statistics', 'add_sub'],
    ]);
    expect(live).toMatchObject({ ok: true, value: true });
    expect(server).toMatchObject({ ok: true, value: { name: 'triton', version: '2.51.0' } });
    expect(ready).toMatchObject({ ok: true, value: true });
    expect(model).toMatchObject({ ok: true, value: { name: 'add_sub', platform: 'python' } });
    expect(config).toMatchObject({ ok: true, value: { config: { name: 'add_sub', backend: 'python' } } });
    expect(statistics).toMatchObject({ ok: true, value: { model_stats: [{ name: 'add_sub' }] } });
  });

  it('loads and unloads a model only with the role for it', async () => {
    const refused = { ok: false, status: 'StatusCode.PERMISSION_DENIED' };
    const [load, unload] = await drive('acme', [
      ['load', 'spare'],
      ['unload', 'spare'],
    ]);
    expect(load).toMatchObject(refused);
    expect(unload).toMatchObject(refused);

    const answers = await drive(
      'acme',
      [
        ['unload', 'spare'],
        ['model_ready', 'spare'],
        ['load', 'spare'],
        ['model_ready', 'spare'],
      ],
      operator,
    );
    expect(answers.map((answer) => answer.ok && answer.value)).toEqual([null, false, null, true]);

    const [other, infer] = await drive(
      'acme',
      [
        ['unload', 'add_sub'],
        ['infer', 'add_sub', [1], [1]],
      ],
      operator,
    );
    expect(other).toMatchObject(refused);
    expect(infer).toMatchObject(refused);
  });

  it('is shown a denial as its own exception, with the status and no internal reason', async () => {
    const answers = await drive('umbrella', [
      ['infer', 'add_sub', [1], [1]],
      ['model_metadata', 'add_sub'],
      ['index'],
      ['shared_memory'],
      ['stream', 'countdown', 2],
    ]);
    expect(answers.map((answer) => (answer.ok ? 'ok' : answer.status))).toEqual([
      'StatusCode.PERMISSION_DENIED',
      'StatusCode.PERMISSION_DENIED',
      'StatusCode.PERMISSION_DENIED',
      'StatusCode.PERMISSION_DENIED',
      'ok',
    ]);
    for (const answer of answers) {
      if (!answer.ok) expect(answer.message).not.toMatch(/acme|role|binding|umbrella\.yaml/);
    }
  });

  it('serves a tenant that asks how it is: by Check, since it has no Watch', async () => {
    const health = async (): Promise<string> => {
      const { tenants } = JSON.parse((await sidecar.admin('/tenants')).text);
      return JSON.stringify(tenants.find(({ id }: { id: string }) => id === 'wayne').upstreamHealth);
    };
    expect(await drive('wayne', [['live']])).toMatchObject([{ ok: true, value: true }]);
    // It would be `no_service` if neither Watch nor Check had been answered.
    await until('its health', async () => ((await health()) === '{"at":"healthy"}' ? true : undefined), 10_000);
    expect(await drive('wayne', [['infer', 'add_sub', [5], [4]]])).toMatchObject([{ ok: true }]);
  });

  it('is refused a model in a stream that it may otherwise use', async () => {
    const [answer] = await drive('umbrella', [['stream', 'add_sub', 1]]);
    expect(answer).toMatchObject({ ok: false, status: 'StatusCode.PERMISSION_DENIED' });
  });
});

describe('tenants that name what others name', () => {
  const values = (answers: readonly Answer[]): readonly unknown[] =>
    answers.map((answer) => (answer.ok ? answer.value : answer.message));

  it.each([
    ['running_sum', 4_711],
    ['running_sum', Number.MAX_SAFE_INTEGER],
    ['running_sum_text', 'session'],
  ])('have sequences of their own: %s, %s', async (model, sequence) => {
    expect(values(await drive('initech', [['sequence', model, sequence, 10, 1, 0, 'job']]))).toEqual([[10, 'job']]);
    // It begins its own, and the first goes on; also compressed, and in a stream.
    expect(values(await drive('hooli', [['sequence', model, sequence, 1, 1, 0, 'job']]))).toEqual([[1, 'job']]);
    const more = await drive('initech', [
      ['sequence', model, sequence, 20, 0, 0, ''],
      ['sequence', model, sequence, 30, 0, 0, 'zipped', 'gzip'],
    ]);
    expect(values(more)).toEqual([
      [30, ''],
      [60, 'zipped'],
    ]);
    expect(values(await drive('hooli', [['sequence', model, sequence, 2, 0, 1, 'job']]))).toEqual([[3, 'job']]);
    const streamed = await drive('hooli', [['sequence_stream', model, sequence, [5, 6, 7], 'streamed']]);
    expect(values(streamed)).toEqual([
      [
        [5, 'streamed'],
        [11, 'streamed'],
        [18, 'streamed'],
      ],
    ]);
  });

  it('would share one without namespaces', async () => {
    await drive('bare', [['sequence', 'running_sum', 77, 10, 1, 0, 'job']]);
    expect(values(await drive('raw', [['sequence', 'running_sum', 77, 5, 0, 0, 'job']]))).toEqual([[15, 'job']]);
    const [other] = await drive('initech', [['sequence', 'running_sum', 77, 5, 0, 0, 'job']]);
    expect(other).toMatchObject({ ok: false });
  });

  it('have regions of shared memory of their own', async () => {
    const of = (id: string, first: number): Step => ['region_register', 'input', `/${id}.input`, [first, first + 1]];
    expect(values(await drive('initech', [of('initech', 10)]))).toEqual([null]);
    expect(values(await drive('hooli', [of('hooli', 20)]))).toEqual([null]);
    const infer: Step = ['region_infer', 'add_sub', 'input', 2];
    expect(values(await drive('initech', [infer]))).toEqual([[11, 12]]);
    const [sum, seen, all, gone, after] = await drive('hooli', [
      infer,
      ['shared_memory'],
      ['region_unregister'],
      ['region_unregister', 'input'],
      infer,
    ]);
    expect(values([sum, seen].filter((answer) => answer !== undefined))).toEqual([
      [21, 22],
      { regions: { input: expect.objectContaining({ name: 'input', key: '/hooli.input' }) } },
    ]);
    expect(all).toMatchObject({ ok: false, status: 'StatusCode.INVALID_ARGUMENT' });
    expect([gone?.ok, after?.ok]).toEqual([true, false]);
    // The other one's is still there.
    expect(values(await drive('initech', [infer]))).toEqual([[11, 12]]);
  });

  it('may not register an object of another tenant’s', async () => {
    const [foreign] = await drive('hooli', [['region_register', 'mine', '/initech.input', [1, 2]]]);
    expect(foreign).toMatchObject({ ok: false, status: 'StatusCode.INVALID_ARGUMENT' });
  });
});
