import { expect, it } from 'vitest';
import { changeOf } from '../../../src/config/generation-change.ts';
import { withReplayMemory } from '../../../src/runtime/replay-memory.ts';
import { generationOf } from '../../fakes/in-process-sidecar.ts';
import { fakeTenant } from '../../fakes/trust.ts';

const watching = (name: string) => {
  const { config } = fakeTenant(name);
  return { ...config, issuers: config.issuers.map((issuer) => ({ ...issuer, replay: 'connection' as const })) };
};

it('a tenant that watches its tokens has memory of its own, which stays through all changes of it', () => {
  const acme = watching('acme');
  const globex = watching('globex');
  const initech = fakeTenant('initech').config;
  const first = withReplayMemory(undefined, generationOf([acme, globex, initech]));
  const [ofAcme, ofGlobex, ofInitech] = first.tenants.map(({ replayMemory }) => replayMemory);
  expect(ofAcme).toBeInstanceOf(SharedArrayBuffer);
  expect(ofGlobex).toBeInstanceOf(SharedArrayBuffer);
  expect(ofGlobex).not.toBe(ofAcme);
  expect(ofInitech).toBeUndefined();

  const changed = { ...acme, digest: 'changed' };
  const second = withReplayMemory(first, generationOf([changed, globex]));
  expect(second.tenants.map(({ replayMemory }) => replayMemory)).toEqual([ofAcme, ofGlobex]);
  expect(second.tenants[0]?.replayMemory).toBe(ofAcme);

  const gone = withReplayMemory(second, generationOf([globex]));
  const back = withReplayMemory(gone, generationOf([acme, globex]));
  expect(back.tenants[0]?.replayMemory).not.toBe(ofAcme);
});

it('memory alone is no change, and what needs none is left as it is', () => {
  const plain = generationOf([fakeTenant('acme').config]);
  expect(withReplayMemory(undefined, plain)).toBe(plain);
  const first = withReplayMemory(undefined, generationOf([watching('acme')]));
  const again = { ...first, tenants: first.tenants.map(({ replayMemory: _memory, ...tenant }) => tenant) };
  expect(changeOf(first, withReplayMemory(first, again)).tenants).toEqual([]);
});
