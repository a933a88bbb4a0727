/**
 * The JSON Schemas of the configuration files, for editors and for whoever generates such files.
 */
import { z } from 'zod';
import { denyListSchema } from './schema-denied.ts';
import { mainSchema } from './schema-main.ts';
import { tenantSchema } from './schema-tenant.ts';

export type FileKind = 'main' | 'tenant' | 'deny-list';

const SCHEMAS = { main: mainSchema, tenant: tenantSchema, 'deny-list': denyListSchema } as const;

/** The JSON Schema (draft 7, which editors know best) of a kind of file. */
export function jsonSchema(kind: FileKind): z.core.JSONSchema.JSONSchema {
  return z.toJSONSchema(SCHEMAS[kind], { io: 'input', target: 'draft-7' });
}
