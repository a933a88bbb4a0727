/**
 * Versions of TensorFlow Serving: a number, or a label, which is not the version that it looks like.
 */
import { fromJson, type JsonObject, toBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { HostileGround } from '../fakes/hostile-ground.ts';
import { SERVICES } from '../fakes/protocol-protos.ts';
import { frame } from '../fakes/raw-grpc-client.ts';

const SERVICE = 'tensorflow.serving.PredictionService';

it('a version label is not the version that it looks like', async () => {
  const predict = SERVICES.find(({ service }) => service === SERVICE)?.methods.get('Predict');
  if (predict === undefined) throw new Error('no such method');
  const role = { name: 'some', methods: [`${SERVICE}/Predict`], models: ['*'], versions: ['1', 'label:prod'] };
  const ground = await HostileGround.start({
    acme: {
      protocols: ['tensorflow-serving'],
      roles: [{ ...role, source: 'acme.yaml:1' }],
      bindings: [{ role: 'some', subjects: [], keys: [], certificates: ['*'], source: 'acme.yaml:2' }],
    },
  });
  const client = await ground.client();
  const ask = async (spec: JsonObject): Promise<number> => {
    const message = fromJson(predict.input, { model_spec: { name: 'm', ...spec } });
    const chunks = [frame(Buffer.from(toBinary(predict.input, message)))];
    return (await client.call(`/${SERVICE}/Predict`, { chunks })).status;
  };
  try {
    expect(await ask({ version: '1' })).toBe(0);
    expect(await ask({ version_label: '1' })).toBe(7);
    expect(await ask({ version_label: 'prod' })).toBe(0);
    expect(await ask({ version: '0' })).toBe(7);
    expect(await ask({})).toBe(7);
  } finally {
    await ground.stop();
  }
});
