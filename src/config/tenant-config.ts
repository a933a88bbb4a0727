/**
 * What one tenant's file says, parsed: who its clients are, what they may do, and where its model server is.
 */
import type { ProtocolName } from '../inspection/protocols.ts';
import type { ProtosetMethod } from '../inspection/protoset.ts';
import type { TenantId } from '../kernel/ids.ts';
import type {
  ApiKeyConfig,
  ClientRevocationConfig,
  CredentialKind,
  DeniedCredential,
  IssuerConfig,
} from './credentials-config.ts';
import type { KeyPairPem, TenantIdentification } from './generation.ts';
import type { BindingConfig, DeclaredClaim, DenyConfig, RoleConfig } from './policy-config.ts';
import type { OrganisationConfig, QuotaConfig } from './quota-config.ts';
import type { PriorityConfig, TenantScheduling } from './scheduling-config.ts';
import type { UpstreamConfig } from './upstream-config.ts';

export interface TenantConfig {
  readonly id: TenantId;
  /** Whether its names on the model server are its own; absent: they are, and shared memory objects begin with its id and a dot. */
  readonly namespaces?: 'off' | { readonly sharedMemoryKeys: readonly string[] };
  /** Index of this tenant's cells in the shared tables; kept for the tenant's life across generations. */
  readonly slot: number;
  /** The file it came from. */
  readonly file: string;
  /** Where in it these keys stand, from 1; a key that is not there has no line. Absent: it was not read from a file. */
  readonly lines?: Readonly<Partial<Record<TenantSection, number>>>;
  /** SHA-256 (hex) of everything this tenant's configuration was made from: unchanged means nothing to rebuild. */
  readonly digest: string;
  /** Lower-case DNS names (SNI) that belong to this tenant, exact; none: its clients' certificates say whose they are. */
  readonly serverNames: readonly string[];
  /** Its clients see the certificate that tenants share, under its names, too; absent: its own. */
  readonly sharesCertificate?: true;
  /** What in a client's certificate makes it this tenant's, under any name; absent: its CA (and trust domain), under the tenant's names. */
  readonly identifiedBy?: TenantIdentification;
  /** Undefined: the SPIFFE Workload API gives none now, and nobody can connect. */
  readonly certificate: KeyPairPem | undefined;
  /** The CA certificates that sign this tenant's clients; empty: the Workload API gives none now, and nobody gets in. */
  readonly clientCaPem: string;
  /** How its CAs take certificates back; absent: they are not asked. */
  readonly clientRevocation?: ClientRevocationConfig;
  /** Trust domain that a client's SPIFFE id must have; undefined: any id under the tenant's CA. */
  readonly trustDomain: string | undefined;
  /** Which credentials suffice, at least one of which must be presented. The certificate is always verified. */
  readonly accept: readonly CredentialKind[];
  /** In which all workers note who used which token first; absent: nobody has to, or there is one worker. */
  readonly replayMemory?: SharedArrayBuffer;
  /** Ranges of IP addresses that its clients may call from; absent: any. */
  readonly addresses?: readonly string[];
  /** Ranges that they may not call from, whatever the other list says; absent: none. */
  readonly deniedAddresses?: readonly string[];
  readonly issuers: readonly IssuerConfig[];
  readonly apiKeys: readonly ApiKeyConfig[];
  /** Refused from now on, valid as they may be; absent: none are. */
  readonly denied?: readonly DeniedCredential[];
  readonly roles: readonly RoleConfig[];
  readonly bindings: readonly BindingConfig[];
  /** Absent: none. */
  readonly denials?: readonly DenyConfig[];
  /** Claims that conditions may speak of; absent: none. */
  readonly claims?: readonly DeclaredClaim[];
  /** Names of request headers that conditions may speak of, lower case; absent: none. */
  readonly metadata?: readonly string[];
  readonly quota: QuotaConfig;
  /** What its file says of who goes first; absent: nothing. */
  readonly priority?: PriorityConfig;
  /** How its calls wait for their turn; absent: they do not. */
  readonly scheduling?: TenantScheduling;
  /** The longest that one call may run on one authentication; absent: as long as its credentials are good. */
  readonly leaseMs?: number;
  /** The organisation that `quota` names; absent: it names none. */
  readonly organisation?: OrganisationConfig;
  /** Hard limit of bytes in flight. */
  readonly byteAccountBytes: number;
  readonly upstream: UpstreamConfig;
  readonly trace: { readonly clientContext: 'link' | 'parent' };
  /** What the model server speaks; absent: Triton's protocol. */
  readonly protocols?: readonly ProtocolName[];
  /** The model of a server whose protocol names none; absent: requests name it. */
  readonly servedModel?: string;
  /** Further services that are read by their descriptors; absent: none. */
  readonly protoset?: ProtosetConfig;
  /** Services beyond these that are passed through without reading their messages. */
  readonly opaqueServices: readonly string[];
}

/** Keys of a tenant's file that an explanation points to. */
export type TenantSection =
  | 'addresses'
  | 'deniedAddresses'
  | 'clientCa'
  | 'accept'
  | 'issuers'
  | 'apiKeys'
  | 'roles'
  | 'bindings'
  | 'denyRules'
  | 'quota';

export interface ProtosetConfig {
  /** A FileDescriptorSet, in base64. */
  readonly descriptors: string;
  readonly methods: readonly ProtosetMethod[];
}
