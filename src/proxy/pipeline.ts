/**
 * The order in which a call is checked: the only place that knows it.
 *
 * Each stage's evidence is the next one's argument, so a stage that is left out does not compile: nothing reaches the model
 * server without a `Permit` and a `Lease`, and only the stages can make them. What a stage notes on the trail is for the
 * record; no stage decides by it.
 */
import type { Caller } from '../authn/authenticator.ts';
import { parseCredentials } from '../authn/credentials.ts';
import type { CallFacts, MethodPermit, Permit } from '../authz/authorizer.ts';
import { withoutModel } from '../authz/authorizer.ts';
import type { HeaderBlock } from '../http2/contract.ts';
import type { Peer } from '../identity/peer.ts';
import type { ModelTarget, RequestedModels } from '../inspection/message-inspector.ts';
import type { MethodEntry } from '../inspection/method-table.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import type { Demand } from '../quota/holding.ts';
import type { ChargedPermit, Lease, MessageCost } from '../quota/quota-gate.ts';
import type { Clearance } from '../quota/rate-service.ts';
import { clampTimeout } from './deadlines.ts';
import type { Gates } from './gates.ts';
import { parseRequestHead, type RequestHead } from './request-head.ts';
import type { TenantTurns } from './tenant-turns.ts';
import type { Trail } from './trail.ts';
import { type Applicant, type Seat, Ticket, UNSCHEDULED } from './turn-queue.ts';

/** A call that may be made, when it is its turn. */
export interface Candidate {
  readonly head: RequestHead;
  readonly caller: Caller;
  readonly method: MethodEntry;
  readonly permit: MethodPermit;
  readonly cleared: Clearance;
}

/** A call that may begin: everything but the verdict on its messages. */
export interface Admission extends Candidate {
  readonly seat: Seat;
  readonly lease: Lease;
}

/** A call that waits for its turn, with nothing reserved. */
export interface Queued {
  readonly ok: false;
  readonly error: undefined;
  readonly candidate: Candidate;
  readonly ticket: Ticket;
}

/** How a tenant's calls wait. */
export interface Waiting {
  readonly turns: TenantTurns;
  readonly applicant: Applicant;
  /** The longest that a call may have; undefined: as long as it asks for. */
  readonly maxDeadlineMs: number | undefined;
}

/** A call that may go on. */
export interface Readmission {
  readonly admission: Admission;
  /** Until when the roles that its models need may be used, in microseconds; Infinity: for ever. */
  readonly permitUntil: number;
}

export type Admitted = Result<Admission, Denial> | Queued;

/**
 * Decides on a call by its headers. Asynchronous only when a credential is seen for the first time, or another service is asked. `waiting`: how it waits for its
 * turn; undefined: it does not.
 */
export function admit(
  block: HeaderBlock,
  peer: Peer,
  gates: Gates,
  trail: Trail,
  waiting?: Waiting,
): Admitted | Promise<Admitted> {
  // Identified: the handshake gave the peer, whose certificate chains to the CA of the tenant that the server name claims.
  trail.pass('identify');

  // Syntax first: no policy may see a path, a timeout or a credential that is not canonical.
  const head = parseRequestHead(block);
  if (!head.ok) {
    trail.headMalformed(block);
    return head;
  }
  trail.head = head.value;
  const method = gates.method(head.value.path);
  trail.method = method;
  const presented = parseCredentials(head.value.authorization, head.value.apiKey);
  if (!presented.ok) return trail.fail('authenticate', presented);

  // Then who: certificate, token and key must agree on one tenant before anything is looked up in that tenant's name.
  const caller = gates.authenticate(peer, presented.value, trail.now());
  const facts = gates.asksCalls ? { peer, headers: head.value.passOn, at: trail.now() } : undefined;
  if (caller instanceof Promise)
    return caller.then((settled) => admitCaller(settled, head.value, method, facts, gates, trail, waiting));
  return admitCaller(caller, head.value, method, facts, gates, trail, waiting);
}

function admitCaller(
  caller: Result<Caller, Denial>,
  head: RequestHead,
  method: MethodEntry | undefined,
  facts: CallFacts | undefined,
  gates: Gates,
  trail: Trail,
  waiting: Waiting | undefined,
): Admitted | Promise<Admitted> {
  if (!caller.ok) return trail.fail('authenticate', caller);
  trail.caller = caller.value;
  trail.pass('authenticate');

  // Then what: only to the authenticated is it said whether a method exists.
  if (method === undefined) return trail.fail('authorize', deny({ kind: 'method_unknown', path: head.path }));
  const now = trail.now();
  const permit = gates.authorize(caller.value, method, now, facts);
  if (!permit.ok) return trail.refuse('authorize', permit);
  trail.rule = permit.value.rule;
  trail.shadow = permit.value.shadow;
  trail.pass('authorize');

  // Then the tenant's own rate limit service, if it has one: only of calls that may be made, and what it refuses takes nothing of ours.
  const allowed = { head, caller: caller.value, method, permit: permit.value };
  const cleared = gates.clear(caller.value, method.fullName);
  if (cleared instanceof Promise)
    return cleared.then((settled) => admitCleared(allowed, settled, trail.now(), gates, trail, waiting));
  return admitCleared(allowed, cleared, now, gates, trail, waiting);
}

function admitCleared(
  { head, caller, method, permit }: Omit<Candidate, 'cleared'>,
  cleared: Result<Clearance, Denial>,
  now: EpochMicros,
  gates: Gates,
  trail: Trail,
  waiting: Waiting | undefined,
): Admitted {
  if (!cleared.ok) return trail.fail('reserve', cleared);
  const candidate = { head, caller, method, permit, cleared: cleared.value };
  // Then when: who may not call takes nobody's place, and who waits has used up nothing yet.
  if (waiting !== undefined) return queue(candidate, waiting, gates, trail);
  return reserve(candidate, UNSCHEDULED, now, gates, trail);
}

