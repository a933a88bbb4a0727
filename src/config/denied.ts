/**
 * From the entries of a deny list, in a tenant's file or in one of its own, to what is compared with credentials.
 */
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import type { DeniedCredential } from './credentials-config.ts';
import type { YamlDocument } from './document.ts';
import type { FileScope } from './file-scope.ts';
import { type Finding, formatPath, type ValuePath } from './finding.ts';
import { checkSchema } from './schema-check.ts';
import { DENIED_KINDS, type DeniedSource, denyListSchema } from './schema-denied.ts';
import type { TenantSource } from './schema-tenant.ts';

/** The deny list of a tenant's file. `displayFile` is how records name it. */
export function buildDenied(
  scope: FileScope,
  source: TenantSource,
  trustDomain: string | undefined,
  displayFile: string,
): readonly DeniedCredential[] {
  const built: DeniedCredential[] = [];
  const known: Known = {
    keys: new Set(source.apiKeys.map(({ id }) => id)),
    issuers: new Set(source.issuers.map(({ issuer }) => issuer)),
    trustDomain,
  };
  for (const [index, entry] of (source.denied ?? []).entries()) {
    const path = ['denied', index];
    const denied = credentialOf(entry, lineOf(scope.document, path, displayFile));
    if (typeof denied === 'string') {
      scope.report({ path }, denied, FIX);
      continue;
    }
    const idle = whyIdle(denied, known);
    if (idle !== undefined) scope.report({ path }, idle, 'correct it, or remove it', 'warning');
    built.push(denied);
  }
  return built;
}

/** What a tenant's own entries can be about. */
interface Known {
  readonly keys: ReadonlySet<string>;
  readonly issuers: ReadonlySet<string>;
  readonly trustDomain: string | undefined;
}

/** Why an entry of a tenant's own list refuses nobody: a slip of the pen, most likely. */
function whyIdle({ kind, value, issuer }: DeniedCredential, known: Known): string | undefined {
  if (kind === 'key' && !known.keys.has(value)) return `there is no API key ${value} of this tenant`;
  if ((kind === 'subject' || kind === 'session') && issuer !== undefined && !known.issuers.has(issuer)) {
    return `${issuer} is no issuer of this tenant`;
  }
  const isElsewhere = known.trustDomain !== undefined && parseSpiffeId(value)?.trustDomain !== known.trustDomain;
  return kind === 'spiffe' && isElsewhere
    ? `${value} is not of the trust domain ${known.trustDomain ?? ''}`
    : undefined;
}

/** A file that is a deny list and nothing else. `document` is that file. */
export function buildDenyList(document: YamlDocument): {
  readonly denied: readonly DeniedCredential[];
  readonly findings: readonly Finding[];
} {
  const checked = checkSchema(document, denyListSchema, 'deny-list');
  const findings = [...checked.findings];
  const denied: DeniedCredential[] = [];
  for (const [index, entry] of (checked.value?.denied ?? []).entries()) {
    const path = ['denied', index];
    const built = credentialOf(entry, lineOf(document, path, document.file));
    if (typeof built === 'string') findings.push(document.finding({ path }, built, FIX));
    else denied.push(built);
  }
  document.release();
  return { denied, findings };
}

const FIX = `name one of: ${DENIED_KINDS.join(', ')}; issuer belongs to serial, subject and session`;

function lineOf(document: YamlDocument, path: ValuePath, displayFile: string): string {
  return `${displayFile}:${document.position({ path }).line} ${formatPath(path)}`;
}

/** An entry, or what is wrong with it. */
function credentialOf(entry: DeniedSource, source: string): DeniedCredential | string {
  const named = DENIED_KINDS.filter((kind) => entry[kind] !== undefined);
  const [kind] = named;
  if (kind === undefined) return 'names no credential';
  if (named.length > 1) return `names ${named.join(' and ')} at once`;
  const value = normal(kind, entry[kind] ?? '');
  if (value === undefined) return `${entry[kind] ?? ''} is not a SPIFFE id`;
  if (entry.issuer !== undefined && (kind === 'spiffe' || kind === 'key')) return `has an issuer beside ${kind}`;
  return {
    kind,
    value,
    ...(entry.issuer === undefined ? {} : { issuer: entry.issuer }),
    ...(entry.until === undefined ? {} : { untilSeconds: entry.until }),
    source,
  };
}

/** The one spelling that is compared. */
function normal(kind: DeniedCredential['kind'], value: string): string | undefined {
  if (kind === 'serial') return normalSerial(value);
  return kind === 'spiffe' ? parseSpiffeId(value)?.uri : value;
}

/** A certificate's serial number as hex: upper-case, without colons and leading zeros. */
export function normalSerial(hex: string): string {
  return hex
    .replaceAll(':', '')
    .replace(/^0+(?=.)/, '')
    .toUpperCase();
}
