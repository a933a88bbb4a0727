/**
 * What the main file may say of an egress listener: the door through which this pod's own programs call out as a tenant.
 */
import { z } from 'zod';
import { certificateSchema, upstreamSchema } from './schema-tenant.ts';
import { name, size, tenantId } from './schema-values.ts';

/** Each is a socket in every worker. */
export const MAX_EGRESS_LISTENERS = 64;

export const egressSchema = z.strictObject({
  listen: name(
    'an address',
    'Where the programs of this pod call: `127.0.0.1:port`, `[::1]:port` or `unix:/path`.',
    1024,
  ),
  tenant: tenantId.meta({ description: 'The tenant in whose name the calls go out, for records and metrics.' }),
  byteAccount: size('Hard limit of this listener’s bytes in flight.', '64MiB', '256KiB', '1024GiB').prefault('64MiB'),
  // An ingress would take a health check for a call of the tenant's; it asks the model server itself, and says UNAVAILABLE.
  upstream: upstreamSchema
    .omit({ healthCheck: true })
    .extend({
      address: name('an address', '`https://host:port`.', 1024),
      clientCertificate: certificateSchema('The tenant’s client certificate, which the ingress asks for.'),
      authority: name('an authority', '`:authority` that the ingress sees. Default: the server name.').optional(),
    })
    .meta({ description: 'The ingress sidecar that the calls go to.' }),
});

/** An egress listener as the schema leaves it. */
export type EgressSource = z.output<typeof egressSchema>;
