/**
 * What a deny list may say: credentials that are refused from now on, and whose running streams end.
 */
import { z } from 'zod';
import { filePath, list, name, text, timestamp } from './schema-values.ts';

/** What an entry may name. */
export const DENIED_KINDS = ['serial', 'spiffe', 'key', 'subject', 'session'] as const;

/** Entries of one list. */
export const MAX_DENIED = 10_000;

const deniedSchema = z.strictObject({
  serial: text(
    'a serial number (hex, in quotes)',
    /^(?:[0-9A-Fa-f]{1,40}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,19})$/,
    '"01AB23"',
    'Serial number of a client certificate.',
  ).optional(),
  spiffe: name('a SPIFFE id', 'SPIFFE id of client certificates.', 2048).optional(),
  key: name('an API key’s id', 'Id of an API key.', 64).optional(),
  subject: name('a subject', '`sub` of tokens.').optional(),
  session: name('a session', '`sid` or `jti` of tokens.').optional(),
  issuer: name(
    'an issuer',
    'Whose serial number, subject or session it is: the CA’s name (`CN=acme CA`), or `iss`. Default: anybody’s.',
    2048,
  ).optional(),
  until: timestamp.optional().meta({ description: 'The entry means nothing after it. Default: it stays.' }),
});

/** An entry as the schema leaves it. */
export type DeniedSource = z.output<typeof deniedSchema>;

/** The list in a tenant's file. */
export const tenantDeniedSchema = list(
  deniedSchema,
  'Credentials of this tenant that are refused from now on, and whose running streams end within a second.',
  MAX_DENIED,
);

/** A file of its own. */
export const denyListSchema = z
  .strictObject({
    denied: list(deniedSchema, 'Credentials of any tenant that are refused from now on.', MAX_DENIED).default([]),
  })
  .meta({ title: 'Bulkhead deny list', description: 'Credentials that are refused, whichever tenant they are of.' });

/** Of the main file. */
export const revocationSchema = z
  .strictObject({
    denyList: filePath('File with credentials that are refused, whichever tenant they are of.').optional(),
  })
  .meta({ description: 'What is revoked for all tenants.' });
