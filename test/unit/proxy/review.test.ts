import { expect, it } from 'vitest';
import { Review, type Reviewed } from '../../../src/proxy/review.ts';

/** A call that takes its time to be judged. */
function slow(ms: number, judged: () => void): Reviewed {
  return {
    review: () => {
      for (const until = performance.now() + ms; performance.now() < until; );
      judged();
    },
  };
}

it('a review judges all, with turns for others between', async () => {
  let judged = 0;
  let turns = 0;
  const count = (): void => void (judged += 1);
  const review = new Review();
  review.begin(Array.from({ length: 10 }, () => slow(2, count)));
  const atOnce = judged;
  review.begin([slow(0, count)]);
  while (judged < 11) {
    await new Promise((resolve) => setImmediate(resolve));
    turns += 1;
  }
  expect(atOnce).toBeGreaterThan(0);
  expect(atOnce).toBeLessThan(10);
  expect(turns).toBeGreaterThan(1);
});

it('a review of few is over at once', () => {
  let judged = 0;
  new Review().begin([slow(0, () => (judged += 1)), slow(0, () => (judged += 1))]);
  expect(judged).toBe(2);
});
