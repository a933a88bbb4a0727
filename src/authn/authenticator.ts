/**
 * From a peer and what its call presents to a `Caller`: everything must be valid and agree on one tenant.
 *
 * A token is verified once, asynchronously, and remembered by its exact spelling; from then on the verdict comes in the same
 * turn. The same credential over the same certificate gives the same `Caller` object, so that later stages can remember what
 * they decided about it.
 */
import type { CredentialKind, DeniedCredential } from '../config/credentials-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import { type DocumentFetch, DocumentFetcher } from '../fetching/document-fetch.ts';
import type { Peer } from '../identity/peer.ts';
import { type Denial, type Denied, deny, type LostCredential } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import type { Tenant } from '../tenancy/tenant.ts';
import { mintTenant } from '../tenancy/tenant-evidence.ts';
import { AddressList } from './address-list.ts';
import { ApiKeys, type KeyModels, type KnownKey } from './api-keys.ts';
import { ClientCertificates } from './client-certificates.ts';
import type { StatusHold } from './client-statuses.ts';
import { bearerToken, type Presented } from './credentials.ts';
import { DenyList } from './deny-list.ts';
import type { CredentialDirectory } from './directory.ts';
import { FirstUse } from './first-use.ts';
import { type KeptClaims, NO_CLAIMS } from './kept-claims.ts';
import type { KeyUses } from './key-uses.ts';
import { AUTHN_LIMITS, type AuthnLimits } from './limits.ts';
import { type RevocationEpoch, Revocations } from './revocations.ts';
import { SecondChanceCache } from './second-chance-cache.ts';
import type { JsonObject } from './strict-json.ts';
import { isBoundTo } from './token-binding.ts';
import type { TokenStrength } from './token-strength.ts';
import { TokenVerifier, type VerifiedToken } from './token-verifier.ts';

export type { CredentialDirectory } from './directory.ts';

/** What a `Caller` is made of. */
interface CallerFacts {
  readonly kind: CredentialKind;
  readonly subject: string | undefined;
  readonly issuer: string | undefined;
  readonly keyId: string | undefined;
  readonly certificateId: string;
  readonly strength: TokenStrength | undefined;
  readonly keyScopes: readonly string[];
  readonly claims: KeptClaims;
  readonly keyModels: KeyModels | undefined;
  readonly expiresAt: EpochMicros;
  readonly endsWith: LostCredential;
  readonly said: JsonObject | undefined;
}

class CallerEvidence {
  readonly #sealed = true;
  /** What the token's issuer said of it, if it was asked: for the day on which the call is decided again. */
  readonly #said: JsonObject | undefined;
  readonly tenant: Tenant;
  /** `token:<sub>`, `key:<id>` or `cert:<spiffe://… or dns:…>`: the strongest that was presented, in this order. */
  readonly id: string;
  readonly kind: CredentialKind;
  /** `sub` of the token, when one was presented. */
  readonly subject: string | undefined;
  /** `iss` of the token. */
  readonly issuer: string | undefined;
  readonly keyId: string | undefined;
  readonly certificateId: string;
  /** What the token says of its scopes and of its subject's sign-in; undefined without a token. */
  readonly strength: TokenStrength | undefined;
  /** Scopes of the API key; none without one. */
  readonly keyScopes: readonly string[];
  /** What the token says of what the tenant's rules ask for; empty without one. */
  readonly claims: KeptClaims;
  /** The models that a call with this API key may be for, whatever roles say; undefined: it does not narrow them. */
  readonly keyModels: KeyModels | undefined;
  /** From then on the same credentials are refused: the first of the token's, the key's and the certificate's end. */
  readonly expiresAt: EpochMicros;
  /** Whose end that is. */
  readonly endsWith: LostCredential;

  constructor(tenant: Tenant, facts: CallerFacts) {
    this.tenant = tenant;
    this.id = callerId(facts);
    this.kind = facts.kind;
    this.subject = facts.subject;
    this.issuer = facts.issuer;
    this.keyId = facts.keyId;
    this.certificateId = facts.certificateId;
    this.strength = facts.strength;
    this.keyScopes = facts.keyScopes;
    this.claims = facts.claims;
    this.keyModels = facts.keyModels;
    this.expiresAt = facts.expiresAt;
    this.endsWith = facts.endsWith;
    this.#said = facts.said;
  }

  static saidOf(caller: CallerEvidence): JsonObject | undefined {
    return caller.#said;
  }

  static isGenuine(value: object): boolean {
    return #sealed in value && value.#sealed;
  }
}

export type { CallerEvidence as Caller };

type Authenticated = Result<CallerEvidence, Denial>;
/**
 * `judgedAt`: what was revoked by then did not concern it. `unrevokedUntil`: so long, in microseconds, its certificate was known not
 * to be taken back.
 */
