/** Egress listeners are held to the ceiling as tenants are: one that holds too much loses calls, and another none. */
import { afterEach, expect, it } from 'vitest';
import { tenantHeldBytes, totalHeldBytes } from '../../../src/quota/shared-state.ts';
import { freePort } from '../../e2e/harness/free-port.ts';
import { FakeUpstream } from '../../fakes/fake-upstream.ts';
import { eventually, INFER, inferRequest } from '../../fakes/hostile-ground.ts';
import { egressConfig, InProcessEgress } from '../../fakes/in-process-egress.ts';
import { type Answer, frame, RawGrpcClient } from '../../fakes/raw-grpc-client.ts';
import { RawUpstream } from '../../fakes/raw-upstream.ts';

const KIB = 1024;
const CEILING = 2 * 1024 * KIB;
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

it('sheds the listener that fills the memory, and no call of another', async () => {
  // An ingress that takes calls, and of their bytes no more than the first window.
  const deaf = await RawUpstream.start();
  deaf.script = () => undefined;
  const upstream = await FakeUpstream.start();
  const ports = [await freePort(), await freePort()] as const;
  const listeners = [
    egressConfig(ports[0], deaf.config(), { slot: 0 }),
    egressConfig(ports[1], upstream.config, { slot: 1 }),
  ];
  const limits = { maxHeldBytes: CEILING, connectionWindowBytes: 64 * 1024 * KIB };
  const egress = await InProcessEgress.start(listeners, limits);
  closing.push(
    () => deaf.stop(),
    () => upstream.stop(),
    () => egress.stop(),
  );
  const [greedy, quiet] = [await RawGrpcClient.plain(ports[0]), await RawGrpcClient.plain(ports[1])];
  closing.push(
    () => greedy.close(),
    () => quiet.close(),
  );
  const shed: Answer[] = [];
  for (let call = 0; call < 30; call++) {
    void greedy.call(INFER, { chunks: [frame(Buffer.alloc(200 * KIB))] }).then((answer) => shed.push(answer));
  }
  const statuses: number[] = [];
  while (shed.length < 15) statuses.push((await quiet.call(INFER, { chunks: [inferRequest()] })).status);
  expect(new Set(statuses)).toEqual(new Set([0]));
  expect(new Set(shed.map(({ status, reason }) => `${status} ${reason}`))).toEqual(
    new Set(['8 TENANT_BUFFER_EXCEEDED']),
  );
  await eventually('the sum is below', () => totalHeldBytes(egress.shared) <= CEILING);
  expect(tenantHeldBytes(egress.shared, 1)).toBeLessThan(CEILING / 2);
  const records = (await egress.calls()).filter(({ reason }) => reason === 'buffer_exceeded');
  expect(records.length).toBeGreaterThanOrEqual(15);
  expect(records.every(({ caller }) => caller === `egress:127.0.0.1:${ports[0]}`)).toBe(true);
});
