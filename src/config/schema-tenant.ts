/**
 * What a tenant's file may say. Every key has its description here, which is also what the editor shows.
 */
import { z } from 'zod';
import { PROTOCOL_NAMES } from '../inspection/protocols.ts';
import { clientRevocationSchema } from './schema-client-revocation.ts';
import { declaredClaimsSchema, metadataSchema } from './schema-conditions.ts';
import { addressesSchema, apiKeySchema, issuerSchema } from './schema-credentials.ts';
import { tenantDeniedSchema } from './schema-denied.ts';
import { quotaSchema } from './schema-quota.ts';
import { bindingSchema, denySchema, roleSchema } from './schema-roles.ts';
import { prioritySchema } from './schema-scheduling.ts';
import {
  count,
  duration,
  filePath,
  list,
  name,
  problem,
  quote,
  serverName,
  size,
  tenantId,
  text,
} from './schema-values.ts';

const spiffeId = text(
  'a SPIFFE id, or default',
  /^(default|spiffe:\/\/[a-z0-9._-]{1,255}(\/[A-Za-z0-9._-]+)+)$/,
  'spiffe://acme.example/ingress',
  'From the SPIFFE Workload API: the certificate with this id; `default`: the first one that it gives.',
);

const trustDomain = (description: string) =>
  text(
    'a trust domain (lower-case letters, digits, dots, hyphens and underscores)',
    /^[a-z0-9._-]{1,255}$/,
    'acme.example',
    description,
  );

const secret = (files: string) =>
  filePath(`Directory of a mounted Kubernetes secret as cert-manager writes it: ${files}.`);

/** A certificate with its key: in files, in a secret's directory, or from the SPIFFE Workload API. */
const certificate = (description: string) =>
  z
    .strictObject({
      chain: filePath(
        'PEM file with the certificate first and its intermediates after it. Goes with `key`.',
      ).optional(),
      key: filePath('PEM file with the private key, not encrypted. Goes with `chain`.').optional(),
      secret: secret('`tls.crt` and `tls.key`').optional(),
      spiffeId: spiffeId.optional(),
      spiffeHint: name(
        'a hint',
        'From the SPIFFE Workload API: the certificate that its entry gives this hint.',
        1024,
      ).optional(),
    })
    .meta({ description: `${description} One of: \`chain\` and \`key\`, \`secret\`, \`spiffeId\`, \`spiffeHint\`.` });

export { certificate as certificateSchema };

/** A certificate's source as the schema leaves it. */
export type CertificateSource = z.output<ReturnType<typeof certificate>>;

const authorities = (description: string) =>
  z
    .union(
      [
        filePath('PEM file with CA certificates.'),
        z.strictObject({
          secret: secret('`ca.crt`').optional(),
          spiffeBundle: trustDomain(
            'From the SPIFFE Workload API: the certificate authorities of this trust domain, our own or a federated one.',
          ).optional(),
        }),
      ],
      {
        error: (issue) =>
          issue.input === undefined || typeof issue.input === 'object'
            ? undefined
            : problem(
                `${quote(issue.input)} is not a path`,
                'write the path of a file, { secret: DIRECTORY } or { spiffeBundle: trust-domain }',
              ),
      },
    )
    .meta({
      description: `${description} A PEM file, relative to this file or absolute, or one of \`secret\` and \`spiffeBundle\`.`,
    });

export { authorities as authoritiesSchema };

/** The source of certificate authorities as the schema leaves it. */
export type AuthoritiesSource = z.output<ReturnType<typeof authorities>>;

