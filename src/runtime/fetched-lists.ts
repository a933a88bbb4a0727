/**
 * Revocation lists that tenants' files name by URL: fetched by the main thread, held against the tenant's CAs, handed to the workers.
 *
 * Each source is asked alone and by one request at a time, again before its list ends, and less and less often while it fails; a list is
 * kept until a newer one comes. What becomes of clients when the last one has ended is the tenant's `whenUnknown`.
 */
import { X509Certificate } from 'node:crypto';
import { fetchRevocationLists } from '../authn/revocation-list-fetch.ts';
import { Turnstile } from '../authn/turnstile.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import { isNewer, newestLists } from '../identity/client-revocation.ts';
import { authorityOf, type RevocationList } from '../identity/revocation-list-reader.ts';
import type { TenantId } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';

/** Lists that are fetched at once: of ten thousand tenants at a start, all would be too many. */
export const MAX_LISTS_AT_ONCE = 8;
/** A source is asked no more often than so, whatever its lists say; and first so soon after a failure. */
const MIN_WAIT_MS = 10_000;
const JITTER = 0.1;
export interface FetchedListsHost {
  readonly fetch: DocumentFetch;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly nowMs: () => number;
  /** A tenant has other lists than before; none: it has no source any more. */
  changed(tenant: TenantId, lists: readonly RevocationList[]): void;
  failed(tenant: TenantId, url: string, why: string): void;
}

type Revocation = NonNullable<TenantConfig['clientRevocation']>;

/** What a source is asked for; another is another source. */
interface Order {
  readonly tenant: TenantId;
  readonly source: Revocation['urls'][number];
  readonly refreshMs: number;
  readonly clientCaPem: string;
}

export class FetchedLists {
  readonly #host: FetchedListsHost;
  readonly #turnstile = new Turnstile(MAX_LISTS_AT_ONCE);
  readonly #sources = new Map<string, Source>();

  constructor(host: FetchedListsHost) {
    this.#host = host;
  }

  /** Follows what these tenants name, and nothing else. */
  apply(tenants: readonly Pick<TenantConfig, 'id' | 'clientRevocation' | 'clientCaPem'>[]): void {
    const orders = new Map<string, Order>();
    for (const { id, clientRevocation, clientCaPem } of tenants) {
      for (const source of clientRevocation?.urls ?? []) {
        const order = { tenant: id, source, refreshMs: clientRevocation?.refreshMs ?? 0, clientCaPem };
        orders.set(JSON.stringify(order), order);
      }
    }
    const lost = new Set<TenantId>();
    const before = new Map<string, readonly RevocationList[]>();
    for (const [key, source] of this.#sources) {
      if (orders.has(key)) continue;
      source.stop();
      this.#sources.delete(key);
      lost.add(source.order.tenant);
      before.set(placeOf(source.order), source.lists);
    }
    for (const [key, order] of orders) {
      if (this.#sources.has(key)) continue;
      const lists = stillOf(order.clientCaPem, before.get(placeOf(order)) ?? []);
      const source = new Source(order, lists, this.#host, this.#turnstile, () => this.#tell(order.tenant));
      this.#sources.set(key, source);
    }
    for (const tenant of lost) this.#tell(tenant);
  }

  close(): void {
    for (const source of this.#sources.values()) source.stop();
    this.#sources.clear();
  }

  #tell(tenant: TenantId): void {
    const sources = [...this.#sources.values()].filter(({ order }) => order.tenant === tenant);
    this.#host.changed(
      tenant,
      sources.flatMap((source) => source.lists),
    );
  }
}

function placeOf({ tenant, source }: Order): string {
  return `${tenant} ${source.url}`;
}

/** Those that are of one of these CAs: a bundle that gets another CA takes no list from the clients of those that stay. */
function stillOf(clientCaPem: string, lists: readonly RevocationList[]): readonly RevocationList[] {
  if (lists.length === 0) return lists;
  const cas = new Set((clientCaPem.match(PEM_CERTIFICATE) ?? []).map((pem) => authorityOf(new X509Certificate(pem))));
  return lists.filter(({ authority }) => cas.has(authority));
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

class Source {
  readonly order: Order;
  lists: readonly RevocationList[];
  readonly #host: FetchedListsHost;
  readonly #changed: () => void;
  readonly #turnstile: Turnstile;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** `lists`: those that the source before it had. */
  constructor(
    order: Order,
    lists: readonly RevocationList[],
    host: FetchedListsHost,
    turnstile: Turnstile,
    changed: () => void,
  ) {
    this.order = order;
    this.lists = lists;
    this.#host = host;
    this.#turnstile = turnstile;
    this.#changed = changed;
    void this.#ask();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<void> {
    const { tenant, source, clientCaPem } = this.order;
    const fetched = await this.#turnstile.run(() => fetchRevocationLists(source, clientCaPem, this.#host.fetch));
    if (this.#isStopped()) return;
    const news = fetched.ok ? this.#take(fetched.value) : fetched;
    if (news.ok) this.#failures = 0;
    else {
      this.#failures += 1;
      this.#host.failed(tenant, source.url, news.error);
    }
    const waitMs = this.#waitMs() * (1 + JITTER * (2 * this.#host.random() - 1));
    this.#timer = setTimeout(() => void this.#ask(), waitMs).unref();
    if (news.ok && news.value) this.#changed();
  }

  /** As a question: it may change while a fetch is awaited. */
  #isStopped(): boolean {
    return this.#stopped;
  }

  /** Takes what is no older than what it has of each CA. True when something of it is new. */
  #take(lists: readonly RevocationList[]): Result<boolean, string> {
    const known = newestLists(this.lists);
    for (const list of lists) {
      const before = known.get(list.authority);
      if (before !== undefined && isNewer(before, list)) return err(`an older list of ${list.issuer} than before`);
    }
    const isNew = lists.some((list) => {
      const before = known.get(list.authority);
      return before === undefined || isNewer(list, before);
    });
    if (isNew) this.lists = [...newestLists([...this.lists, ...lists]).values()];
    return ok(isNew);
  }

  /** Twice within what is left of the list that ends first, so that one failure does no harm. */
  #waitMs(): number {
    const { refreshMs } = this.order;
    const left = Math.min(...this.lists.map(({ nextUpdateMs }) => nextUpdateMs - this.#host.nowMs()));
    const usual = Math.min(refreshMs, Math.max(MIN_WAIT_MS, left / 2));
    return this.#failures === 0 ? usual : Math.min(usual, MIN_WAIT_MS * 2 ** Math.min(this.#failures - 1, 20));
  }
}
