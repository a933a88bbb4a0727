/**
 * The checks that a tenant's configuration compiles to, as the pipeline uses them. A test that wants to see an attack get
 * through gives the pipeline the gates of a laxer configuration; it cannot forge the evidence.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { StatusHold } from '../authn/client-statuses.ts';
import type { Presented } from '../authn/credentials.ts';
import type { CallFacts, MethodPermit, Permit, Verdict } from '../authz/authorizer.ts';
import type { Peer } from '../identity/peer.ts';
import type { MethodEntry } from '../inspection/method-table.ts';
import type { Denial, Denied } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { Result } from '../kernel/result.ts';
import type { ByteToll } from '../quota/byte-toll.ts';
import type { Demand } from '../quota/holding.ts';
import type { MeteredUnit } from '../quota/limit.ts';
import type { ChargedPermit, Lease, MessageCost } from '../quota/quota-gate.ts';
import type { Clearance } from '../quota/rate-service.ts';

export interface Gates {
  authenticate(
    peer: Peer,
    presented: Presented,
    now: EpochMicros,
  ): Result<Caller, Denial> | Promise<Result<Caller, Denial>>;
  /** Who makes a call that runs, as of now. */
  reauthenticate(caller: Caller, peer: Peer, presented: Presented, now: EpochMicros): Result<Caller, Denial>;
  /** Asks whoever has to be asked about a certificate, until it is let go; undefined: nobody has. */
  hold(peer: Peer): StatusHold | undefined;
  /** Why a certificate may not be used any more, whatever comes with it; undefined: it may. */
  revoked(peer: Peer, now: EpochMicros): Denied | undefined;
  method(path: string): MethodEntry | undefined;
  /** Some rule looks at the call itself, so that `authorize` has to be told of it. */
  readonly asksCalls: boolean;
  authorize(caller: Caller, method: MethodEntry, now: EpochMicros, facts: CallFacts | undefined): Verdict<MethodPermit>;
  model(permit: MethodPermit, model: string, version: string): Verdict<Permit>;
  /** Asks the tenant's rate limit service; a promise only where there is one. `method`: `package.Service/Method`. */
  clear(caller: Caller, method: string): Result<Clearance, Denial> | Promise<Result<Clearance, Denial>>;
  reserve(caller: Caller, now: EpochMicros, method: string, cleared: Clearance): Result<Lease, Denial>;
  /** Takes what a call that runs needs, or says why not. */
  pay(lease: Lease, demands: readonly Demand[], now: EpochMicros): Denial | undefined;
  /** Writes down what was used and cannot be undone. */
  overdraw(lease: Lease, demands: readonly Demand[], now: EpochMicros): void;
  /** Gives back what a call took that its model server failed. */
  refund(lease: Lease): void;
  /** What limits count of the call beside itself; undefined: nothing. */
  units(lease: Lease): ReadonlySet<MeteredUnit> | undefined;
  /** What a call's client is told of its limits: names and values in turn; undefined: nothing, in no call. */
  readonly announce: ((lease: Lease, caller: Caller, now: EpochMicros) => readonly string[]) | undefined;
  toll(lease: Lease, unit: 'requestBytes' | 'responseBytes'): ByteToll | undefined;
  charge(
    lease: Lease,
    permit: Result<Permit, Denial>,
    now: EpochMicros,
    cost: MessageCost | undefined,
  ): Result<ChargedPermit, Denial>;
}
