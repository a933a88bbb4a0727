/**
 * What may be written about scheduling and priorities, what it becomes, and what is said of what makes no sense.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Generation } from '../../../src/config/generation.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { type FoundLine, findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, writeSmall } from '../../fakes/configuration.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

const QUOTA = 'quota:\n';

function written(main: string, tenant = ''): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  edit(join(directory, 'bulkhead.yaml'), 'tenants: tenants/\n', `tenants: tenants/\n${main}`);
  if (tenant !== '') edit(join(directory, 'tenants/acme.yaml'), QUOTA, `${tenant}${QUOTA}`);
  return directory;
}

async function loaded(directory: string, previous?: Generation): Promise<Generation> {
  const result = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), previous);
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

async function only(main: string, tenant?: string): Promise<FoundLine> {
  const { lines } = await findingsOf(written(main, tenant));
  expect(lines).toHaveLength(1);
  return lines[0] ?? { at: '', message: '', fix: '', severity: 'error' };
}

describe('scheduling', () => {
  it('is nothing where it is not written', async () => {
    const { scheduling, tenants } = await loaded(written(''));
    expect([scheduling, tenants[0]?.scheduling, tenants[0]?.priority]).toEqual([undefined, undefined, undefined]);
  });

  it('has defaults for all but the calls at once', async () => {
    const { scheduling, tenants } = await loaded(written('scheduling: {}\n'));
    expect(scheduling).toEqual({
      concurrentCalls: undefined,
      maxQueuedCalls: 1024,
      maxQueuedCallsPerTenant: 256,
      maxWaitMs: 10_000,
      classes: [
        { name: 'interactive', weight: 8 },
        { name: 'batch', weight: 1 },
      ],
    });
    expect(tenants[0]?.scheduling).toMatchObject({ weight: 1, defaultClass: 0, rules: [] });
  });

  it('gives a tenant its weight, its classes by their names, and its rules in their order', async () => {
    const { tenants } = await loaded(
      written(
        'scheduling: { concurrentCalls: 4, classes: [{ name: a, weight: 3 }, { name: b, weight: 1 }] }\n',
        'priority: { weight: 5, class: b, classes: [{ class: a, methods: ["*/ModelInfer"] }, { class: b }] }\n',
      ),
    );
    expect(tenants[0]?.scheduling).toMatchObject({
      concurrentCalls: 4,
      weight: 5,
      defaultClass: 1,
      rules: [{ class: 0, methods: ['*/ModelInfer'] }, { class: 1 }],
    });
  });

  it('that changes is a change of each tenant', async () => {
    const directory = written('scheduling: { concurrentCalls: 4 }\n');
    const before = await loaded(directory);
    edit(join(directory, 'bulkhead.yaml'), 'concurrentCalls: 4', 'concurrentCalls: 5');
    const after = await loaded(directory, before);
    expect(after.tenants[0]?.digest).not.toBe(before.tenants[0]?.digest);
    expect(after.tenants[0]?.scheduling?.concurrentCalls).toBe(5);
  });
});

describe('it is said of', () => {
  it('a class that stands twice', async () => {
    const main = 'scheduling: { classes: [{ name: a, weight: 3 }, { name: a, weight: 1 }] }\n';
    expect(await only(main)).toMatchObject({ message: expect.stringContaining('a stands twice') });
  });

  it('five classes, where four may be', async () => {
    const classes = (count: number): string =>
      `scheduling: { classes: [${Array.from({ length: count }, (_, n) => `{ name: c${n}, weight: 1 }`).join(', ')}] }\n`;
    expect((await loaded(written(classes(4)))).scheduling?.classes).toHaveLength(4);
    expect(await only(classes(5))).toMatchObject({ message: expect.stringContaining('more than 4') });
  });

  it('a line of one tenant that is longer than that of all', async () => {
    const main = 'scheduling: { maxQueuedCalls: 10, maxQueuedCallsPerTenant: 11 }\n';
    expect(await only(main)).toMatchObject({
      message: expect.stringContaining('is more than scheduling.maxQueuedCalls'),
    });
  });

  it('a priority where no call waits', async () => {
    expect(await only('', 'priority: { weight: 2 }\n')).toMatchObject({
      message: expect.stringContaining('no call waits for its turn'),
      fix: expect.stringContaining('add scheduling to the main file'),
    });
  });

  it('a class that the main file does not have, and which may be meant', async () => {
    expect(await only('scheduling: {}\n', 'priority: { classes: [{ class: batsh }] }\n')).toMatchObject({
      message: expect.stringContaining('the main file has no class batsh'),
      fix: expect.stringContaining('did you mean batch?'),
    });
  });

  it('a role that the tenant does not have', async () => {
    expect(
      await only('scheduling: {}\n', 'priority: { classes: [{ class: batch, roles: [nobody-has-it] }] }\n'),
    ).toMatchObject({ message: expect.stringContaining('there is no role nobody-has-it') });
  });
});
