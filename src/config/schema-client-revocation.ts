/**
 * What a tenant's file may say of how its CAs take certificates back.
 */
import { z } from 'zod';
import { duration, filePath, list, name } from './schema-values.ts';

const crl = z
  .strictObject({
    files: list(
      filePath('Revocation lists (RFC 5280) of the CAs in clientCa: PEM, or one in DER.'),
      'Files with revocation lists.',
      16,
    ).default([]),
    urls: list(
      z.strictObject({
        url: name('a URL', 'https URL of revocation lists (http with allowHttp, or on loopback).', 2048),
        allowHttp: z.boolean().default(false).meta({
          description:
            'Fetch by http, too: lists are signed, so that who is in between can keep them back until they end, and not change them.',
        }),
        ca: filePath('PEM file with the CA of the URL’s server. Default: the system’s.').optional(),
      }),
      'Where revocation lists are fetched from.',
      16,
    ).default([]),
    refresh: duration(
      'How often lists are fetched again, ± 10 %; sooner when one ends sooner.',
      '5m',
      '10s',
      '1d',
    ).prefault('5m'),
    grace: duration('A list counts for so long after its nextUpdate.', '1h', '0s', '30d').prefault('0s'),
    whenUnknown: z.enum(['refuse', 'allow']).default('refuse').meta({
      description: 'What becomes of clients whose CA has no list that counts: none yet, or one that has ended.',
    }),
  })
  .meta({ description: 'Certificate revocation lists.' });

const ocsp = z
  .strictObject({
    responder: z
      .strictObject({
        url: name('a URL', 'https URL of the responder (http with allowHttp, or on loopback).', 2048),
        allowHttp: z.boolean().default(false).meta({
          description:
            'Ask by http, too: answers are signed, so that who is in between can keep them back, and learn who connects, and not change them.',
        }),
        ca: filePath('PEM file with the CA of the responder’s server. Default: the system’s.').optional(),
      })
      .optional()
      .meta({ description: 'Who is asked about all clients, instead of whom their certificates name.' }),
    fromCertificate: z.boolean().default(false).meta({
      description: 'Ask whom the client’s certificate names (authorityInfoAccess), by http as well.',
    }),
    timeout: duration(
      'How long one question may take; a connection waits no longer for its answer.',
      '3s',
      '100ms',
      '30s',
    ).prefault('3s'),
    maxAge: duration('An answer is used for no longer than so, whatever it says.', '1h', '1s', '7d').prefault('1h'),
    whenUnknown: z.enum(['refuse', 'allow']).default('refuse').meta({
      description: 'What becomes of clients of whom nobody says anything that counts: no answer, or “unknown”.',
    }),
    hash: z.enum(['sha1', 'sha256']).default('sha1').meta({
      description: 'How the CA is named in the question (RFC 5019: by SHA-1, which is all that many responders know).',
    }),
    nonce: z.boolean().default(false).meta({
      description: 'Ask for an answer made just now. Responders that make theirs in advance do not have it.',
    }),
  })
  .meta({ description: 'Online Certificate Status Protocol (RFC 6960).' });

export const clientRevocationSchema = z
  .strictObject({ crl: crl.optional(), ocsp: ocsp.optional() })
  .meta({ description: 'How certificates of this tenant’s clients are taken back before they end.' });

/** As the schema leaves it. */
export type ClientRevocationSource = z.output<typeof clientRevocationSchema>;
