import { expect, test } from 'vitest';
import { limitsPage, writtenPage } from '../../docs/limits.ts';

test('the page of limits says what the fields say, and every test that it names is there', () => {
  expect(writtenPage(), 'run node test/docs/limits.ts --write').toBe(limitsPage());
});
