/**
 * The conditions of one tenant's rules, and what they look at: one activation, filled before each is asked. Nothing is made for a
 * call but what CEL makes itself.
 */
import type { Caller } from '../authn/authenticator.ts';
import { CallAttributes, CallerAttributes } from '../conditions/attributes.ts';
import {
  type Activation,
  type Condition,
  type ConditionFailure,
  type Conditions,
  conditionsOf,
} from '../conditions/condition.ts';
import { timestampOf } from '../conditions/known-values.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { Peer } from '../identity/peer.ts';
import type { EpochMicros } from '../kernel/ids.ts';

/** What a rule may look at of one call beside its caller, its method and its model. */
export interface CallFacts {
  readonly peer: Peer;
  /** Flat name-value pairs of the headers that travel on: no credential is among them. */
  readonly headers: readonly string[];
  /** When it began. */
  readonly at: EpochMicros;
}

/** What conditions read of a caller, made once for it. */
export interface CallerView {
  readonly attributes: CallerAttributes;
  readonly claims: object;
}

/** What is being decided on. Model and version as sent; empty: none is named, or the method has none. */
export interface Matter {
  readonly caller: CallerView;
  readonly method: string;
  readonly model: string;
  readonly version: string;
  /** undefined: only what does not depend on the call is asked. */
  readonly facts: CallFacts | undefined;
}

export class RuleConditions {
  readonly #tenant: string;
  readonly #conditions: Conditions;
  readonly #activation: Activation;
  readonly #metadata: Record<string, string | undefined> = {};

  constructor({ id, claims = [], metadata = [] }: Pick<TenantConfig, 'id' | 'claims' | 'metadata'>) {
    this.#tenant = id;
    const types = Object.fromEntries(claims.map(({ name, type }) => [name, type]));
    this.#conditions = conditionsOf({ claims: types, metadata });
    const call = new CallAttributes();
    call.metadata = this.#metadata;
    this.#activation = { caller: new CallerAttributes(), call, claims: {} };
  }

  /** A condition; one that the configuration's check let through compiles. */
  compile(text: string): Condition {
    const compiled = this.#conditions.compile(text);
    if (!compiled.ok) throw new Error(`a condition that was checked cannot be read: ${compiled.error.message}`);
    return compiled.value;
  }

  view(caller: Caller): CallerView {
    const { strength } = caller;
    const attributes = new CallerAttributes();
    attributes.tenant = this.#tenant;
    attributes.id = caller.id;
    attributes.kind = caller.kind;
    attributes.subject = caller.subject ?? '';
    attributes.issuer = caller.issuer ?? '';
    attributes.key_id = caller.keyId ?? '';
    attributes.certificate_id = caller.certificateId;
    attributes.scopes =
      strength === undefined ? caller.keyScopes : strength.scope.split(' ').filter((each) => each !== '');
    attributes.acr = strength?.acr ?? '';
    attributes.amr = strength?.amr ?? [];
    attributes.auth_time =
      strength?.authTimeSeconds === undefined ? undefined : timestampOf(strength.authTimeSeconds * 1_000_000);
    return { attributes, claims: this.#conditions.claims(caller.claims.declared) };
  }

  /** Whether the matter meets the condition. */
  ask(condition: Condition, matter: Matter): boolean | ConditionFailure {
    const trouble = this.#look(condition, matter);
    return trouble ?? condition.evaluate(this.#activation);
  }

  /** The attributes that a condition reads, as this matter has them. */
  seen(condition: Condition, matter: Matter): readonly string[] {
    this.#look(condition, matter);
    return condition.seen(this.#activation);
  }

  #look(condition: Condition, { caller, method, model, version, facts }: Matter): ConditionFailure | undefined {
    const activation = this.#activation;
    const { call } = activation;
    activation.caller = caller.attributes;
    activation.claims = caller.claims;
    call.method = method;
    call.service = method.slice(0, method.lastIndexOf('/'));
    // What is left open may be any: a condition that asks for it is not met, nor its contrary.
    call.model = model === '' ? undefined : model;
    call.version = version === '' ? undefined : version;
    if (!condition.dependsOn.has('call')) return undefined;
    if (facts === undefined) return { failed: 'nothing is known of the call' };
    call.address = plainAddress(facts.peer.address);
    call.server_name = facts.peer.serverName;
    call.time = timestampOf(facts.at, call.time);
    return condition.metadata.length === 0 ? undefined : this.#readHeaders(condition.metadata, facts.headers);
  }

  /** Of a header that comes twice, the model server may read either: nothing can be said of it. */
  #readHeaders(names: readonly string[], headers: readonly string[]): ConditionFailure | undefined {
    const metadata = this.#metadata;
    for (const name of names) metadata[name] = undefined;
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at] ?? '';
      if (!names.includes(name)) continue;
      if (metadata[name] !== undefined) return { failed: `the header ${name} comes twice` };
      metadata[name] = headers[at + 1] ?? '';
    }
    return undefined;
  }
}

/** IPv4 is IPv4, also on a socket of both families. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}
