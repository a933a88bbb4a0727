/**
 * A disk that is full. By default nothing leaves that is not on record: answers wait, new calls are refused and not sent on,
 * and all of it comes out, once each, when the disk is well. Where the operator chose to drop, calls go on and the loss is told.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { respond } from '../fakes/fake-upstream.ts';
import { BALANCED, eventually, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { FailingDisk } from '../fakes/segment-files.ts';

let ground: HostileGround;
let disk: FailingDisk;
afterEach(async () => {
  disk.room = Number.POSITIVE_INFINITY;
  await ground.stop();
});

async function start(whenFull: 'refuse' | 'drop'): Promise<RawGrpcClient> {
  disk = new FailingDisk();
  ground = await HostileGround.start({ files: disk, audit: { whenFull } });
  const client = await ground.client();
  await client.call(INFER, { chunks: [inferRequest()] });
  return client;
}

const infer = (client: RawGrpcClient): Promise<Answer> => client.call(INFER, { chunks: [inferRequest()] });
const told = ({ status, reason }: Answer): string => `${status} ${reason}`.trim();

describe('a full disk, where calls are refused', () => {
  it('holds the answer of the call that could not be recorded, refuses the next, and lets both out when it is well', async () => {
    const client = await start('refuse');
    let release = (): void => undefined;
    ground.upstream.answer = (stream) => {
      release = () => respond(stream);
    };
    const answers: string[] = [];
    const running = infer(client).then((answer) => answers.push(`running ${told(answer)}`));
    await eventually('it runs', () => ground.upstream.calls.length === 2);
    disk.room = 0;
    release();
    await delay(60);
    ground.upstream.answer = undefined;
    const refused = infer(client).then((answer) => answers.push(`next ${told(answer)}`));
    await delay(150);
    // Nothing has left: not the answer, not the refusal, not the next call to the model server.
    expect(answers).toEqual([]);
    expect(ground.upstream.calls).toHaveLength(2);
    disk.room = Number.POSITIVE_INFINITY;
    await Promise.all([running, refused]);
    expect(answers.toSorted((a, b) => a.localeCompare(b))).toEqual(['next 14 AUDIT_UNAVAILABLE', 'running 0']);
    expect(ground.upstream.calls).toHaveLength(2);
    expect(told(await infer(client))).toBe('0');
    const records = await ground.records(4);
    expect(records.map(({ outcome, reason }) => `${outcome} ${reason}`.trim())).toEqual([
      'ok',
      'ok',
      'denied audit_unavailable',
      'ok',
    ]);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is not a way around the record: a call that is cancelled meanwhile is on it', async () => {
    const client = await start('refuse');
    ground.upstream.answer = () => undefined;
    const cancelled = client.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 100 });
    await eventually('it runs', () => ground.upstream.calls.length === 2);
    disk.room = 0;
    await cancelled;
    await delay(50);
    disk.room = Number.POSITIVE_INFINITY;
    const records = await ground.records(2);
    expect(records.map(({ outcome }) => outcome)).toEqual(['ok', 'cancelled']);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('takes a flood of calls as it takes one: refused, recorded, none sent on', async () => {
    const client = await start('refuse');
    disk.room = 0;
    // The first finds out that the disk is full, and is the last that is sent on.
    const first = infer(client);
    await eventually('it is sent on', () => ground.upstream.calls.length === 2);
    await delay(50);
    const flood = Array.from({ length: 200 }, () => infer(client));
    await delay(200);
    expect(ground.upstream.calls).toHaveLength(2);
    disk.room = Number.POSITIVE_INFINITY;
    expect(told(await first)).toBe('0');
    const answers = await Promise.all(flood);
    expect(new Set(answers.map(told))).toEqual(new Set(['14 AUDIT_UNAVAILABLE']));
    expect(await ground.records(202)).toHaveLength(202);
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});

describe('a full disk, where records are dropped', () => {
  it('lets calls go on, and says how many records were lost', async () => {
    const client = await start('drop');
    disk.room = 0;
    for (let i = 0; i < 5; i++) expect(told(await infer(client))).toBe('0');
    disk.room = Number.POSITIVE_INFINITY;
    expect(told(await infer(client))).toBe('0');
    const records = await ground.sidecar.records();
    expect(records.filter(({ type }) => type === 'call')).toHaveLength(2);
    const events = records.filter((record) => record.type === 'event');
    expect(events.map(({ event, detail }) => [event, Number.parseInt(detail, 10)])).toEqual([
      ['audit.records_lost', 5],
    ]);
  });
});
