import { beforeEach, describe, expect, it } from 'vitest';
import type { HealthReport } from '../../../src/proxy/health-probes.ts';
import { HealthBoard, type HealthChange, MAX_CHANGES_TOLD } from '../../../src/runtime/health-board.ts';

const HEALTHY = { at: 'healthy' } as const;
const UNHEALTHY = { at: 'unhealthy', why: 'NOT_SERVING' } as const;
const ENDED = { at: 'ended' } as const;

let changes: HealthChange[];
let more: number[];
let board: HealthBoard;
beforeEach(() => {
  changes = [];
  more = [];
  board = new HealthBoard({ changed: (change) => changes.push(change), moreChanged: (count) => more.push(count) });
});

const report = (health: HealthReport['health'], key = 'k'): HealthReport => ({
  key,
  upstream: `http://${key}`,
  service: '',
  health,
});

/** What has been told, and is not told again. */
const told = (): readonly string[] => changes.splice(0).map(({ before, now }) => `${before} ${now.at}`);

describe('the board', () => {
  it('knows nothing of a server that nobody has told of', () => {
    expect(board.of('k')).toEqual({ at: 'unknown' });
  });

  it('has a server as well as the worker says that thinks worst of it', () => {
    board.hear(0, [report(HEALTHY)]);
    board.hear(1, [report(HEALTHY)]);
    expect(told()).toEqual(['unknown healthy']);
    board.hear(1, [report(UNHEALTHY)]);
    expect(board.of('k')).toEqual(UNHEALTHY);
    board.hear(0, [report(UNHEALTHY)]);
    board.hear(1, [report(HEALTHY)]);
    expect(told()).toEqual(['healthy unhealthy']);
    board.hear(0, [report(HEALTHY)]);
    expect(told()).toEqual(['unhealthy healthy']);
  });

  it('says once that a server has no health service', () => {
    board.hear(0, [report({ at: 'no_service' })]);
    board.hear(1, [report({ at: 'no_service' })]);
    expect(told()).toEqual(['unknown no_service']);
  });

  it('forgets what is not asked any more, and what a worker knew that is gone', () => {
    board.hear(0, [report(UNHEALTHY), report(HEALTHY, 'other')]);
    board.hear(1, [report(HEALTHY)]);
    told();
    board.forget(0);
    expect(told()).toEqual(['unhealthy healthy', 'healthy unknown']);
    board.hear(1, [report(ENDED)]);
    expect(told()).toEqual(['healthy unknown']);
    expect([board.of('k'), board.of('other')]).toEqual([{ at: 'unknown' }, { at: 'unknown' }]);
  });

  it('tells as many changes at once as the limit one by one, and counts the rest', () => {
    const all = (count: number, health: HealthReport['health']): readonly HealthReport[] =>
      Array.from({ length: count }, (_, index) => report(health, `k${index}`));
    board.hear(0, all(MAX_CHANGES_TOLD, UNHEALTHY));
    expect([told().length, more]).toEqual([MAX_CHANGES_TOLD, []]);
    board.hear(0, all(MAX_CHANGES_TOLD + 1, HEALTHY));
    expect([told().length, more]).toEqual([MAX_CHANGES_TOLD, [1]]);
    expect(board.of(`k${MAX_CHANGES_TOLD}`)).toEqual(HEALTHY);
  });
});
