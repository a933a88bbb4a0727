/**
 * The tenants' doors of one worker: the one that the configuration names, the next one while a change is prepared, and those that
 * are closed and have calls that have yet to end.
 *
 * A change of the address is made in three steps. Every worker binds the new one (`prepare`) before any closes the old one (`apply`), so
 * that it can be refused as a whole; and all have closed it before any asks its clients to connect anew (`leave`), so that none
 * comes to a door that is just being closed.
 */
import type { Holding } from '../buffers/ceiling.ts';
import type { ListenerConfig } from '../config/generation.ts';
import type { Settings } from '../config/generation-change.ts';
import type { TenantId } from '../kernel/ids.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import type { Reviewable } from './review.ts';

export type IngressOptions = Omit<ListenerOptions, 'generation' | 'listen'>;

export class Ingress {
  readonly #options: IngressOptions;
  #generation: Settings;
  #current: Listener | undefined;
  #next: Listener | undefined;
  readonly #leaving = new Set<Listener>();
  #closing = false;

  constructor(options: IngressOptions, generation: Settings) {
    this.#options = options;
    this.#generation = generation;
  }

  /** Binds the address of the generation. Returns the port. */
  async start(listen: ListenerConfig): Promise<number> {
    const listener = this.#make(listen);
    this.#current = listener;
    return listener.listen(listen.port);
  }

  /** Binds the address of a generation to come; who connects to it meanwhile is served. Rejects when it cannot. Returns the port. */
  async prepare(listen: ListenerConfig): Promise<number> {
    await this.abandon();
    const listener = this.#make(listen);
    this.#next = listener;
    try {
      return await listener.listen(listen.port);
    } catch (cause) {
      if (this.#next === listener) this.#next = undefined;
      await listener.drain(0);
      throw cause;
    }
  }

  /** The change is not made: what was prepared for it is closed. */
  async abandon(): Promise<void> {
    const next = this.#next;
    this.#next = undefined;
    if (next === undefined) return;
    await this.#close(next);
    this.leave();
  }

  /**
   * A new generation: what was prepared takes the place of what there is, which is closed. Without a listener in the
   * generation there is none. Peers of tenants in `retrust` are looked at again. Resolves when nobody can connect to the old
   * address any more.
   */
  async apply(generation: Settings, retrust: readonly TenantId[]): Promise<void> {
    this.#generation = generation;
    for (const listener of this.#all()) listener.apply(generation, retrust);
    if (this.#next === undefined && generation.listener !== undefined) return;
    const before = this.#current;
    this.#current = this.#next;
    this.#next = undefined;
    if (before !== undefined) await this.#close(before);
  }

  /** Asks the clients of what is closed to connect anew; their calls may end, up to the drain limit. */
  leave(): void {
    for (const listener of this.#leaving) {
      void listener.drain(this.#generation.shutdown.drainTimeoutMs).then(() => this.#leaving.delete(listener));
    }
  }

  /** Closes all. Resolves when nobody can connect any more. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#all().map((listener) => listener.close()));
  }

  /** Something that was good may be revoked: calls that run are judged again, of all or of those that it is about. */
  review(of?: Reviewable): void {
    for (const listener of this.#all()) listener.review(of);
  }

  get connections(): number {
    return this.#all().reduce((sum, listener) => sum + listener.connections, 0);
  }

  get calls(): number {
    return this.#all().reduce((sum, listener) => sum + listener.calls, 0);
  }

  /** Calls of the tenant in this slot, with what each holds. */
  holdings(slot: number): readonly Holding[] {
    return this.#all().flatMap((listener) => listener.holdings(slot));
  }

  connectionsOf(slot: number): readonly Holding[] {
    return this.#all().flatMap((listener) => listener.connectionsOf(slot));
  }

  /** Drains all. Returns how many calls did not get to their own end. Called again, it can only end sooner. */
  async drain(timeoutMs: number): Promise<number> {
    this.#closing = true;
    const cut = await Promise.all(this.#all().map((listener) => listener.drain(timeoutMs)));
    return cut.reduce((sum, calls) => sum + calls, 0);
  }

  #all(): readonly Listener[] {
    return [this.#current, this.#next, ...this.#leaving].filter((listener) => listener !== undefined);
  }

  #make(listen: ListenerConfig): Listener {
    if (this.#closing) throw new Error('the worker is ending');
    return new Listener({ ...this.#options, generation: this.#generation, listen });
  }

  #close(listener: Listener): Promise<void> {
    this.#leaving.add(listener);
    return listener.close();
  }
}
