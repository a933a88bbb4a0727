import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ClientRevocationConfig } from '../../../src/config/credentials-config.ts';
import type { DocumentRequest } from '../../../src/fetching/document-fetch.ts';
import { createCa } from '../../../src/identity/issue.ts';
import type { TenantId } from '../../../src/kernel/ids.ts';
import { err, ok, type Result } from '../../../src/kernel/result.ts';
import { FetchedLists, MAX_LISTS_AT_ONCE } from '../../../src/runtime/fetched-lists.ts';
import { revocationList } from '../../fakes/revocation-lists.ts';
import { tenantId } from '../../fakes/trust.ts';

const ca = createCa({ commonName: 'acme CA', days: 1 });
const other = createCa({ commonName: 'other CA', days: 1 });
const acme = tenantId('acme');
const URL_ = 'https://crl.test/acme.crl';

interface Tenant {
  readonly id: TenantId;
  readonly clientCaPem: string;
  readonly clientRevocation: ClientRevocationConfig;
}

function tenant(id = acme, urls: readonly string[] = [URL_], changes: Partial<ClientRevocationConfig> = {}): Tenant {
  const sources = urls.map((url) => ({ url, caPem: undefined, allowHttp: false }));
  const policy = { graceMs: 0, whenUnknown: 'refuse', refreshMs: 300_000 } as const;
  return { id, clientCaPem: ca.certPem, clientRevocation: { lists: [], urls: sources, ...policy, ...changes } };
}

/** A server of lists, which answers as it is told. */
class Lists {
  answer: () => Result<Buffer, string> | Promise<Result<Buffer, string>> = () => err('nothing there');
  readonly asked: DocumentRequest[] = [];
  readonly told: (readonly [TenantId, readonly (string | undefined)[]])[] = [];
  readonly failures: string[] = [];
  readonly fetched = new FetchedLists({
    fetch: async (request) => {
      this.asked.push(request);
      return this.answer();
    },
    random: () => 0.5,
    nowMs: Date.now,
    changed: (id, lists) => this.told.push([id, lists.map(({ number }) => number)]),
    failed: (_tenant, _url, why) => this.failures.push(why),
  });

  gives(number: number, nextInMs = 86_400_000, by = ca): void {
    const nextUpdate = new Date(Date.now() + nextInMs);
    const file = Buffer.from(revocationList(by, { number, nextUpdate }));
    this.answer = () => ok(file);
  }
}

let lists: Lists;
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe('lists behind URLs', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    lists = new Lists();
  });
  afterEach(() => {
    lists.fetched.close();
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('are fetched at once, bounded, and again after a while; what is new is told, once', async () => {
    lists.gives(1);
    lists.fetched.apply([tenant()]);
    await pass(0);
    expect(lists.told).toEqual([[acme, ['1']]]);
    expect(lists.asked[0]).toMatchObject({ url: URL_, timeoutMs: 10_000, maxBytes: 4 * 1024 * 1024, isSigned: false });
    await pass(300_000);
    expect([lists.asked.length, lists.told.length]).toEqual([2, 1]);
    lists.gives(2);
    await pass(300_000);
    expect(lists.told.at(-1)).toEqual([acme, ['2']]);
  });

  it('are fetched again before they end, and no more often than every ten seconds', async () => {
    lists.gives(1, 60_000);
    lists.fetched.apply([tenant()]);
    await pass(0);
    await pass(29_000);
    expect(lists.asked).toHaveLength(1);
    await pass(1_500);
    expect(lists.asked).toHaveLength(2);
    await pass(200_000);
    expect(lists.asked.length).toBeLessThan(24);
  });

  it('that cannot be had are tried again, less and less often, and the one before is kept', async () => {
    lists.gives(1);
    lists.fetched.apply([tenant()]);
    await pass(0);
    lists.answer = () => err('status 500');
    await pass(300_000);
    expect(lists.failures).toEqual(['status 500']);
    await pass(10_000);
    await pass(20_000);
    await pass(40_000);
    expect(lists.failures).toHaveLength(4);
    await pass(39_000);
    expect(lists.failures).toHaveLength(4);
    expect(lists.told).toHaveLength(1);
    lists.gives(2);
    await pass(300_000);
    expect(lists.told.at(-1)).toEqual([acme, ['2']]);
  });

  it('are not taken when they are older, of another CA, or none', async () => {
    lists.gives(5);
    lists.fetched.apply([tenant()]);
    await pass(0);
    lists.gives(4);
    await pass(300_000);
    lists.gives(6, 86_400_000, other);
    await pass(10_000);
    lists.answer = () => ok(Buffer.from('<html>'));
    await pass(20_000);
    expect(lists.failures).toEqual([
      'an older list of CN=acme CA than before',
      expect.stringContaining('not among the client CAs'),
      'what it gives holds no revocation list',
    ]);
    expect(lists.told).toEqual([[acme, ['5']]]);
  });

  it('are asked for once, however long that takes, and so many at once', async () => {
    const waiting: ((result: Result<Buffer, string>) => void)[] = [];
    lists.answer = () => new Promise((resolve) => waiting.push(resolve));
    const urls = Array.from({ length: MAX_LISTS_AT_ONCE + 1 }, (_, i) => `https://crl.test/${i}`);
    lists.fetched.apply([tenant(acme, urls)]);
    await pass(600_000);
    expect(lists.asked).toHaveLength(MAX_LISTS_AT_ONCE);
    lists.fetched.apply([tenant(acme, urls)]);
    waiting[0]?.(err('late'));
    await pass(0);
    expect(lists.asked).toHaveLength(MAX_LISTS_AT_ONCE + 1);
  });

  it('are forgotten with their tenant, and when their CA is another one', async () => {
    lists.gives(1);
    lists.fetched.apply([tenant()]);
    await pass(0);
    lists.fetched.apply([{ ...tenant(), clientCaPem: other.certPem }]);
    expect(lists.told.at(-1)).toEqual([acme, []]);
    await pass(0);
    expect(lists.failures).toHaveLength(1);
    lists.fetched.apply([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('are kept while their CA gets a successor beside it, or they are asked for otherwise', async () => {
    lists.gives(1);
    lists.fetched.apply([tenant()]);
    await pass(0);
    lists.answer = () => err('status 500');
    lists.fetched.apply([{ ...tenant(), clientCaPem: `${other.certPem}${ca.certPem}` }]);
    expect(lists.told.at(-1)).toEqual([acme, ['1']]);
    lists.fetched.apply([tenant(acme, [URL_], { refreshMs: 600_000 })]);
    await pass(0);
    expect(lists.told.at(-1)).toEqual([acme, ['1']]);
    // And no older one takes their place.
    lists.gives(0);
    await pass(600_000);
    expect(lists.told.at(-1)).toEqual([acme, ['1']]);
  });

  it('that come after their tenant has gone are nobody’s', async () => {
    let give: ((result: Result<Buffer, string>) => void) | undefined;
    lists.answer = () => new Promise((resolve) => (give = resolve));
    lists.fetched.apply([tenant()]);
    await pass(0);
    lists.fetched.apply([]);
    give?.(ok(Buffer.from(revocationList(ca))));
    await pass(0);
    expect(lists.told).toEqual([[acme, []]]);
  });
});
