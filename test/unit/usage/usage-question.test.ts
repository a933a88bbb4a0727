import { describe, expect, it } from 'vitest';
import { type UsageAsked, usageQuestion } from '../../../src/usage/usage-question.ts';

const NOW = Date.UTC(2026, 10, 24, 12);

function question(asked: UsageAsked): ReturnType<typeof usageQuestion> {
  return usageQuestion(asked, NOW);
}

describe('a question about usage', () => {
  it('is about all tenants of thirty days, by day, unless it says otherwise', () => {
    expect(question({})).toEqual({
      ok: true,
      value: {
        tenant: undefined,
        sinceMs: NOW - 30 * 86_400_000,
        untilMs: Number.POSITIVE_INFINITY,
        by: 'day',
        per: 'tenant',
        zone: 'UTC',
      },
    });
  });

  it.each([
    ['2026-11-01', 'UTC', '2026-11-01T00:00:00Z'],
    ['2026-11', 'UTC', '2026-11-01T00:00:00Z'],
    ['2026-11-01', 'Europe/Berlin', '2026-10-31T23:00:00Z'],
    ['2026-11-01T10:00:00+02:00', 'Europe/Berlin', '2026-11-01T08:00:00Z'],
    ['2h', 'UTC', '2026-11-24T10:00:00Z'],
  ])('since %s in %s begins at %s', (since, zone, begin) => {
    expect(question({ since, zone })).toMatchObject({ value: { sinceMs: Date.parse(begin) } });
  });

  it.each([
    [{ since: 'yesterday' }, /^since is neither/],
    [{ since: '2026-02-30' }, /^since is neither/],
    [{ until: '10' }, /^until is neither/],
    [{ since: '1h', until: '2h' }, /^until is not after since/],
    [{ by: 'year' }, /^by is none of hour, day, month, total/],
    [{ per: 'key' }, /^per is none of tenant, caller, model/],
    [{ zone: 'Europe/Atlantis' }, /^zone is no time zone/],
  ])('%j is refused', (asked, why) => {
    expect(question(asked)).toMatchObject({ ok: false, error: expect.stringMatching(why) });
  });
});