const upstream = z
  .strictObject({
    address: name('an address', '`http://host:port`, `https://host:port` or `unix:/path`.', 1024),
    ca: authorities('CA of the server (https only). Default: the system’s.').optional(),
    clientCertificate: certificate('Certificate that we show to the server (https only).').optional(),
    serverName: name(
      'a name',
      'Name to verify in the server’s certificate (https only). Default: the host.',
    ).optional(),
    spiffeId: text(
      'a SPIFFE id',
      /^spiffe:\/\/[a-z0-9._-]{1,255}(\/[A-Za-z0-9._-]+)+$/,
      'spiffe://platform.example/models',
      'SPIFFE id that the server’s certificate must have (https only). Then no name is verified.',
    ).optional(),
    authority: name('an authority', '`:authority` that the server sees. Default: host and port.').optional(),
    connectTimeout: duration('For connecting, with TLS and the server’s first SETTINGS.', '2s', '10ms', '1m').prefault(
      '2s',
    ),
    maxConnections: count('Connections for this tenant, per worker.', 1, 1024).default(4),
    minConnections: count(
      'Connections that are kept while the tenant has clients, per worker: its first call need not wait for one.',
      0,
      1024,
    ).default(0),
    idleTimeout: duration(
      'A connection beyond minConnections is closed without calls after it.',
      '5m',
      '1s',
      '1d',
    ).prefault('5m'),
    maxPendingCalls: count('Calls that may wait for a connection, per worker.', 0, 1_000_000).default(1024),
    maxConcurrentCalls: count(
      'Calls that may be at the server or wait for it, per worker. Default: as many as come.',
      1,
      1_000_000,
    ).optional(),
    circuit: z
      .strictObject({
        failures: count('Calls in a row that the server fails before it is not asked any more.', 1, 1000).default(5),
        openTime: duration('It is not asked for so long, ± 50 %, doubled each time.', '1s', '10ms', '1h').prefault(
          '1s',
        ),
        maxOpenTime: duration('The longest such time.', '30s', '10ms', '1h').prefault('30s'),
      })
      .prefault({})
      .meta({ description: 'When to stop asking a server that fails.' }),
    healthCheck: z
      .strictObject({
        service: text(
          'a service’s name for grpc.health.v1 (up to 256 visible ASCII characters)',
          /^[\x21-\x7e]{0,256}$/,
          'inference.GRPCInferenceService',
          'The service that the server is asked about. Default: the server as a whole.',
        ).default(''),
        interval: duration('From one answer to the next question, ± 10 %.', '5s', '100ms', '1h').prefault('5s'),
        timeout: duration('For an answer, on a connection that is there.', '1s', '10ms', '1m').prefault('1s'),
        unhealthyThreshold: count(
          'Times in a row without an answer until calls are refused. That it does not serve, a server need say only once.',
          1,
          100,
        ).default(3),
        healthyThreshold: count('Good answers in a row until calls pass again.', 1, 100).default(1),
      })
      .optional()
      .meta({ description: 'Whether to ask the server by grpc.health.v1 if it serves. Default: it is not asked.' }),
  })
  .meta({ description: 'The model server.' });

export { upstream as upstreamSchema };

/** An upstream as the schema leaves it. */
export type UpstreamSource = z.output<typeof upstream>;

const fieldPath = (description: string) =>
  text(
    'a field path (names joined by dots)',
    /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,15}$/,
    'spec.model_name',
    description,
  ).optional();

const protoset = z
  .strictObject({
    file: filePath('FileDescriptorSet of the services, with all that they import (protoc --include_imports).'),
    methods: list(
      z.strictObject({
        method: text(
          'a method (package.Service/Method)',
          /^[A-Za-z_][A-Za-z0-9_.]*\/[A-Za-z_][A-Za-z0-9_]*$/,
          'acme.v1.Scoring/Score',
          'A method. Others of its service are not let through.',
        ),
        model: fieldPath(
          'Field of the request that names the model (dataset, resource): a string or an integer. Default: it names none, and no role’s models bound it.',
        ),
        version: fieldPath('Field of the request that names the version. Default: it is left open.'),
        sensitive: z
          .boolean()
          .default(false)
          .meta({ description: 'Only a role that names the method has it; package.Service/* does not include it.' }),
      }),
      'Methods that may be called.',
      256,
    ).min(1, problem('is empty', 'list at least one method, or remove protoset')),
  })
  .meta({ description: 'Further gRPC services, read by their descriptors.' });

