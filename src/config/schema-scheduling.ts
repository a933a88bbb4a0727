/**
 * What may be said of who goes first: in the main file for all tenants, in a tenant's file for its own calls.
 */
import { z } from 'zod';
import { MAX_CLASSES } from '../kernel/priority.ts';
import { count, duration, list, name, problem, text } from './schema-values.ts';

const className = (description: string) =>
  text(
    'a class (lower-case letters, digits and hyphens, at most 40)',
    /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/,
    'batch',
    description,
  );

export const schedulingSchema = z
  .strictObject({
    concurrentCalls: count(
      'Calls at the model server at once, of all tenants and workers together. Default: only `quota.concurrentCalls` of each tenant counts.',
      1,
      1_000_000,
    ).optional(),
    maxQueuedCalls: count(
      'Calls that wait for their turn, of all tenants and workers. No tenant may have more than is left for the others.',
      1,
      100_000,
    ).default(1024),
    maxQueuedCallsPerTenant: count('Of those, how many one tenant may have.', 1, 100_000).default(256),
    maxWait: duration('A call waits no longer for its turn, whatever its deadline.', '10s', '10ms', '1h').prefault(
      '10s',
    ),
    classes: list(
      z.strictObject({
        name: className('The class’s name, for `priority` in tenants’ files.'),
        weight: count('How many of its calls go for one of a class of weight 1, within one tenant.', 1, 1000),
      }),
      'Classes of calls; the first is what calls are in by default. Default: interactive (8) and batch (1).',
      MAX_CLASSES,
    )
      .min(1, problem('is empty', 'name at least one class, or remove it'))
      .default([
        { name: 'interactive', weight: 8 },
        { name: 'batch', weight: 1 },
      ]),
  })
  .meta({
    description:
      'Calls that find no place at the model server wait for their turn, shared between tenants and classes by weight. Default: they are refused.',
  });

export const prioritySchema = z
  .strictObject({
    weight: count('This tenant’s share beside other tenants’, when all have calls waiting.', 1, 1000).default(1),
    class: className(
      'Class of calls that no entry of `classes` is about. Default: the first of the main file.',
    ).optional(),
    classes: list(
      z.strictObject({
        class: className('A class of the main file.'),
        methods: list(name('a pattern', 'Methods, as package.Service/Method (`*` within a name).'), 'Methods.', 64)
          .min(1, problem('is empty', 'name at least one, or remove the key for all'))
          .optional(),
        roles: list(name('a role', 'A role.'), 'Roles by which a call is allowed.', 64)
          .min(1, problem('is empty', 'name at least one, or remove the key for all'))
          .optional(),
      }),
      'Which calls are in which class; the first entry that is about a call counts.',
      64,
    ).default([]),
  })
  .meta({ description: 'This tenant’s calls where calls wait for their turn (`scheduling` in the main file).' });

export type SchedulingSource = z.output<typeof schedulingSchema>;
export type PrioritySource = z.output<typeof prioritySchema>;
