/**
 * What a condition may speak of: every attribute, with its type and what it depends on. There is nothing else: no header that the
 * tenant's file does not name, no credential, nothing of the process.
 */

/** Types as the file and the manual write them. */
export type AttributeType = 'string' | 'strings' | 'bool' | 'int' | 'timestamp' | 'texts by name';

/**
 * How long a value stands. A condition is decided once for all that it depends on: by the caller and the method as long as the
 * credential, by the model as long as that too, by the rest for each call anew.
 */
export type Dependence = 'caller' | 'model' | 'call';

export interface Attribute {
  readonly type: AttributeType;
  readonly dependsOn: Dependence;
  /** Absent where there is none, and then an error to whoever reads it; else it is empty. */
  readonly optional: boolean;
  readonly description: string;
}

const attribute = (type: AttributeType, dependsOn: Dependence, description: string, optional = false): Attribute => ({
  ...{ type, dependsOn, optional, description },
});

export const CALLER_ATTRIBUTES: Readonly<Record<string, Attribute>> = {
  tenant: attribute('string', 'caller', 'The tenant’s id.'),
  id: attribute('string', 'caller', '`token:<sub>`, `key:<id>` or `cert:<name>`, as in records.'),
  kind: attribute('string', 'caller', '`token`, `api-key` or `certificate`: the strongest that was presented.'),
  subject: attribute('string', 'caller', '`sub` of the token; empty without one.'),
  issuer: attribute('string', 'caller', '`iss` of the token; empty without one.'),
  key_id: attribute('string', 'caller', 'Id of the API key; empty without one.'),
  certificate_id: attribute('string', 'caller', '`spiffe://…` or `dns:…` of the client certificate.'),
  scopes: attribute('strings', 'caller', 'Scopes of the token, or without one of the API key.'),
  acr: attribute('string', 'caller', 'Authentication context class of the token; empty without one.'),
  amr: attribute('strings', 'caller', 'How the token’s subject signed in (RFC 8176).'),
  auth_time: attribute(
    'timestamp',
    'caller',
    'When the token’s subject signed in; absent when no token says it.',
    true,
  ),
};

export const CALL_ATTRIBUTES: Readonly<Record<string, Attribute>> = {
  method: attribute('string', 'caller', '`package.Service/Method`.'),
  service: attribute('string', 'caller', '`package.Service`.'),
  model: attribute('string', 'model', 'The model as the request names it; absent when it names none.', true),
  version: attribute('string', 'model', 'Its version as the request names it; absent when it is left open.', true),
  address: attribute('string', 'call', 'IP address that the connection comes from; IPv4 is IPv4.'),
  server_name: attribute('string', 'call', 'Server name (TLS SNI) that the connection asked for, in lower case.'),
  time: attribute('timestamp', 'call', 'When the call began, by the sidecar’s clock, to the millisecond.'),
  metadata: attribute(
    'texts by name',
    'call',
    'Request headers that `metadata` in the tenant’s file names, as `call.metadata["x-…"]`. Absent when the call has none of the name.',
    true,
  ),
};

/** Of a claim that the tenant's file declares. */
export type ClaimType = 'string' | 'strings' | 'bool' | 'int';

/** What of the tenant's file a condition may speak of besides. */
export interface Declared {
  /** Claims by their name in conditions. */
  readonly claims: Readonly<Record<string, ClaimType>>;
  /** Header names, lower case. */
  readonly metadata: readonly string[];
}

export const NOTHING_DECLARED: Declared = { claims: {}, metadata: [] };

/** Members of a list that a condition may look at; a longer one makes it fail. Bounds what `exists` and `all` cost. */
export const MAX_LIST_MEMBERS = 256;

export class CallerAttributes {
  tenant = '';
  id = '';
  kind = '';
  subject = '';
  issuer = '';
  key_id = '';
  certificate_id = '';
  scopes: readonly string[] = [];
  acr = '';
  amr: readonly string[] = [];
  auth_time: object | undefined;
}

export class CallAttributes {
  method = '';
  service = '';
  model: string | undefined;
  version: string | undefined;
  address = '';
  server_name = '';
  time: object | undefined;
  metadata: Readonly<Record<string, string | undefined>> = {};
}
