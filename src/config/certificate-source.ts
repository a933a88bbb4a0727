/**
 * A certificate, or certificate authorities, from wherever a file says: files, a mounted secret, the SPIFFE Workload API.
 */
import type { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { FileScope } from './file-scope.ts';
import type { ValuePath } from './finding.ts';
import type { KeyPairPem } from './generation.ts';
import type { AuthoritiesSource, CertificateSource } from './schema-tenant.ts';
import { bundleName, type SvidChoice, svidName } from './workload-material.ts';

/** A certificate with its key; undefined: the Workload API does not give it now, or has not been asked. */
export interface BuiltCertificate {
  readonly pair: KeyPairPem | undefined;
  /** Undefined from the Workload API, whose certificates need not have DNS names, and change without the operator. */
  readonly leaf: X509Certificate | undefined;
  /** What it is called, for messages. */
  readonly named: string;
  /** The key that names it. */
  readonly path: ValuePath;
}

const ONE_OF = 'write one of: chain and key, secret, spiffeId, spiffeHint';

/** Builds the certificate that stands at a path; undefined when it cannot be used, which is reported. */
export function buildCertificate(
  scope: FileScope,
  path: ValuePath,
  source: CertificateSource,
): BuiltCertificate | undefined {
  const { chain, key, secret, spiffeId, spiffeHint } = source;
  const ways = [chain ?? key, secret, spiffeId, spiffeHint].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    scope.report({ path }, ways.length === 0 ? 'names no certificate' : 'names several certificates', ONE_OF);
    return undefined;
  }
  if (spiffeId !== undefined) return fromApi(scope, [...path, 'spiffeId'], choiceOf(spiffeId));
  if (spiffeHint !== undefined) return fromApi(scope, [...path, 'spiffeHint'], { by: 'hint', hint: spiffeHint });
  const files = filesOf(scope, path, source);
  const built = files === undefined ? undefined : scope.keyPair(files.chain, files.key);
  if (files === undefined || built === undefined) return undefined;
  return { ...built, named: files.chain.named, path: files.chain.path };
}

function filesOf(scope: FileScope, path: ValuePath, { chain, key, secret }: CertificateSource) {
  if (secret !== undefined) {
    const at = [...path, 'secret'];
    return { chain: { path: at, named: join(secret, 'tls.crt') }, key: { path: at, named: join(secret, 'tls.key') } };
  }
  if (chain !== undefined && key !== undefined)
    return { chain: { path: [...path, 'chain'], named: chain }, key: { path: [...path, 'key'], named: key } };
  const [missing, what] =
    chain === undefined ? ['chain', 'the certificate and its intermediates'] : ['key', 'the certificate’s private key'];
  scope.report({ path: [...path, missing] }, 'is missing', `add it: PEM file with ${what}`);
  return undefined;
}

function choiceOf(spiffeId: string): SvidChoice {
  return spiffeId === 'default' ? { by: 'default' } : { by: 'id', spiffeId };
}

function fromApi(scope: FileScope, path: ValuePath, choice: SvidChoice): BuiltCertificate {
  const text = scope.workloadText(path, svidName(choice));
  const named = choice.by === 'id' ? choice.spiffeId : `the Workload API’s certificate`;
  if (text === undefined) return { pair: undefined, leaf: undefined, named, path };
  // Whoever gave it has looked at it: chain and key fit each other.
  const at = text.indexOf('-----BEGIN PRIVATE KEY-----');
  return { pair: { chainPem: text.slice(0, at), keyPem: text.slice(at) }, leaf: undefined, named, path };
}

/** Whether it comes from the Workload API. */
export function isWorkloadCertificate({ spiffeId, spiffeHint }: CertificateSource): boolean {
  return (spiffeId ?? spiffeHint) !== undefined;
}

/** Whether they come from the Workload API. */
export function isWorkloadAuthorities(source: AuthoritiesSource): boolean {
  return typeof source !== 'string' && source.spiffeBundle !== undefined;
}

/** Certificate authorities, and the trust domain whose they are when the Workload API says so. */
export interface BuiltAuthorities {
  /** Empty: the Workload API does not give them now, or has not been asked. */
  readonly pem: string;
  /** None from the Workload API. */
  readonly certificates: readonly X509Certificate[];
  readonly trustDomain: string | undefined;
}

/** Builds the authorities that stand at a path; undefined when they cannot be used, which is reported. `clients`: of a tenant's clients. */
export function buildAuthorities(
  scope: FileScope,
  path: ValuePath,
  source: AuthoritiesSource,
  clients: boolean,
): BuiltAuthorities | undefined {
  const read = (at: ValuePath, named: string): BuiltAuthorities | undefined => {
    const file = clients ? scope.clientAuthorities(at, named) : scope.authorities(at, named);
    return file === undefined ? undefined : { ...file, trustDomain: undefined };
  };
  if (typeof source === 'string') return read(path, source);
  const { secret, spiffeBundle } = source;
  if ((secret === undefined) === (spiffeBundle === undefined)) {
    const message = secret === undefined ? 'names no authorities' : 'names authorities twice';
    scope.report(
      { path },
      message,
      'write the path of a file, { secret: DIRECTORY } or { spiffeBundle: trust-domain }',
    );
    return undefined;
  }
  if (spiffeBundle === undefined) return read([...path, 'secret'], join(secret ?? '', 'ca.crt'));
  const pem = scope.workloadText([...path, 'spiffeBundle'], bundleName(spiffeBundle)) ?? '';
  return { pem, certificates: [], trustDomain: spiffeBundle };
}

/** Reports what keeps a certificate from being the server's under these names, which stand at `namesPath`. */
export function judgeServerCertificate(
  scope: FileScope,
  { path, named, leaf }: BuiltCertificate,
  serverNames: readonly string[],
  namesPath: ValuePath,
): void {
  // Callers that know SPIFFE verify its certificate by its id; and a DNS name that is missing today may come with the next one.
  if (leaf !== undefined) scope.servesNames(path, named, leaf, serverNames, namesPath);
}