export const tenantSchema = z
  .strictObject({
    tenant: tenantId,
    serverNames: list(
      serverName,
      'Names that this tenant’s clients connect to (TLS SNI), exact. Needed unless `identifiedBy` says how else they are known.',
    ).default([]),
    certificate: certificate(
      'The server certificate that this tenant’s clients see. Default, with `identifiedBy`: that of `listen.shared`.',
    ).optional(),
    clientCa: authorities('The CA certificates that sign this tenant’s clients.'),
    trustDomain: trustDomain(
      'Client certificates must have a SPIFFE id of this trust domain. Default: that of `clientCa.spiffeBundle`, else any name under the client CA.',
    ).optional(),
    identifiedBy: z
      .strictObject({
        spiffe: list(
          text(
            'a SPIFFE id, or all below a path (spiffe://domain/path/*)',
            /^spiffe:\/\/[a-z0-9._-]{1,255}(\/([A-Za-z0-9._-]|\{tenant\})+)*(\/\*)?$/,
            'spiffe://mesh.example/tenant/{tenant}/*',
            'A SPIFFE id, or with /* all ids below it; {tenant} is the tenant’s id.',
          ),
          'SPIFFE ids that its clients’ certificates have, and no other tenant’s.',
          64,
        )
          .min(1, problem('is empty', 'name at least one SPIFFE id'))
          .optional(),
        clientCa: z.literal(true).optional().meta({
          description: 'Whoever a CA of `clientCa` has signed; no other tenant may have that CA.',
        }),
      })
      .optional()
      .meta({
        description:
          'How its clients are known by their certificates where they connect without a server name of the tenant’s (`listen.shared`). One of `spiffe` and `clientCa`.',
      }),
    accept: list(
      z.enum(['certificate', 'token', 'api-key']),
      'Which credentials suffice; the certificate is verified in any case. Default: tokens and API keys, if there are issuers and keys below, else the certificate.',
      3,
    )
      .min(1, problem('is empty', 'name at least one: certificate, token, api-key'))
      .optional(),
    addresses: addressesSchema(
      'Addresses that this tenant’s clients may call from, as the connection has them. Default: any.',
    ).optional(),
    deniedAddresses: addressesSchema(
      'Addresses that this tenant’s clients may not call from, also when `addresses` has them. Default: none.',
    ).optional(),
    issuers: list(issuerSchema, 'Who issues this tenant’s tokens.', 32).default([]),
    apiKeys: list(apiKeySchema, 'This tenant’s API keys, as hashes.', 10_000).default([]),
    clientRevocation: clientRevocationSchema.optional(),
    denied: tenantDeniedSchema.optional(),
    roles: list(roleSchema, 'What may be called.').default([]),
    bindings: list(bindingSchema, 'Who has which role.', 10_000).default([]),
    denyRules: list(denySchema, 'What is refused, whatever roles allow.').default([]),
    claims: declaredClaimsSchema.optional(),
    metadata: metadataSchema.default([]),
    quota: quotaSchema.prefault({}),
    priority: prioritySchema.optional(),
    lease: duration(
      'The longest that one call may run on one authentication; its client then calls again. Default: as long as its credentials are good.',
      '15m',
      '1s',
      '30d',
    ).optional(),
    byteAccount: size('Hard limit of this tenant’s bytes in flight.', '64MiB', '256KiB', '1024GiB').prefault('64MiB'),
    upstream,
    trace: z
      .strictObject({
        clientContext: z.enum(['link', 'parent']).default('link').meta({
          description: 'Whether a client’s traceparent is a link of our span, or its parent (trusted clients only).',
        }),
      })
      .prefault({})
      .meta({ description: 'Tracing.' }),
    protocols: list(
      z.enum(PROTOCOL_NAMES),
      'What the model server speaks: `triton` (KServe V2 with Triton’s extension), `kserve` (KServe’s own server), `tensorflow-serving`, `torchserve`, `vllm`. Default: triton.',
      PROTOCOL_NAMES.length,
    ).default(['triton']),
    namespaces: z.enum(['on', 'off']).optional().meta({
      description:
        'Whether this tenant’s request ids, and on Triton its sequence ids and shared memory regions, are kept apart from other tenants’ on the model server (`triton`, `kserve`, `torchserve`, `vllm`). Default: on.',
    }),
    sharedMemoryKeys: list(
      text(
        'the beginning of a shared memory object’s name (visible ASCII without /, at most 64)',
        /^[\x21-\x2e\x30-\x7e]{1,64}$/,
        'acme-',
        'Beginning of a name, without the slash in front of it.',
      ),
      'Shared memory objects of the host that this tenant may register (`key` of SystemSharedMemoryRegister). Default: those that begin with its id and a dot.',
      16,
    )
      .min(1, problem('is empty', 'name at least one beginning, or remove it'))
      .optional(),
    model: name('a model', 'The server’s only model, for a protocol whose requests name none (`vllm`).').optional(),
    protoset: protoset.optional(),
    services: list(
      text('a service (package.Service)', /^[A-Za-z_][A-Za-z0-9_.]*$/, 'grpc.health.v1.Health', 'A service.'),
      'Further gRPC services that are passed through without reading their messages.',
      256,
    ).default([]),
  })
  .meta({ title: 'Bulkhead tenant', description: 'One tenant of Bulkhead.' });

/** A tenant's file as the schema leaves it. */
export type TenantSource = z.output<typeof tenantSchema>;