type Success = { readonly ok: true; readonly value: CallerEvidence; judgedAt: number; readonly unrevokedUntil: number };

/** A verified token and the callers that it has made, by certificate. */
interface RememberedToken {
  readonly verified: VerifiedToken;
  readonly callers: SecondChanceCache<Success>;
}

/** What a call presented, verified. */
interface Evidence {
  readonly token: VerifiedToken | undefined;
  readonly key: KnownKey | undefined;
}

export interface AuthenticatorDeps {
  /** Absent: what fetches from public addresses only. */
  readonly fetch?: DocumentFetch | undefined;
  /** Absent: nothing is revoked but by the tenant's own file. */
  readonly revocations?: Revocations | undefined;
  /** Absent: nobody wants to know when keys were used. */
  readonly keyUses?: KeyUses | undefined;
  readonly limits?: Partial<AuthnLimits>;
}

export class Authenticator {
  readonly #tenant: TenantConfig;
  readonly #limits: AuthnLimits;
  /** Where clients may call from; undefined: anywhere. */
  readonly #addresses: AddressList | undefined;
  readonly #verifier: TokenVerifier;
  readonly #keys: ApiKeys;
  readonly #keyUses: KeyUses | undefined;
  readonly #tokens: SecondChanceCache<RememberedToken>;
  readonly #pending = new Map<string, Promise<Result<RememberedToken, Denial>>>();
  readonly #callersByKey = new Map<KnownKey, SecondChanceCache<Success>>();
  readonly #callersByCertificate: SecondChanceCache<Success>;
  readonly #denied: DenyList;
  /** Undefined: the tenant's CAs are not asked whether they took a certificate back. */
  readonly #clients: ClientCertificates | undefined;
  readonly #revocations: Revocations;
  readonly #epoch: RevocationEpoch;
  #evidence: Tenant | undefined;
  /** Made for the first token that is watched. */
  #firstUse: FirstUse | undefined;

