import { expect, it } from 'vitest';
import { markNeverIndexed, neverIndexedIn } from '../../../src/http2/never-indexed.ts';
import { withAnnouncement } from '../../../src/proxy/announcement.ts';

const HEADERS = [':status', '200', 'content-type', 'application/grpc'];

it('adds fields behind what the model server said, and leaves a block without them as it is', () => {
  expect(withAnnouncement(HEADERS, [])).toBe(HEADERS);
  expect([...withAnnouncement(HEADERS, ['ratelimit', '"a";r=1'])]).toEqual([...HEADERS, 'ratelimit', '"a";r=1']);
});

it('replaces the older fields of the model server’s own, of which there may be only one', () => {
  const block = [...HEADERS, 'x-ratelimit-limit', '9', 'x-ratelimit-reset', '9', 'x-other', 'x-ratelimit-limit'];
  expect([...withAnnouncement(block, ['x-ratelimit-limit', '5'])]).toEqual([
    ...HEADERS,
    'x-other',
    'x-ratelimit-limit',
    'x-ratelimit-limit',
    '5',
  ]);
  expect([...withAnnouncement(block, ['ratelimit', '"a";r=1'])]).toEqual([...block, 'ratelimit', '"a";r=1']);
});

it('keeps changing values out of the client’s table, and what was kept out before', () => {
  const block = [...HEADERS, 'secret', 's'];
  markNeverIndexed(block, new Set(['secret']));
  const names = neverIndexedIn(withAnnouncement(block, ['ratelimit-policy', '"a";q=2', 'ratelimit', '"a";r=1']));
  expect(names?.has('secret')).toBe(true);
  expect(names?.has('ratelimit')).toBe(true);
  expect(names?.has('ratelimit-policy')).toBe(false);
});
