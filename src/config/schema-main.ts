/**
 * What the main file may say. The reason for every default stands in `manual/defaults.md`.
 */
import { z } from 'zod';
import { isNeverFetched } from '../fetching/address-rules.ts';
import { addressesSchema } from './schema-credentials.ts';
import { revocationSchema } from './schema-denied.ts';
import { egressSchema, MAX_EGRESS_LISTENERS } from './schema-egress.ts';
import { fleetSchema } from './schema-fleet.ts';
import { MAX_ORGANISATIONS, organisationSchema } from './schema-quota.ts';
import { schedulingSchema } from './schema-scheduling.ts';
import { certificateSchema } from './schema-tenant.ts';
import {
  count,
  discreet,
  duration,
  filePath,
  keyPairSchema,
  list,
  name,
  percentage,
  problem,
  quote,
  serverName,
  size,
  socketAddress,
  timeShare,
} from './schema-values.ts';

const limits = z
  .strictObject({
    handshakeTimeout: duration('For the TLS handshake and the HTTP/2 preface.', '10s', '100ms', '2m').prefault('10s'),
    maxConnections: count('Connections per worker, of all tenants.', 1, 1_000_000).default(10_000),
    maxConnectionsPerTenant: count('Connections per worker, of one tenant.', 1, 1_000_000).default(5_000),
    maxConnectionsPerAddress: count('Connections per worker, of one peer address.', 1, 1_000_000).default(5_000),
    maxHandshakes: count(
      'TLS handshakes in progress per worker; beyond it the oldest of the address (of IPv6: the network of 64 bits) with the most gives way.',
      1,
      1_000_000,
    ).default(1_000),
    handshakeShare: timeShare.prefault('20%').meta({
      description:
        'Of a worker’s time, what the beginnings of handshakes, with our signatures, may take while calls run. From 1% to 100%.',
    }),
    coolOff: duration(
      'A client that broke the protocol or a limit of its connection may connect again after it. By tenant and address.',
      '1s',
      '0s',
      '10m',
    ).prefault('1s'),
    idleTimeout: duration('A connection without calls is closed after it.', '15m', '1s', '1d').prefault('15m'),
    maxConnectionAge: duration(
      'A connection is asked to end at this age, ± 10 %, and its client connects anew. Default: at none.',
      '1h',
      '1s',
      '365d',
    ).optional(),
    maxConnectionAgeGrace: duration(
      'Calls that run on a connection of maxConnectionAge are cut after it. Default: never.',
      '5m',
      '0s',
      '1d',
    ).optional(),
    keepalive: z
      .strictObject({
        minTime: duration(
          'PINGs of a client that come sooner, with nothing sent to it in between, end its connection at the third.',
          '5s',
          '10ms',
          '2h',
        ).prefault('5s'),
        permitWithoutCalls: z
          .boolean()
          .default(true)
          .meta({ description: 'Whether a client may send them while it has no calls.' }),
      })
      .prefault({})
      .meta({ description: 'How often clients may send PINGs for keepalive.' }),
    maxDeadline: duration(
      'Calls without a deadline, or with a later one, get this one. Default: calls keep theirs, or none.',
      '10m',
      '10ms',
      '1d',
    ).optional(),
    maxConcurrentStreams: count('Calls at once on one connection.', 1, 65_535).default(256),
    maxHeaderList: size('Uncompressed headers of one call.', '16KiB', '1KiB', '1MiB').prefault('16KiB'),
    streamWindow: size('HTTP/2 window of one call.', '256KiB', '64KiB', '16MiB').prefault('256KiB'),
    connectionWindow: size('HTTP/2 window of one connection.', '1MiB', '64KiB', '256MiB').prefault('1MiB'),
    maxMessage: size('One gRPC message.', '1GiB', '1KiB', '3GiB').prefault('1GiB'),
    maxInflated: size('What one gzip message may inflate to.', '64MiB', '1KiB', '3GiB').prefault('64MiB'),
    workerHeap: size(
      'Heap of one worker, beside the buffers of its calls. A worker that runs out of it ends, alone, and is replaced.',
      '1GiB',
      '64MiB',
      '64GiB',
    ).prefault('1GiB'),
    maxHeld: z
      .union([z.literal('auto'), size('A size.', '512MiB', '64MiB', '1024GiB')], {
        error: (issue) =>
          issue.input === undefined
            ? undefined
            : problem(
                `${quote(issue.input)} is not a size from 64MiB to 1024GiB`,
                'write auto, or a size, for example 512MiB',
              ),
      })
      .prefault('auto')
      .meta({
        description:
          'Memory that all tenants together may make the process hold; `auto`: half of what its container may use, or a quarter of the machine’s, and no more than half of all workers’ heaps. From 64MiB to 1024GiB.',
      }),
  })
  .meta({ description: 'Limits of every connection and call.' });

