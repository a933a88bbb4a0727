/**
 * Holds a token to whoever presents it first (RFC 7519 §4.1.7): a copy of it is worth nothing elsewhere.
 */
import type { TenantConfig } from '../config/tenant-config.ts';
import type { Peer } from '../identity/peer.ts';
import { type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { newReplayMemory, ReplayTable } from './replay-table.ts';
import type { TokenIdentity } from './token-claims.ts';

/** What a token's first use binds it to. */
export type FirstUseRule = 'certificate' | 'connection' | 'call';

/** A token of which it is watched who uses it. */
export interface WatchedToken {
  readonly rule: FirstUseRule;
  /** Connections that were found to be its own. */
  readonly own: WeakSet<Peer>;
}

/** Connections and calls are numbered over all workers, by this one's name and a count. */
const WORKER = crypto.randomUUID();
let counted = 0;
const connections = new WeakMap<Peer, string>();

export class FirstUse {
  readonly #table: ReplayTable;

  constructor({ replayMemory }: Pick<TenantConfig, 'replayMemory'>) {
    this.#table = new ReplayTable(replayMemory ?? newReplayMemory());
  }

  /** Why a token may not be used by this call; undefined: it may. */
  refusal(
    watched: WatchedToken,
    { issuer, id, expiresAt }: TokenIdentity,
    peer: Peer,
    now: EpochMicros,
  ): Denied | undefined {
    const { rule, own } = watched;
    if (rule !== 'call' && own.has(peer)) return undefined;
    // Tokens of such an issuer have one, or they are not valid.
    const use = { issuer, id: id ?? '', holder: holderOf(rule, peer), expiresAt };
    switch (this.#table.claim(use, now)) {
      case 'own':
        own.add(peer);
        return undefined;
      case 'replay':
        return deny({ kind: 'token_invalid', why: `it was used before, by another ${rule}` });
      case 'full':
        return deny({ kind: 'overloaded', why: 'too many tokens of this tenant are watched for another use' });
    }
  }
}

function holderOf(rule: FirstUseRule, peer: Peer): string {
  if (rule === 'certificate') return peer.certificate.sha256;
  if (rule === 'call') return nextName();
  let name = connections.get(peer);
  if (name === undefined) {
    name = nextName();
    connections.set(peer, name);
  }
  return name;
}

function nextName(): string {
  counted += 1;
  return `${WORKER} ${String(counted)}`;
}