  constructor(tenant: TenantConfig, directory: CredentialDirectory, deps: AuthenticatorDeps = {}) {
    this.#tenant = tenant;
    this.#limits = { ...AUTHN_LIMITS, ...deps.limits };
    this.#verifier = new TokenVerifier(tenant, directory, {
      fetch: deps.fetch ?? new DocumentFetcher().fetch,
      limits: this.#limits,
    });
    this.#keys = new ApiKeys(tenant, directory);
    this.#keyUses = deps.keyUses;
    this.#denied = new DenyList(tenant.denied ?? []);
    this.#revocations = deps.revocations ?? new Revocations();
    this.#epoch = this.#revocations.epochOf(tenant.id);
    this.#clients = ClientCertificates.of(tenant, this.#revocations);
    this.#addresses = AddressList.of('tenant', tenant);
    this.#tokens = new SecondChanceCache(this.#limits.maxCachedTokens, this.#limits.maxCachedTokenBytes);
    this.#callersByCertificate = this.#newCallers(this.#limits.maxCachedTokens);
  }

  /** Decides who calls; a promise only when a signature has to be verified. */
  authenticate(peer: Peer, presented: Presented, now: EpochMicros): Authenticated | Promise<Authenticated> {
    const key = this.#withKey(peer, presented, now);
    if (!key.ok) return key;
    if (key.value !== undefined) this.#keyUses?.note(this.#tenant.id, key.value, now);
    if (presented.authorization === undefined) return this.#withoutToken(peer, key.value, now);
    return this.#withToken(peer, presented.authorization, key.value, now);
  }

  /**
   * Decides again who makes a call that runs, as of this configuration and what is revoked now. `caller` is who it was: the signature
   * of its token has been verified, or its issuer asked, and is not again.
   */
  reauthenticate(caller: CallerEvidence, peer: Peer, presented: Presented, now: EpochMicros): Authenticated {
    const key = this.#withKey(peer, presented, now);
    if (!key.ok) return key;
    if (presented.authorization === undefined) return this.#withoutToken(peer, key.value, now);
    const known = this.#tokens.get(presented.authorization);
    if (known !== undefined) return this.#caller(peer, known.callers, { token: known.verified, key: key.value }, now);
    const token = this.#verifier.recheck(bearerToken(presented.authorization), CallerEvidence.saidOf(caller), now);
    if (!token.ok) return token;
    const { issuer, subject } = token.value.identity;
    if (issuer !== caller.issuer || subject !== caller.subject) {
      return deny({ kind: 'token_invalid', why: 'not the token that the call was admitted with' });
    }
    // Not remembered: a new call with it has its signature verified.
    return this.#makeCaller(peer, { token: token.value, key: key.value }, now);
  }

  /** Has the certificate's issuer asked about it while somebody holds on to it; undefined: the tenant does not ask. */
  hold(peer: Peer): StatusHold | undefined {
    return this.#clients?.hold(peer);
  }

  /** Why a certificate may not be used any more, whatever comes with it; undefined: it may. */
  revoked(peer: Peer, now: EpochMicros): Denied | undefined {
    const standing = this.#unrevoked(peer, NOTHING, now);
    return standing.ok ? undefined : standing;
  }

  /** The tenant, the addresses, and the API key if there is one. */
  #withKey(peer: Peer, presented: Presented, now: EpochMicros): Result<KnownKey | undefined, Denial> {
    if (peer.claim.id !== this.#tenant.id) {
      return deny({ kind: 'tenant_mismatch', claimed: peer.claim.id, presented: this.#tenant.id, by: 'certificate' });
    }
    const notFrom = this.#addresses?.refusal(peer);
    if (notFrom !== undefined) return notFrom;
    if (presented.apiKey === undefined) return NO_KEY;
    const verified = this.#keys.verify(presented.apiKey, now);
    // After the secret: to whom a key is known is also known where it may be used.
    return verified.ok ? (verified.value.addresses?.refusal(peer) ?? verified) : verified;
  }

  #withToken(
    peer: Peer,
    authorization: string,
    key: KnownKey | undefined,
    now: EpochMicros,
  ): Authenticated | Promise<Authenticated> {
    const known = this.#tokens.get(authorization);
    if (known?.verified.standing.stands(now) === true) return this.#holder(peer, known, key, now);
    return this.#verifyToken(authorization, now).then((verified) => {
      if (verified.ok) return this.#holder(peer, verified.value, key, now);
      // Who has to be asked could not be: what was heard last may be good for as long as that is so.
      const mayStand = verified.error.kind === 'policy_unavailable' && known?.verified.standing.stands(now) === true;
      return mayStand ? this.#holder(peer, known, key, now) : verified;
    });
  }

  /** The caller that a good token makes of a peer, if it is this peer's to use. */
  #holder(
    peer: Peer,
    { verified, callers }: RememberedToken,
    key: KnownKey | undefined,
    now: EpochMicros,
  ): Authenticated {
    const caller = this.#caller(peer, callers, { token: verified, key }, now);
    // Last: a call that is refused for anything else does not use it.
    if (verified.watched === undefined || !caller.ok) return caller;
    this.#firstUse ??= new FirstUse(this.#tenant);
    return this.#firstUse.refusal(verified.watched, verified.identity, peer, now) ?? caller;
  }

  #withoutToken(peer: Peer, key: KnownKey | undefined, now: EpochMicros): Authenticated {
    if (key === undefined) return this.#caller(peer, this.#callersByCertificate, NOTHING, now);
    let callers = this.#callersByKey.get(key);
    if (callers === undefined) {
      callers = this.#newCallers(this.#limits.maxCallersPerCredential);
      this.#callersByKey.set(key, callers);
    }
    return this.#caller(peer, callers, { token: undefined, key }, now);
  }

  /** Verifies a token that is not remembered; calls that bring the same one meanwhile wait for the same verdict. */
  #verifyToken(authorization: string, now: EpochMicros): Promise<Result<RememberedToken, Denial>> {
    const pending = this.#pending.get(authorization);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= this.#limits.maxPendingVerifications) {
      return Promise.resolve(deny({ kind: 'overloaded', why: 'too many tokens are being verified for this tenant' }));
    }
    const verdict = this.#verifyAndRemember(authorization, now).finally(() => this.#pending.delete(authorization));
    this.#pending.set(authorization, verdict);
    return verdict;
  }

  async #verifyAndRemember(authorization: string, now: EpochMicros): Promise<Result<RememberedToken, Denial>> {
    const verified = await this.#verifier.verify(bearerToken(authorization), now);
    if (!verified.ok) {
      // What was known before it was refused must not come back when the next one who is asked is away.
      const { kind } = verified.error;
      if (kind !== 'policy_unavailable' && kind !== 'overloaded') this.#tokens.delete(authorization);
      return verified;
    }
    const remembered: RememberedToken = {
      verified: verified.value,
      callers: this.#newCallers(this.#limits.maxCallersPerCredential),
    };
    this.#tokens.set(authorization, remembered);
    return ok(remembered);
  }

  #caller(peer: Peer, callers: SecondChanceCache<Success>, evidence: Evidence, now: EpochMicros): Authenticated {
    const { remembered } = peer;
    const both = evidence.token !== undefined && evidence.key !== undefined;
    const name = both ? `${evidence.key.name} ${remembered}` : remembered;
    const known = callers.get(name);
    if (known !== undefined && now < known.value.expiresAt) {
      const epoch = this.#epoch.value;
      if (known.judgedAt === epoch) return known;
      const standing = this.#unrevoked(peer, evidence, now);
      if (!standing.ok) return standing;
      // A list that came since may end at another time, and a caller has one end.
      if (standing.value === known.unrevokedUntil) {
        known.judgedAt = epoch;
        return known;
      }
    }
    const made = this.#makeCaller(peer, evidence, now);
    if (made.ok) callers.set(name, made);
    return made;
  }

  #makeCaller(peer: Peer, { token, key }: Evidence, now: EpochMicros): Success | Denied {
    const { accept } = this.#tenant;
    const suffices =
      accept.includes('certificate') ||
      (token !== undefined && accept.includes('token')) ||
      (key !== undefined && accept.includes('api-key'));
    if (!suffices) return deny({ kind: 'credentials_missing', accepted: accept });
    const tokenEnd = token?.identity.expiresAt ?? Number.POSITIVE_INFINITY;
    if (token !== undefined && now >= tokenEnd) {
      return deny({ kind: 'token_expired', expiredAtSeconds: token.identity.expiresAtSeconds });
    }
    // Once for each token and certificate: callers are remembered by both, so no other certificate has this one's verdict.
    if (token !== undefined && !isBoundTo(token.identity.boundTo, peer.certificate.sha256)) {
      return deny({ kind: 'token_binding_mismatch', why: 'another certificate' });
    }
    const certificateEnd = peer.endsAt;
    if (now >= certificateEnd) {
      const isOwn = now >= peer.certificate.notAfterSeconds * 1_000_000;
      return deny({ kind: 'certificate_unacceptable', why: isOwn ? 'expired' : 'a CA of its chain has expired' });
    }
    const standing = this.#unrevoked(peer, { token, key }, now);
    if (!standing.ok) return standing;
    this.#evidence ??= mintTenant(peer.claim);
    return {
      ok: true,
      judgedAt: this.#epoch.value,
      unrevokedUntil: standing.value,
      value: new CallerEvidence(this.#evidence, {
        kind: token !== undefined ? 'token' : key !== undefined ? 'api-key' : 'certificate',
        subject: token?.identity.subject,
        issuer: token?.identity.issuer,
        keyId: key?.config.id,
        certificateId: peer.certificateId,
        strength: token?.identity.strength,
        keyScopes: key?.config.scopes ?? [],
        claims: token?.claims ?? NO_CLAIMS,
        said: token?.said,
        keyModels: key?.models,
        ...firstEnd({
          token: tokenEnd,
          'api key': key?.expiresAtMicros ?? Number.POSITIVE_INFINITY,
          'revocation status': standing.value,
          certificate: certificateEnd,
        }),
      }),
    };
  }

  /** Until when it is known that none of these was taken back, in microseconds; or the refusal. */
  #unrevoked(
    peer: Peer,
    { token, key }: Evidence,
    now: EpochMicros,
  ): { readonly ok: true; readonly value: number } | Denied {
    const credentials = { certificate: peer.certificate, keyId: key?.config.id, token: token?.identity };
    const entry = this.#denied.find(credentials, now) ?? this.#revocations.denied(credentials, now);
    if (entry !== undefined) return refusalBy(entry);
    return this.#clients?.status(peer, now) ?? FOR_EVER;
  }

  #newCallers(maxEntries: number): SecondChanceCache<Success> {
    return new SecondChanceCache(maxEntries, Number.POSITIVE_INFINITY);
  }
}

