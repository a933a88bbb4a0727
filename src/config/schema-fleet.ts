/**
 * What the main file may say of limits that hold over several sidecars.
 */
import { z } from 'zod';
import {
  count,
  duration,
  filePath,
  keyPairSchema,
  list,
  percentage,
  problem,
  serverName,
  text,
} from './schema-values.ts';

const address = text(
  'a host and a port',
  /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/,
  'redis.internal:6379',
  'Host and port.',
);

const redis = z
  .strictObject({
    addresses: list(
      address,
      'Where it is. Without `cluster`: places of one server, of which the first is used that can be written to. With it: some of its nodes.',
      16,
    ).min(1, problem('is empty', 'name at least one')),
    cluster: z.boolean().default(false).meta({ description: 'Whether it is a cluster.' }),
    protocol: z
      .union([z.literal(2), z.literal(3)], { error: () => problem('is neither 2 nor 3', 'write 2 or 3') })
      .default(3)
      .meta({ description: 'Version of the protocol (RESP); 2 for old proxies.' }),
    database: count('Number of the database; 0 in a cluster.', 0, 1_023).default(0),
    username: text(
      'a user’s name (printable ASCII, no spaces)',
      /^[\x21-\x7e]{1,256}$/,
      'bulkhead',
      'User of its access control list. Default: its default user.',
    ).optional(),
    passwordFile: filePath('File with the user’s password.').optional(),
    tls: z
      .strictObject({
        ca: filePath('PEM file with its CA. Default: the system’s.').optional(),
        serverName: serverName
          .optional()
          .meta({ description: 'Name that its certificate is for. Default: the host’s.' }),
        clientCertificate: keyPairSchema('Certificate that we show to it.').optional(),
      })
      .optional()
      .meta({ description: 'TLS; `{}` with the system’s CAs. Default: none.' }),
  })
  .meta({ description: 'Redis 6 or newer, or Valkey.' });

export const fleetSchema = z
  .strictObject({
    redis,
    namespace: text(
      'a name (lower-case letters, digits and hyphens, at most 40)',
      /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/,
      'bulkhead',
      'Before all keys there. Sidecars with the same one share their limits.',
    ).default('bulkhead'),
    saltFile: filePath(
      'File with a secret that all of them have: names of tenants and callers are hashed with it. Default: hashed without one, so that whoever reads the store can test guesses.',
    ).optional(),
    localShare: percentage
      .prefault('10%')
      .meta({ description: 'Part of each limit that this sidecar may use while the store is away.' }),
    lease: duration(
      'What is leased and not used is the others’ again after it; so long the store may be away unnoticed.',
      '5s',
      '1s',
      '1m',
    ).prefault('5s'),
    timeout: duration('For one answer of the store.', '250ms', '10ms', '10s').prefault('250ms'),
  })
  .meta({ description: 'Where sidecars count limits of `scope: fleet` together.' });

/** The section as the schema leaves it. */
export type FleetSource = z.output<typeof fleetSchema>;
