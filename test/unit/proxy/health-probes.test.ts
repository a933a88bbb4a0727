import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { UpstreamConfig } from '../../../src/config/upstream-config.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import { HealthProbes, healthKeyOf } from '../../../src/proxy/health-probes.ts';
import { FakeUpstream } from '../../fakes/fake-upstream.ts';
import { HealthService, NOT_SERVING, SERVING } from '../../fakes/health-service.ts';
import { eventually } from '../../fakes/hostile-ground.ts';

const healthCheck = { service: '', intervalMs: 60_000, timeoutMs: 1_500, unhealthyThreshold: 1, healthyThreshold: 1 };

let upstream: FakeUpstream;
let service: HealthService;
let probes: HealthProbes;
beforeEach(async () => {
  upstream = await FakeUpstream.start();
  service = new HealthService(upstream);
  probes = new HealthProbes({ turn: new Turn(systemClock), random: () => 0 });
});
afterEach(() => upstream.stop());

const config = (changes: Partial<UpstreamConfig> = {}): UpstreamConfig => ({
  ...upstream.config,
  healthCheck,
  ...changes,
});

describe('the health checks of a worker', () => {
  it('ask nobody whose configuration does not say so', () => {
    expect(probes.join(upstream.config)).toBeUndefined();
    expect(probes.size).toBe(0);
    expect(healthKeyOf(upstream.config)).toBeUndefined();
  });

  it('ask a server once for all who want to know, and no more when the last of them has left', async () => {
    const watches = Array.from({ length: 10_000 }, () => probes.join(config()));
    expect(probes.size).toBe(1);
    await eventually('its word', () => watches.every((watch) => watch?.now.at === 'healthy'));
    expect(service.asked).toEqual(['Watch']);
    const [last, ...others] = watches;
    for (const watch of others) watch?.leave();
    // Leaving twice is leaving once.
    for (const watch of others) watch?.leave();
    expect(probes.size).toBe(1);
    service.say(NOT_SERVING);
    await eventually('the change', () => last?.now.at === 'unhealthy');
    last?.leave();
    expect(probes.size).toBe(0);
    await eventually('the end of the Watch', () => service.watches.size === 0);
    expect(last?.now).toMatchObject({ at: 'unhealthy' });
  });

  it('ask apart what differs in how it is asked, and together what differs otherwise', () => {
    const asked = { ...healthCheck, service: 'other' };
    const changes: Partial<UpstreamConfig>[] = [{}, { maxConnections: 1 }, { authority: 'a' }, { healthCheck: asked }];
    const watches = changes.map((change) => probes.join(config(change)));
    expect(probes.size).toBe(3);
    for (const watch of watches) watch?.leave();
    expect(probes.size).toBe(0);
  });

  it('tell each change once, and the last of several', async () => {
    const watch = probes.join(config());
    const key = healthKeyOf(config());
    const told = { key, upstream: upstream.config.display, service: '' };
    expect(probes.takeReports()).toEqual([]);
    await eventually('its word', () => watch?.now.at === 'healthy');
    expect(probes.takeReports()).toEqual([{ ...told, health: { at: 'healthy' } }]);
    expect(probes.takeReports()).toEqual([]);
    service.say(NOT_SERVING);
    await eventually('the change', () => watch?.now.at === 'unhealthy');
    service.say(SERVING);
    await eventually('the next', () => watch?.now.at === 'healthy');
    service.say(NOT_SERVING);
    await eventually('and the next', () => watch?.now.at === 'unhealthy');
    expect(probes.takeReports()).toEqual([{ ...told, health: { at: 'unhealthy', why: 'NOT_SERVING' } }]);
    watch?.leave();
    expect(probes.takeReports()).toEqual([{ ...told, health: { at: 'ended' } }]);
  });
});

describe('the key of a health check', () => {
  it('has nothing of a private key in it', () => {
    const secret = config({
      tls: { caPem: undefined, serverName: 'm', clientCertificate: { chainPem: 'c', keyPem: 'SECRET' } },
    });
    expect(healthKeyOf(secret)).toMatch(/^[\w-]{43}$/);
    expect(healthKeyOf(secret)).toBe(healthKeyOf({ ...secret }));
    expect(healthKeyOf(secret)).not.toBe(healthKeyOf(config()));
  });
});
