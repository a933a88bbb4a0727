/**
 * A service that is read by its descriptors: each of its refusals, and that the same call gets through where it is allowed.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RoleConfig } from '../../src/config/policy-config.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { FakeUpstream } from '../fakes/fake-upstream.ts';
import { generationOf, InProcessSidecar } from '../fakes/in-process-sidecar.ts';
import { frame, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { scoringProtoset } from '../fakes/scoring-protoset.ts';
import { type FakeTenant, fakeTenant } from '../fakes/trust.ts';

const SERVICE = 'acme.v1.Scoring';
let upstream: FakeUpstream;
let acme: FakeTenant;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  acme = fakeTenant('acme');
});
afterAll(() => upstream.stop());

function config(role: Partial<RoleConfig>): TenantConfig {
  const listed = { version: undefined, sensitive: false };
  return {
    ...acme.config,
    upstream: upstream.config,
    accept: ['certificate'],
    protoset: {
      descriptors: Buffer.from(scoringProtoset()).toString('base64'),
      methods: [
        { ...listed, method: `${SERVICE}/Score`, model: 'spec.dataset', version: 'spec.revision' },
        { ...listed, method: `${SERVICE}/ScoreMany`, model: 'items.spec.dataset' },
        { ...listed, method: `${SERVICE}/Train`, model: 'spec.dataset', sensitive: true },
        { ...listed, method: `${SERVICE}/Ping`, model: undefined },
      ],
    },
    roles: [
      { name: 'some', methods: [`${SERVICE}/*`], models: ['*'], versions: ['*'], source: 'acme.yaml:1', ...role },
    ],
    bindings: [{ role: 'some', subjects: [], keys: [], certificates: ['*'], source: 'acme.yaml:2' }],
    digest: `${acme.config.digest}-${JSON.stringify(role)}`,
  };
}

const spec = (dataset: string, revision = 0): Uint8Array =>
  new BinaryWriter().tag(1, 2).string(dataset).tag(2, 0).int64(revision).finish();
const one = (...specs: readonly Uint8Array[]): Uint8Array =>
  specs.reduce((writer, each) => writer.tag(2, 2).bytes(each), new BinaryWriter()).finish();
const many = (...datasets: readonly string[]): Uint8Array =>
  datasets
    .map((dataset) => new BinaryWriter().tag(1, 2).bytes(spec(dataset)).finish())
    .reduce((writer, item) => writer.tag(1, 2).bytes(item), new BinaryWriter())
    .finish();

async function call(role: Partial<RoleConfig>, method: string, message: Uint8Array): Promise<string> {
  const sidecar = await InProcessSidecar.start(generationOf([config(role)]));
  const client = await RawGrpcClient.connect({
    port: sidecar.port,
    serverName: acme.pki.serverName,
    caPem: acme.pki.ca.certPem,
    certPem: acme.pki.client.certPem,
    keyPem: acme.pki.client.keyPem,
  });
  const before = upstream.calls.length;
  try {
    const { status, reason } = await client.call(`/${SERVICE}/${method}`, { chunks: [frame(Buffer.from(message))] });
    return status === 0 && upstream.calls.length === before + 1 ? 'through' : `${String(status)} ${reason}`;
  } finally {
    client.close();
    await sidecar.stop();
  }
}

const DENIED = '7 MODEL_ACCESS_DENIED';

describe('a service that is read by its descriptors', () => {
  it.each<[string, string, Uint8Array, Partial<RoleConfig>, string, Partial<RoleConfig>]>([
    ['another dataset', 'Score', one(spec('b')), { models: ['a'] }, DENIED, { models: ['b'] }],
    ['another revision', 'Score', one(spec('a', 2)), { versions: ['1'] }, DENIED, { versions: ['2'] }],
    ['no dataset', 'Score', new Uint8Array(), { models: ['a'] }, DENIED, { models: ['*'] }],
    ['one other dataset of many', 'ScoreMany', many('a', 'a', 'b'), { models: ['a'] }, DENIED, { models: ['a', 'b'] }],
    ['no item', 'ScoreMany', many(), { models: ['a'] }, DENIED, { models: ['*'] }],
    ['a sensitive method', 'Train', one(spec('a')), {}, DENIED, { methods: [`${SERVICE}/Train`] }],
    ['a method of no role', 'Ping', one(), { methods: [`${SERVICE}/Score`] }, DENIED, { methods: [`${SERVICE}/Ping`] }],
  ])('refuses %s', async (_, method, message, strict, refusal, lax) => {
    expect(await call(strict, method, message)).toBe(refusal);
    expect(await call(lax, method, message)).toBe('through');
  });

  it('refuses a second message where the model stands, and takes the one that says it all', async () => {
    expect(await call({}, 'Score', one(spec('a'), spec('b')))).toMatch(/^3 /);
    expect(await call({}, 'Score', one(spec('a', 1)))).toBe('through');
  });

  it('does not know a method that is not listed', async () => {
    expect(await call({ methods: [`${SERVICE}/*`] }, 'Secret', one())).toBe('12 METHOD_UNKNOWN');
    expect(await call({ methods: [`${SERVICE}/*`] }, 'Ping', one())).toBe('through');
  });
});
