import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { HealthCheckConfig, UpstreamConfig } from '../../../src/config/upstream-config.ts';
import { Flag, FrameType } from '../../../src/http2/frame.ts';
import { OutputBufferPool } from '../../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import { HealthProbe } from '../../../src/proxy/health-probe.ts';
import type { Observation } from '../../../src/proxy/upstream-health.ts';
import { FakeUpstream } from '../../fakes/fake-upstream.ts';
import { HealthService, NOT_SERVING, SERVING, wordOf } from '../../fakes/health-service.ts';
import { eventually } from '../../fakes/hostile-ground.ts';
import {
  GRPC_HEADERS,
  OK_TRAILERS,
  RawUpstream,
  type RawUpstreamOptions,
  type Script,
} from '../../fakes/raw-upstream.ts';

/** Long intervals: what happens sooner happens for another reason. */
const CHECK: HealthCheckConfig = {
  service: '',
  intervalMs: 60_000,
  timeoutMs: 1_500,
  unhealthyThreshold: 1,
  healthyThreshold: 1,
};

let probe: HealthProbe | undefined;
let stopServer: (() => Promise<void>) | undefined;
const heard: Observation[] = [];
afterEach(async () => {
  probe?.stop();
  probe = undefined;
  heard.length = 0;
  await stopServer?.();
  stopServer = undefined;
});

/** `random` 0: the first question is asked at once. */
function probeOf(upstream: UpstreamConfig, changes: Partial<HealthCheckConfig> = {}, random = 0): HealthProbe {
  probe = new HealthProbe({
    upstream,
    check: { ...CHECK, ...changes },
    turn: new Turn(systemClock),
    buffers: new OutputBufferPool(),
    random: () => random,
    onObservation: (observation) => heard.push(observation),
  });
  return probe;
}

async function service(): Promise<{ upstream: FakeUpstream; health: HealthService }> {
  const upstream = await FakeUpstream.start();
  stopServer = () => upstream.stop();
  return { upstream, health: new HealthService(upstream) };
}

async function raw(script: Script, options: RawUpstreamOptions = {}): Promise<RawUpstream> {
  const upstream = await RawUpstream.start(options);
  upstream.script = script;
  stopServer = () => upstream.stop();
  return upstream;
}

const serving = { kind: 'serving' };
const notServing = { kind: 'not_serving', why: 'NOT_SERVING' };

describe('a probe of a server with Watch', () => {
  it('hears of each change when it happens, on one stream', async () => {
    const { upstream, health } = await service();
    probeOf(upstream.config);
    await eventually('its first word', () => heard.length === 1);
    health.say(NOT_SERVING);
    await eventually('the change', () => heard.length === 2);
    health.say(SERVING);
    await eventually('the next', () => heard.length === 3);
    expect(heard).toEqual([serving, notServing, serving]);
    expect(health.asked).toEqual(['Watch']);
  });

  it('asks for the service, and says nothing else', async () => {
    const { upstream, health } = await service();
    probeOf(upstream.config, { service: 'a.B' });
    await eventually('its word', () => heard.length === 1);
    const [question] = health.questions;
    expect(question?.body).toEqual(Buffer.from([0, 0, 0, 0, 5, 0x0a, 3, 0x61, 0x2e, 0x42]));
    expect(Object.keys(question?.headers ?? {}).sort()).toEqual(
      [':authority', ':method', ':path', ':scheme', 'content-type', 'te', 'user-agent'].sort(),
    );
  });

  it('opens it anew after the interval: never two at a time', async () => {
    const { upstream, health } = await service();
    probeOf(upstream.config, { intervalMs: 30 });
    let most = 0;
    await eventually('some', () => {
      most = Math.max(most, health.watches.size);
      return heard.length >= 5;
    });
    expect(most).toBe(1);
    expect(new Set(health.asked)).toEqual(new Set(['Watch']));
  });

  it('finds a server that hangs although its Watch stands', async () => {
    const { upstream, health } = await service();
    probeOf(upstream.config, { intervalMs: 30, timeoutMs: 60 });
    await eventually('its word', () => heard.length >= 1);
    health.status = undefined;
    await eventually('the failure', () => heard.some(({ kind }) => kind === 'failed'));
    expect(heard.find(({ kind }) => kind === 'failed')).toEqual({ kind: 'failed', why: 'no answer within 60 ms' });
    health.status = SERVING;
    heard.length = 0;
    await eventually('that it is back', () => heard.at(-1)?.kind === 'serving');
  });

  it('that is cut soon waits for the interval, and takes nothing back', async () => {
    const { upstream, health } = await service();
    probeOf(upstream.config);
    await eventually('its word', () => heard.length === 1);
    health.cut();
    await eventually('the end', () => health.watches.size === 0);
    await delay(50);
    expect([heard, health.asked]).toEqual([[serving], ['Watch']]);
  });

  it('that is cut later asks again at once', async () => {
    const { upstream, health } = await service();
    probeOf(upstream.config);
    await eventually('its word', () => heard.length === 1);
    await delay(1_050);
    health.cut();
    await eventually('the next word', () => heard.length === 2);
    expect([heard, health.asked]).toEqual([
      [serving, serving],
      ['Watch', 'Watch'],
    ]);
  });

  it('that goes away is not kept from it, and is asked again', async () => {
    const upstream = await raw((up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.data(id, wordOf(SERVING));
    });
    probeOf(upstream.config(), { intervalMs: 100 });
    await eventually('its word', () => heard.length === 1);
    upstream.connections[0]?.goaway(1, 0);
    await eventually('the end of its connection', () => upstream.connections[0]?.socket.readableEnded === true);
    await eventually('the next word', () => heard.length === 2);
    expect(heard).toEqual([serving, serving]);
  });
});

