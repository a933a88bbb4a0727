import { describe, expect, it } from 'vitest';
import type { RateServiceConfig } from '../../../src/config/rate-service-config.ts';
import { type Clearance, notAsked, RateService } from '../../../src/quota/rate-service.ts';
import type { RateAnswer, RateQuestion } from '../../../src/quota/rate-service-protocol.ts';
import { callerOf, tenantWith } from './tenants.ts';

const CONFIG: RateServiceConfig = {
  target: 'dns:127.0.0.1:1',
  display: 'http://127.0.0.1:1',
  tls: undefined,
  domain: 'models',
  descriptors: [['tenant'], ['tenant', 'caller', 'method']],
  timeoutMs: 20,
  whenUnavailable: 'refuse',
};

function serviceThat(answer: () => RateAnswer | Promise<RateAnswer>, config: Partial<RateServiceConfig> = {}) {
  const questions: RateQuestion[] = [];
  const heard: string[] = [];
  const service = new RateService(
    { ...CONFIG, ...config },
    tenantWith(1, {}),
    (outcome) => heard.push(outcome),
    () => async (question) => {
      questions.push(question);
      return answer();
    },
  );
  return { questions, heard, clear: () => service.clear(callerOf(1, 'alice'), 'a.S/M') };
}

const OVER: RateAnswer = {
  overallCode: 'OVER_LIMIT',
  statuses: [
    { code: 'OK', currentLimit: null, durationUntilReset: null },
    {
      code: 'OVER_LIMIT',
      currentLimit: { name: '', requestsPerUnit: 5, unit: 'HOUR' },
      durationUntilReset: { seconds: '90', nanos: 500_000_000 },
    },
  ],
};

describe('a rate limit service', () => {
  it('is asked what the configuration says, once', async () => {
    const { questions, clear } = serviceThat(() => ({ overallCode: 'OK', statuses: [] }));
    await clear();
    expect(questions).toEqual([
      {
        domain: 'models',
        hitsAddend: 1,
        descriptors: [
          { entries: [{ key: 'tenant', value: 'tenant-1' }] },
          {
            entries: [
              { key: 'tenant', value: 'tenant-1' },
              { key: 'caller', value: 'alice' },
              { key: 'method', value: 'a.S/M' },
            ],
          },
        ],
      },
    ]);
  });

  it('that says yes gives what a tenant without one has from the start', async () => {
    const { heard, clear } = serviceThat(() => ({ overallCode: 'OK', statuses: [] }));
    expect(await clear()).toBe(notAsked());
    expect(heard).toEqual(['ok']);
  });

  it('that says no refuses the call, with its limit and when to come again', async () => {
    const { heard, clear } = serviceThat(() => OVER);
    expect(await clear()).toEqual({
      ok: false,
      error: {
        kind: 'quota_exhausted',
        retryAfterMs: 90_500,
        exhausted: [
          {
            name: 'tenant-caller-method',
            level: 'caller',
            unit: 'calls',
            amount: 5,
            window: 'hour',
            windowSeconds: 3_600,
            resetMs: 90_500,
          },
        ],
      },
    });
    expect(heard).toEqual(['over_limit']);
  });

  it('that says no without saying of what still refuses', async () => {
    const answer = await serviceThat(() => ({ overallCode: 'OVER_LIMIT', statuses: [] })).clear();
    expect(answer).toMatchObject({ ok: false, error: { kind: 'quota_exhausted', exhausted: [{ name: 'tenant' }] } });
  });

  it.each([
    ['does not answer', () => Promise.reject(new Error('deadline exceeded')), 'deadline exceeded'],
    [
      'says neither yes nor no',
      () => ({ overallCode: 'UNKNOWN', statuses: [] }),
      'an answer that is neither yes nor no',
    ],
  ])('that %s refuses, unless it is to allow', async (_, answer, why) => {
    const refusing = serviceThat(answer);
    expect(await refusing.clear()).toEqual({
      ok: false,
      error: { kind: 'policy_unavailable', source: 'the rate limit service http://127.0.0.1:1', why },
    });
    expect(refusing.heard).toEqual(['unavailable']);
    expect(await serviceThat(answer, { whenUnavailable: 'allow' }).clear()).toBe(notAsked());
  });

  it('that cannot even be opened is one that does not answer', async () => {
    const service = new RateService(
      CONFIG,
      tenantWith(1, {}),
      () => undefined,
      () => Promise.reject(new Error('no')),
    );
    expect(await service.clear(callerOf(1, 'alice'), 'a.S/M')).toMatchObject({ ok: false });
  });
});

it('a clearance cannot be made up', () => {
  // @ts-expect-error an object that looks like a clearance is none
  const forged: Clearance = { isCleared: true };
  expect(forged.isCleared).toBe(true);
});

it('what could not be opened once is opened again for the next call', async () => {
  let tries = 0;
  const service = new RateService(
    CONFIG,
    tenantWith(1, {}),
    () => undefined,
    async () => {
      tries += 1;
      if (tries === 1) throw new Error('EMFILE: too many open files');
      return async () => ({ overallCode: 'OK', statuses: [] });
    },
  );
  const clear = () => service.clear(callerOf(1, 'alice'), 'a.S/M');
  const [first, second] = await Promise.all([clear(), clear()]);
  expect([first.ok, second.ok, tries]).toEqual([false, false, 1]);
  expect([(await clear()).ok, (await clear()).ok, tries]).toEqual([true, true, 2]);
});
