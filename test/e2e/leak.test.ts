/**
 * Nothing that the sidecar keeps grows with the number of its calls and connections. The long search, with a million calls and a
 * hundred thousand connections, is `node test/bench/leak.ts`.
 */
import { expect, it } from 'vitest';
import { searchLeaks } from '../bench/leak.ts';
import { leaksOf, reportText } from '../bench/leak-verdict.ts';

it('twenty thousand calls and two thousand connections, good, refused, reset and cancelled, leave nothing behind', async () => {
  const plan = { calls: 20_000, connections: 2_000, warmUpCalls: 30_000, warmUpConnections: 1_000 };
  const report = await searchLeaks(plan, () => undefined);
  process.stdout.write(reportText(report));
  expect(leaksOf(report)).toEqual([]);
});