describe('the first question', () => {
  it('is asked soon, however long the interval is', async () => {
    const { upstream } = await service();
    probeOf(upstream.config, { intervalMs: 3_600_000 }, 0.01);
    await eventually('its word', () => heard.length === 1);
  });
});

describe('a probe of a server without Watch', () => {
  it('asks by Check at each interval, and not for Watch again on the same connection', async () => {
    const { upstream, health } = await service();
    health.hasWatch = false;
    probeOf(upstream.config, { intervalMs: 20 });
    await eventually('some answers', () => heard.length >= 3);
    health.status = NOT_SERVING;
    await eventually('the change', () => heard.at(-1)?.kind === 'not_serving');
    expect(health.asked.slice(0, 4)).toEqual(['Watch', 'Check', 'Check', 'Check']);
    expect(health.questions[1]?.headers['grpc-timeout']).toBe('1500000u');
  });

  it('and without Check says so, and asks rarely', async () => {
    const { upstream, health } = await service();
    health.hasWatch = false;
    health.hasCheck = false;
    probeOf(upstream.config, { intervalMs: 60 });
    await eventually('that it has none', () => heard.length === 1);
    expect(heard).toEqual([{ kind: 'no_service' }]);
    await delay(100);
    expect(health.asked).toEqual(['Watch', 'Check']);
    await eventually('another question', () => health.asked.length === 3);
  });

  it('opens a new connection when the one that it had has ended meanwhile, and that is no failure', async () => {
    let asked = 0;
    const upstream = await raw((up, id) => {
      asked++;
      if (asked === 1) up.headers(id, [...GRPC_HEADERS, 'grpc-status', '12'], true);
      else if (asked === 3) up.socket.destroy();
      else up.answer(id, wordOf(SERVING));
    });
    probeOf(upstream.config(), { intervalMs: 20 });
    await eventually('some answers', () => heard.length >= 3);
    expect(new Set(heard.map(({ kind }) => kind))).toEqual(new Set(['serving']));
    expect(upstream.connections.length).toBeGreaterThan(1);
  });
});

