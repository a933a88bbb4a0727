import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PROTOCOL_NAMES } from '../../../src/inspection/protocols.ts';
import { modelServerRows } from '../../docs/model-servers.ts';

const page = readFileSync('src/manual/model-servers.md', 'utf8');

it.each(PROTOCOL_NAMES)('the manual has the table of %s', (protocol) => {
  const [, section] = page.split(`\n## ${protocol}\n`);
  expect(section?.split('\n## ')[0]).toContain(modelServerRows(protocol).join('\n'));
});