const audit = z
  .strictObject({
    directory: filePath('Directory of the audit log; made when it is not there.'),
    segmentSize: size('One segment file.', '64MiB', '1MiB', '1GiB').prefault('64MiB'),
    maxSize: size('All segments together.', '1GiB', '2MiB', '1024GiB').prefault('1GiB'),
    whenFull: z
      .enum(['refuse', 'drop'])
      .default('refuse')
      .meta({ description: 'With a full log: refuse calls, or drop their records.' }),
  })
  .meta({ description: 'The audit log.' });

const usage = z
  .strictObject({
    keepHourly: duration('What was used is kept by the hour so long, in whole days.', '35d', '1d', '400d').prefault(
      '35d',
    ),
    keepDaily: duration('And after that by the day so long.', '400d', '1d', '3650d').prefault('400d'),
    maxRows: count(
      'Rows of one tenant in one hour, callers by models. Beyond it, calls are added to rows for other callers.',
      1,
      10_000,
    ).default(1_000),
  })
  .meta({ description: 'What each tenant has used; made of the audit log, and kept below its directory.' });

const otlp = z
  .strictObject({
    endpoint: name(
      'a URL',
      '`http(s)://host:port` of the collector. Default: OTEL_EXPORTER_OTLP_ENDPOINT.',
      2048,
    ).optional(),
    protocol: z
      .enum(['grpc', 'http/protobuf'])
      .optional()
      .meta({ description: 'Default: OTEL_EXPORTER_OTLP_PROTOCOL, else http/protobuf.' }),
    headers: z
      .record(
        z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$/, problem('is no header name', 'write a header name')),
        discreet('is no header value', 'write printable ASCII, in quotes', /^[\x20-\x7e]{0,8192}$/, 'Value.'),
      )
      .optional()
      .meta({ description: 'Sent with every export. Default: OTEL_EXPORTER_OTLP_HEADERS.' }),
    ca: filePath('PEM file with the CA of the collector (https only). Default: the system’s.').optional(),
    clientCertificate: keyPairSchema('Certificate that we show to the collector (https only).').optional(),
    timeout: duration('For one export.', '10s', '100ms', '5m').prefault('10s'),
  })
  .meta({ description: 'Where traces and audit records are exported to (OTLP).' });

const telemetry = z
  .strictObject({
    serviceName: name('a name', 'Default: OTEL_SERVICE_NAME, else bulkhead.').optional(),
    traces: z
      .strictObject({
        sample: percentage
          .prefault('100%')
          .meta({ description: 'Share of allowed calls that are traced; refused ones always are.' }),
      })
      .prefault({})
      .meta({ description: 'Traces.' }),
    usage: z
      .strictObject({
        interval: duration('The sums are sent so often.', '60s', '1s', '1h').prefault('60s'),
      })
      .optional()
      .meta({
        description:
          'Usage of each tenant as OTLP metrics. Default: not sent; a collector needs a pipeline for metrics.',
      }),
    otlp: otlp.optional(),
  })
  .meta({ description: 'Traces, metrics and their export.' });

const fetching = z
  .strictObject({
    allowAddresses: addressesSchema(
      'IP addresses that documents may be fetched from although they are not public: an issuer in the cluster, say. Never metadata services and multicast.',
    )
      .refine((ranges) => !ranges.some(isNeverFetched), {
        error: () =>
          problem(
            'names an address that nothing is ever fetched from',
            'remove link-local, metadata, unspecified and multicast addresses',
          ),
      })
      .optional(),
  })
  .meta({ description: 'Documents that the sidecar fetches for itself, such as key sets of issuers.' });