type Ends = Readonly<Record<'token' | 'api key' | 'revocation status' | 'certificate', number>>;

/** The weakest of what a caller stands on: their ends in microseconds, Infinity for what it has not. */
function firstEnd(ends: Ends): Pick<CallerFacts, 'expiresAt' | 'endsWith'> {
  let endsWith: keyof Ends = 'certificate';
  for (const one of ['token', 'api key', 'revocation status'] as const) if (ends[one] < ends[endsWith]) endsWith = one;
  // All of them are microseconds, and the certificate's is finite.
  return { expiresAt: ends[endsWith] as EpochMicros, endsWith };
}

/** What the caller sees is what anybody sees whose credential is not valid. */
function refusalBy({ kind, source }: DeniedCredential): Denied {
  switch (kind) {
    case 'serial':
    case 'spiffe':
      return deny({ kind: 'certificate_unacceptable', why: 'revoked', revokedBy: source });
    case 'key':
      return deny({ kind: 'api_key_invalid', why: 'revoked', revokedBy: source });
    case 'subject':
    case 'session':
      return deny({ kind: 'token_invalid', why: 'revoked', revokedBy: source });
  }
}

const FOR_EVER = { ok: true, value: Number.POSITIVE_INFINITY } as const;
const NO_KEY: Result<undefined, Denial> = ok(undefined);
const NOTHING: Evidence = { token: undefined, key: undefined };

function callerId(facts: CallerFacts): string {
  if (facts.subject !== undefined) return `token:${facts.subject}`;
  return facts.keyId === undefined ? `cert:${facts.certificateId}` : `key:${facts.keyId}`;
}
