import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PAGE, pageWithAttributes } from '../../docs/attributes.ts';

test('the page on authorization has every attribute that conditions may speak of, with its type', () => {
  const page = readFileSync(PAGE, 'utf8');
  // node test/docs/attributes.ts --write
  expect(page).toBe(pageWithAttributes(page));
});
