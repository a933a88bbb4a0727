/**
 * One tenant's names on a model server that several tenants share: what it calls `x` is `acme:x` there.
 *
 * A tenant's id has no colon in it, so no name of one tenant begins as another's does. Integers have no room for a prefix: they are
 * permuted by a key of the tenant's own. What two tenants' integers become may be the same by chance, for one pair in 2^64, and
 * nobody can bring that about without the secret.
 */
import { createHmac } from 'node:crypto';
import { Arena } from '../kernel/arena.ts';
import type { NameMapping } from '../protobuf/name-edits.ts';
import { IdPermutation } from './id-permutation.ts';

export class Namespace {
  /** On the way to the server. */
  readonly entering: NameMapping;
  /** On the way back. */
  readonly leaving: NameMapping;
  readonly #tenantId: string;
  readonly #secret: Buffer;
  #permutation: IdPermutation | undefined;

  /** `secret`: the same in every process before the same model server. The names depend on it and the tenant's id alone. */
  constructor(tenantId: string, secret: Buffer) {
    this.#tenantId = tenantId;
    this.#secret = secret;
    const prefix = Buffer.from(`${tenantId}:`);
    const arena = new Arena();
    this.entering = { direction: 'enter', prefix, arena, integer: (bits) => this.#permuted.apply(bits) };
    this.leaving = { direction: 'leave', prefix, arena, integer: (bits) => this.#permuted.invert(bits) };
  }

  /** Made when first needed: few tenants number their sequences. */
  get #permuted(): IdPermutation {
    this.#permutation ??= new IdPermutation(
      createHmac('sha256', this.#secret).update(`bulkhead namespace ${this.#tenantId}`).digest(),
    );
    return this.#permutation;
  }
}

/** Length of a secret. */
export const NAMESPACE_SECRET_BYTES = 32;
