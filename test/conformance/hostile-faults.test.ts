/** Faults of our own, at every place where a call touches something that may throw: one call ends, its neighbours do not. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ByteAccount } from '../../src/buffers/byte-account.ts';
import { MessageInspector } from '../../src/inspection/message-inspector.ts';
import { QuotaGate } from '../../src/quota/quota-gate.ts';
import { fresh, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';

let ground: HostileGround;
afterEach(async () => {
  vi.restoreAllMocks();
  await ground.stop();
});

/** Makes a method throw once, at the next call of it. */
function poisonOnce<T extends object>(prototype: T, method: keyof T & string): void {
  const original: unknown = prototype[method];
  if (typeof original !== 'function') throw new TypeError(method);
  Object.defineProperty(prototype, method, {
    configurable: true,
    writable: true,
    value(this: T): never {
      Object.defineProperty(prototype, method, { configurable: true, writable: true, value: original });
      throw new RangeError(`poison in ${method}`);
    },
  });
}

const PLACES: readonly (readonly [string, () => void])[] = [
  ['reservation', () => poisonOnce(QuotaGate.prototype, 'reserve')],
  ['inspection', () => poisonOnce(MessageInspector.prototype, 'scan')],
  ['the end of the request', () => poisonOnce(MessageInspector.prototype, 'finish')],
  ['charging its bytes', () => poisonOnce(ByteAccount.prototype, 'charge')],
];

describe('a call that makes us throw', () => {
  it.each(PLACES)(
    'in %s is INTERNAL and on record; calls beside it on the same connection go on',
    async (_, poison) => {
      ground = await HostileGround.start();
      const client = await ground.client();
      const neighbour = await ground.client(ground.globex);
      await client.call(INFER, { chunks: [inferRequest()] });
      ground.upstream.answer = () => undefined;
      const running = [client, neighbour].map((each) =>
        each.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 400 }),
      );
      await new Promise((resolve) => setTimeout(resolve, 100));
      ground.upstream.answer = undefined;
      poison();
      const answer = await client.call(INFER, { chunks: [inferRequest()] });
      expect([answer.status, answer.reason, answer.message]).toEqual([13, 'INTERNAL', 'internal error']);
      expect(await client.call(INFER, { chunks: [inferRequest()] })).toMatchObject({ status: 0 });
      expect(await neighbour.call(INFER, { chunks: [inferRequest()] })).toMatchObject({ status: 0 });
      expect((await Promise.all(running)).map(({ resetCode }) => resetCode)).toEqual([8, 8]);
      const records = await ground.records(6);
      expect(records).toHaveLength(6);
      const [failed] = records.filter(({ outcome }) => outcome === 'failed');
      expect(failed).toMatchObject({ reason: 'internal', grpcStatus: 13, tenant: 'acme' });
      expect(failed?.detail).toContain('poison');
      expect(ground.usage(0).callsInProgress).toBe(0);
    },
  );

  it('after its token was verified, in a promise that nobody else waits for, is INTERNAL too', async () => {
    ground = await HostileGround.start();
    const client = await ground.client();
    poisonOnce(MessageInspector.prototype, 'scan');
    const authorization = `Bearer ${ground.acme.issuer.token(fresh())}`;
    const answer = await client.call(INFER, { headers: { authorization }, chunks: [inferRequest()] });
    expect([answer.status, answer.reason]).toEqual([13, 'INTERNAL']);
    expect(await client.call(INFER, { headers: { authorization }, chunks: [inferRequest()] })).toMatchObject({
      status: 0,
    });
  });
});