function queue(
  candidate: Candidate,
  { turns, applicant, maxDeadlineMs }: Waiting,
  gates: Gates,
  trail: Trail,
): Admitted {
  const timeout = clampTimeout(candidate.head.timeoutMicros, maxDeadlineMs);
  const left = timeout === undefined ? undefined : trail.startedAt + timeout - trail.now();
  const turn = turns.ask(applicant, candidate.permit, left);
  if (turn instanceof Ticket) return { ok: false, error: undefined, candidate, ticket: turn };
  return turn.ok ? begin(candidate, turn.value, gates, trail) : trail.fail('queue', turn);
}

/** It is a call's turn: takes it out of its quotas. The seat goes to the next when they refuse it. */
export function begin(candidate: Candidate, seat: Seat, gates: Gates, trail: Trail): Result<Admission, Denial> {
  const admission = reserve(candidate, seat, trail.now(), gates, trail);
  if (!admission.ok) seat.release();
  return admission;
}

/** Quota last: a call that may not be made costs its tenant nothing. The lease is settled, and the seat released, by whoever holds the admission. */
function reserve(
  { head, caller, method, permit, cleared }: Candidate,
  seat: Seat,
  now: EpochMicros,
  gates: Gates,
  trail: Trail,
): Result<Admission, Denial> {
  const lease = gates.reserve(caller, now, method.fullName, cleared);
  if (!lease.ok) return trail.fail('reserve', lease);
  trail.pass('reserve');
  return ok({ head, caller, method, permit, cleared, seat, lease: lease.value });
}

/**
 * Decides again on a call that runs, when its tenant's configuration or what is revoked has changed: who makes it, and whether they may,
 * as for a new call that names all of `models`: what its messages were permitted for. What it has reserved stays, and what reads its messages.
 */
export function readmit(
  admission: Admission,
  models: readonly ModelTarget[],
  peer: Peer,
  gates: Gates,
  now: EpochMicros,
): Result<Readmission, Denial> {
  const candidate = recheck(admission, peer, gates, now);
  if (!candidate.ok) return candidate;
  const { caller, permit, method } = candidate.value;
  let permitUntil = Number.POSITIVE_INFINITY;
  for (const { model, version } of method.readsModel ? models : NO_MODELS) {
    const verdict = gates.model(permit, model, version);
    if (!verdict.ok) return verdict;
    permitUntil = Math.min(permitUntil, verdict.value.until);
  }
  return ok({ admission: { ...admission, caller, permit }, permitUntil });
}

/** The same for a call that waits for its turn. */
export function recheck(
  { head, method, caller: before, cleared }: Candidate,
  peer: Peer,
  gates: Gates,
  now: EpochMicros,
): Result<Candidate, Denial> {
  const presented = parseCredentials(head.authorization, head.apiKey);
  if (!presented.ok) return presented;
  const caller = gates.reauthenticate(before, peer, presented.value, now);
  if (!caller.ok) return caller;
  const current = gates.method(head.path);
  // A method whose models are read now, and were not when its messages went by, is another one under the same name.
  if (current === undefined || current.readsModel !== method.readsModel)
    return deny({ kind: 'method_unknown', path: head.path });
  const facts = gates.asksCalls ? { peer, headers: head.passOn, at: now } : undefined;
  const permit = gates.authorize(caller.value, current, now, facts);
  return permit.ok ? ok({ head, method, caller: caller.value, permit: permit.value, cleared }) : permit;
}

const NO_MODELS: readonly ModelTarget[] = [];

/**
 * Decides on one request message, whose models the inspector has read from its whole length, before its last byte moves on. `demands`:
 * what it costs beside the calls that models count.
 */
export function permitMessage(
  admission: Admission,
  message: RequestedModels,
  gates: Gates,
  trail: Trail,
  demands: readonly Demand[] = NO_DEMANDS,
): Result<ChargedPermit, Denial> {
  const { permit, method, lease } = admission;
  const cost = message.further.length === 0 && demands.length === 0 ? undefined : { further: message.further, demands };
  if (!method.readsModel) return charge(lease, withoutModel(permit), cost, gates, trail);
  // All that it names must be allowed. The first goes last: it is what the record says of a message that may pass.
  for (const target of message.further) {
    const verdict = permitTarget(admission, target, gates, trail);
    if (!verdict.ok) return verdict;
  }
  const verdict = permitTarget(admission, message, gates, trail);
  // Models have limits of their own, and what a message costs is known now: once, for all that it names.
  return verdict.ok ? charge(lease, verdict, cost, gates, trail) : verdict;
}

const NO_DEMANDS: readonly Demand[] = [];

function permitTarget(admission: Admission, target: ModelTarget, gates: Gates, trail: Trail): Result<Permit, Denial> {
  trail.model = target.model;
  trail.modelVersion = target.version;
  const verdict = gates.model(admission.permit, target.model, target.version);
  if (!verdict.ok) return trail.refuse('inspect', verdict);
  trail.rule = verdict.value.rule;
  trail.shadow ??= verdict.value.shadow;
  trail.passOnce('inspect');
  return verdict;
}

function charge(
  lease: Lease,
  permit: Result<Permit, Denial>,
  cost: MessageCost | undefined,
  gates: Gates,
  trail: Trail,
): Result<ChargedPermit, Denial> {
  const charged = gates.charge(lease, permit, trail.now(), cost);
  return charged.ok ? charged : trail.fail('reserve', charged);
}