const spiffe = z
  .strictObject({
    workloadApi: name(
      'a socket',
      'Socket of the SPIFFE Workload API: `unix:/path` or `tcp://127.0.0.1:port`. Default: SPIFFE_ENDPOINT_SOCKET.',
      1024,
    ).optional(),
    startTimeout: duration(
      'The start, or a change that asks the API for something new, waits for its answer so long.',
      '30s',
      '1s',
      '10m',
    ).prefault('30s'),
  })
  .meta({ description: 'Where certificates and authorities come from that are named by `spiffe…` keys.' });

export const mainSchema = z
  .strictObject({
    listen: z
      .strictObject({
        address: socketAddress,
        minTlsVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.3').meta({ description: 'Lowest TLS version.' }),
        proxyProtocol: z
          .strictObject({
            from: addressesSchema('Addresses of the load balancers, as their connections have them.'),
          })
          .optional()
          .meta({
            description:
              'Load balancers before it say whose connection each is, by PROXY protocol version 2: every connection has to come from one of them, and to say so. Default: nobody is before it.',
          }),
        shared: z
          .strictObject({
            certificate: certificateSchema('The server certificate that is shown.'),
            serverNames: list(
              serverName,
              'Names (TLS SNI) that are no tenant’s, under which clients of any tenant may come. Who sends no name may, in any case.',
            ).default([]),
          })
          .optional()
          .meta({
            description:
              'For tenants that are known by their clients’ certificates alone (`identifiedBy` in their files). Default: a server name of a tenant’s is needed.',
          }),
      })
      .meta({ description: 'Where tenants connect to. Absent in a sidecar that only calls out (egress).' })
      .optional(),
    admin: z
      .strictObject({ address: socketAddress })
      .prefault({ address: '127.0.0.1:9901' })
      .meta({ description: 'Where metrics, health and the admin API are served.' }),
    workers: z
      .union([z.literal('auto'), count('Threads.', 1, 64)], {
        error: (issue) =>
          issue.input === undefined
            ? undefined
            : problem(`${quote(issue.input)} is not a number of workers`, 'write auto, or a number from 1 to 64'),
      })
      .default('auto')
      .meta({ description: 'Data-plane threads; `auto`: the cores that it may use, at most 4.' }),
    limits: limits.prefault({}),
    fetching: fetching.prefault({}),
    revocation: revocationSchema.prefault({}),
    audit,
    usage: usage.prefault({}),
    telemetry: telemetry.prefault({}),
    shutdown: z
      .strictObject({
        drainTimeout: duration('Running calls may finish within it.', '30s', '0s', '1h').prefault('30s'),
      })
      .prefault({})
      .meta({ description: 'How it ends.' }),
    log: z
      .strictObject({
        level: z
          .enum(['debug', 'info', 'warn', 'error'])
          .default('info')
          .meta({ description: 'Least severe line that is written.' }),
      })
      .prefault({})
      .meta({ description: 'The process’s own log.' }),
    spiffe: spiffe.prefault({}),
    tenants: filePath(
      'Directory with one file per tenant: every *.yaml in it. Goes with `listen`, and is absent without it.',
    ).optional(),
    organisations: list(
      organisationSchema,
      'Groups of tenants that share limits beside their own.',
      MAX_ORGANISATIONS,
    ).default([]),
    fleet: fleetSchema.optional(),
    scheduling: schedulingSchema.optional(),
    egress: z
      .array(egressSchema)
      .max(MAX_EGRESS_LISTENERS, problem(`has more than ${MAX_EGRESS_LISTENERS} entries`, 'use fewer listeners'))
      .default([])
      .meta({ description: 'Loopback listeners through which this pod’s own programs call out, each as one tenant.' }),
  })
  .meta({ title: 'Bulkhead', description: 'Main file of Bulkhead.' });

/** The main file as the schema leaves it. */
export type MainSource = z.output<typeof mainSchema>;
