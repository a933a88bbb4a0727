/**
 * Where several sidecars count together, parsed.
 */
import type { KeyPairPem } from './generation.ts';

export interface FleetConfig {
  /** Before all names in the store: sidecars with the same one share their limits. */
  readonly namespace: string;
  /** Keys the hashes that stand for tenants, limits and callers there. */
  readonly salt: string;
  /** 0..1: the part of a limit that one sidecar may use while the store is away. */
  readonly localShare: number;
  /** What was leased and not used is the others' again after it. */
  readonly leaseMs: number;
  /** For one answer of the store. */
  readonly timeoutMs: number;
  readonly redis: RedisConfig;
}

export interface RedisConfig {
  /** Of one server that may be at several places (the first that may be written to is used), or some nodes of a cluster. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  readonly cluster: boolean;
  readonly protocol: 2 | 3;
  readonly database: number;
  readonly tls: RedisTls | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

export interface RedisTls {
  /** Undefined: the system's. */
  readonly caPem: string | undefined;
  readonly serverName: string | undefined;
  readonly clientCertificate: KeyPairPem | undefined;
}