describe('a server that cannot be asked', () => {
  it('since it refuses connections', async () => {
    const upstream = await raw(() => undefined);
    await upstream.stop();
    stopServer = undefined;
    probeOf(upstream.config());
    await eventually('the failure', () => heard.length === 1);
    expect(heard[0]).toMatchObject({ kind: 'failed' });
    expect(JSON.stringify(heard[0])).toContain('ECONNREFUSED');
  });

  it('since it allows no stream', async () => {
    const upstream = await raw(() => undefined, { maxConcurrentStreams: 0 });
    probeOf(upstream.config());
    await eventually('the failure', () => heard.length === 1);
    expect(heard).toEqual([{ kind: 'failed', why: 'it allows no stream' }]);
  });

  it('since it says nothing at all', async () => {
    const upstream = await raw(() => undefined, { mute: true });
    probeOf(upstream.config(), { timeoutMs: 50 });
    await eventually('the failure', () => heard.length === 1);
    expect(heard).toEqual([{ kind: 'failed', why: 'no answer within 50 ms' }]);
    await eventually('the end of its connection', () => upstream.connections[0]?.socket.readableEnded === true);
  });

  const HOSTILE: readonly (readonly [string, Script])[] = [
    ['another content type', (up, id) => up.headers(id, [':status', '200', 'content-type', 'text/html'], false)],
    [
      'a message of a gigabyte',
      (up, id) => (up.headers(id, GRPC_HEADERS, false), up.data(id, Buffer.from([0, 0x40, 0, 0, 0]))),
    ],
    ['a message that is none', (up, id) => up.answer(id, Buffer.from([0, 0, 0, 0, 1, 0xff]))],
    ['a compressed message', (up, id) => up.answer(id, Buffer.from([1, 0, 0, 0, 2, 8, 1]))],
    ['no message', (up, id) => (up.headers(id, GRPC_HEADERS, false), up.headers(id, OK_TRAILERS, true))],
    ['trailers only, without a status', (up, id) => up.headers(id, GRPC_HEADERS, true)],
    ['a header block that never ends', (up, id) => endlessHeaders(up, id)],
    ['a header list beyond the limit', (up, id) => up.headers(id, [...GRPC_HEADERS, 'x', 'a'.repeat(12_000)], false)],
    ['informational responses without end', (up, id) => repeat(20, () => up.headers(id, [':status', '103'], false))],
    [
      'more DATA than its window',
      (up, id) => (up.headers(id, GRPC_HEADERS, false), repeat(20, () => up.data(id, Buffer.alloc(16_000)))),
    ],
    [
      'words without end',
      (up, id) => (up.headers(id, GRPC_HEADERS, false), repeat(200, () => up.data(id, wordOf(SERVING)))),
    ],
    [
      'a promise to push',
      (up, id) => up.frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, id, Buffer.from([0, 0, 0, 2, 0x82])),
    ],
    ['garbage', (up) => up.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n<html></html>')],
    ['a reset', (up, id) => up.reset(id, 2)],
    ['the end of the connection', (up) => up.socket.destroy()],
  ];
  it.each(HOSTILE)(
    'since it answers with %s: that is a failure, and the next good answer is heard',
    async (_, script) => {
      const upstream = await raw(script);
      probeOf(upstream.config(), { intervalMs: 40, timeoutMs: 400 });
      await eventually('the failure', () => heard.some(({ kind }) => kind === 'failed'));
      upstream.script = (up, id) => {
        up.headers(id, GRPC_HEADERS, false);
        up.data(id, wordOf(SERVING));
      };
      await eventually('the good answer', () => heard.at(-1)?.kind === 'serving');
      // It has hung up on each that did not answer.
      const open = upstream.connections.filter(({ socket }) => !socket.readableEnded && !socket.destroyed);
      expect(open.length).toBeLessThanOrEqual(1);
    },
  );
});

describe('a probe that is stopped', () => {
  it.each([
    ['before it has asked', 0.5, () => undefined],
    ['while its Watch stands', 0, () => eventually('its word', () => heard.length === 1)],
  ])('%s asks no more, and leaves nothing open', async (_, random, before) => {
    const { upstream, health } = await service();
    const stopped = probeOf(upstream.config, { intervalMs: 200 }, random);
    await before();
    stopped.stop();
    const { length } = health.asked;
    await eventually('no Watch', () => health.watches.size === 0);
    await delay(250);
    expect(health.asked).toHaveLength(length);
    expect(heard.length).toBeLessThanOrEqual(1);
  });

  it('while it connects, or waits for an answer, hears nothing any more', async () => {
    const upstream = await raw(() => undefined, { mute: true });
    const connecting = probeOf(upstream.config(), { timeoutMs: 50 });
    await delay(1);
    connecting.stop();
    const asking = probeOf(upstream.config(), { timeoutMs: 50 });
    await eventually('a connection', () => upstream.connections.length >= 1);
    await delay(10);
    asking.stop();
    await delay(80);
    expect(heard).toEqual([]);
    await eventually('the end of each', () =>
      upstream.connections.every(({ socket }) => socket.readableEnded || socket.destroyed),
    );
  });
});

function repeat(times: number, what: () => void): void {
  for (let i = 0; i < times; i++) what();
}

/** HEADERS without END_HEADERS, and CONTINUATION frames until nobody listens. */
function endlessHeaders(up: Parameters<Script>[0], id: number): void {
  up.frame(FrameType.HEADERS, 0, id, Buffer.from([0x88]));
  const timer = setInterval(() => {
    if (up.socket.writable) up.frame(FrameType.CONTINUATION, 0, id, Buffer.alloc(100, 0x88));
    else clearInterval(timer);
  }, 1);
  up.socket.on('close', () => clearInterval(timer));
}
