/**
 * The client of the Workload API against an agent that is well, away, slow, mistaken or hostile.
 */
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { bundleName, svidName } from '../../../src/config/workload-material.ts';
import { MAX_MESSAGE_BYTES, WorkloadApi, type WorkloadApiOptions } from '../../../src/identity/workload-api.ts';
import type { UnusableBundle } from '../../../src/identity/workload-identities.ts';
import type { StreamTimes } from '../../../src/identity/workload-stream.ts';
import { type Answer, bundlesOf, svidEntry, trustDomain, WorkloadAgent } from '../../fakes/workload-agent.ts';

const acme = trustDomain('acme.example');
const globex = trustDomain('globex.example');
const INGRESS = svidName({ by: 'id', spiffeId: 'spiffe://acme.example/ingress' });
const DEFAULT = svidName({ by: 'default' });
const ACME = bundleName('acme.example');
const GLOBEX = bundleName('globex.example');
const ALL = new Set([INGRESS, DEFAULT, ACME, GLOBEX]);

const QUICK: StreamTimes = { firstMessageMs: 2_000, paceMs: 1, backoffMs: 5, maxBackoffMs: 20 };

const agents: WorkloadAgent[] = [];
const apis: WorkloadApi[] = [];
afterEach(() => {
  for (const api of apis.splice(0)) api.close();
  for (const agent of agents.splice(0)) agent.stop();
});

async function agentWith(answers: Readonly<Record<string, Answer>>): Promise<WorkloadAgent> {
  const agent = await WorkloadAgent.start(answers);
  agents.push(agent);
  return agent;
}

/** A client that remembers what it was told, and lets a test wait for it. */
function follow(agent: WorkloadAgent, names: ReadonlySet<string> = ALL, options: WorkloadApiOptions = {}) {
  const told = { changes: [] as string[][], states: [] as string[], refused: 0, unusable: [] as UnusableBundle[] };
  const waiting = new Set<() => void>();
  const tell = (): void => {
    for (const wake of [...waiting]) wake();
  };
  const api = new WorkloadApi(
    agent.target,
    {
      changed: (changed) => {
        told.changes.push([...changed].sort());
        tell();
      },
      state: (kind, state) => {
        told.states.push(`${kind} ${state.at}${'why' in state ? ` ${state.why}` : ''}`);
        tell();
      },
      refused: () => {
        told.refused += 1;
        tell();
      },
      unusable: (bundles) => {
        told.unusable.push(...bundles);
        tell();
      },
    },
    { times: QUICK, random: () => 0.5, ...options },
  );
  apis.push(api);
  api.follow(names);
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          waiting.delete(wake);
          clearTimeout(timer);
          resolve();
        };
        // What a fake remembers nobody tells of.
        const timer = setTimeout(wake, 20);
        waiting.add(wake);
      });
    }
  };
  return { api, told, until };
}

const SVIDS = { svids: [svidEntry(acme, 'first'), svidEntry(acme, 'ingress', { hint: 'internal' })] };
const BUNDLES = bundlesOf(acme, globex);
const WELL = { FetchX509SVID: SVIDS, FetchX509Bundles: BUNDLES };

describe('an agent that is well', () => {
  it('gives certificates by default, id and hint, and authorities by trust domain', async () => {
    const { api, until } = follow(await agentWith(WELL));
    await until(() => [...ALL].every((name) => api.identities.has(name)));
    const read = (name: string): string => {
      const text = api.identities.read(name);
      return text?.ok === true ? text.value : '';
    };
    expect(read(DEFAULT)).not.toBe(read(INGRESS));
    expect(read(svidName({ by: 'hint', hint: 'internal' }))).toBe(read(INGRESS));
    expect(read(ACME)).toBe(acme.ca.certPem.replaceAll('\r\n', '\n'));
    expect(api.identities.read(svidName({ by: 'hint', hint: 'external' }))).toMatchObject({
      ok: false,
      error: expect.stringContaining('spiffe://acme.example/first, spiffe://acme.example/ingress'),
    });
  });

  it('is followed over TCP as well, whatever proxy the environment names', async () => {
    const agent = await WorkloadAgent.start(WELL, 'tcp');
    agents.push(agent);
    vi.stubEnv('http_proxy', 'http://127.0.0.1:1');
    vi.stubEnv('grpc_proxy', 'http://127.0.0.1:1');
    const { api, until } = follow(agent);
    await until(() => [...ALL].every((name) => api.identities.has(name)));
    vi.unstubAllEnvs();
  });

  it('is asked with the header against forged requests, and only for what is needed', async () => {
    const agent = await agentWith(WELL);
    const { api, until } = follow(agent, new Set([ACME]));
    await until(() => api.identities.has(ACME));
    expect(agent.asked).toEqual([{ method: 'FetchX509Bundles', header: ['true'] }]);
    expect(api.identities.read(INGRESS)).toBeUndefined();
    api.follow(new Set([INGRESS]));
    await until(() => api.identities.has(INGRESS) && agent.open('FetchX509Bundles') === 0);
    expect([...api.states.keys()]).toEqual(['svids']);
    // What it said before it was left is not believed when it is asked again.
    expect(api.identities.isKnown(ACME)).toBe(false);
  });

  it('tells of what has changed, and of nothing else', async () => {
    const agent = await agentWith(WELL);
    const { told, until } = follow(agent);
    await until(() => told.changes.length === 2);
    told.changes.length = 0;
    agent.say('FetchX509SVID', { svids: [SVIDS.svids[0], svidEntry(acme, 'ingress')] });
    await until(() => told.changes.length === 1);
    agent.say('FetchX509Bundles', bundlesOf(acme));
    await until(() => told.changes.length === 2);
    agent.say('FetchX509Bundles', bundlesOf(acme));
    agent.say('FetchX509Bundles', bundlesOf(acme, globex));
    await until(() => told.changes.length === 3);
    expect(told.changes).toEqual([[svidName({ by: 'hint', hint: 'internal' }), INGRESS].sort(), [GLOBEX], [GLOBEX]]);
  });

  it('takes back what a message leaves out', async () => {
    const agent = await agentWith(WELL);
    const { api, until } = follow(agent);
    await until(() => api.identities.has(INGRESS) && api.identities.has(GLOBEX));
    agent.say('FetchX509SVID', { svids: [SVIDS.svids[0]] });
    agent.say('FetchX509Bundles', bundlesOf(acme));
    await until(() => !api.identities.has(INGRESS) && !api.identities.has(GLOBEX));
    expect(api.identities.has(DEFAULT)).toBe(true);
    expect(api.identities.has(ACME)).toBe(true);
  });
});

describe('an agent that is away', () => {
  it('is asked again until it is there, and what it last gave holds meanwhile', async () => {
    const agent = await agentWith(WELL);
    const { api, told, until } = follow(agent);
    await until(() => [...ALL].every((name) => api.identities.has(name)));
    agent.leave();
    await until(() => told.states.some((state) => state.startsWith('svids failing UNAVAILABLE')));
    expect([...ALL].every((name) => api.identities.has(name))).toBe(true);
    agent.answers.set('FetchX509SVID', { svids: [svidEntry(acme, 'back')] });
    await agent.listen();
    await until(() => !api.identities.has(INGRESS) && api.states.get('bundles')?.at === 'following');
    expect(told.states.at(-1)).toMatch(/following$/);
  });

  it('lets a certificate end all the same', async () => {
    let nowMs = Date.now();
    const soon = { svids: [svidEntry(acme, 'ingress', { notAfter: new Date(nowMs + 2_000) })] };
    const agent = await agentWith({ FetchX509SVID: soon });
    const { api, told, until } = follow(agent, new Set([INGRESS]), { nowMs: () => nowMs });
    await until(() => api.identities.has(INGRESS));
    agent.leave();
    nowMs += 60_000;
    // The timer was set for what the clock said then.
    await until(() => !api.identities.has(INGRESS));
    expect(told.changes.at(-1)).toContain(INGRESS);
  }, 15_000);

  it.each([
    ['PERMISSION_DENIED', status.PERMISSION_DENIED],
    ['UNAVAILABLE', status.UNAVAILABLE],
  ])('or says %s, is asked again', async (_name, code) => {
    const agent = await agentWith({ FetchX509SVID: { code, details: 'no identity issued' } });
    const { api, told, until } = follow(agent, new Set([INGRESS]));
    await until(() => agent.asked.length > 2);
    expect(told.states).toEqual([`svids failing ${_name}: no identity issued`]);
    agent.answers.set('FetchX509SVID', SVIDS);
    await until(() => api.identities.has(INGRESS));
  });

  it('keeps what it gave when it says PERMISSION_DENIED, as one does that has just begun', async () => {
    const agent = await agentWith(WELL);
    const { api, told, until } = follow(agent);
    await until(() => api.identities.has(INGRESS));
    agent.say('FetchX509SVID', { code: status.PERMISSION_DENIED, details: 'no identity issued' });
    await until(() => told.states.some((state) => state.includes('PERMISSION_DENIED')));
    expect(api.identities.has(INGRESS)).toBe(true);
  });

  it.each([
    ['INVALID_ARGUMENT', status.INVALID_ARGUMENT],
    ['UNIMPLEMENTED', status.UNIMPLEMENTED],
  ])('is not asked again by itself when it says %s', async (name, code) => {
    const agent = await agentWith({ FetchX509SVID: { code, details: 'no' } });
    const { api, told, until } = follow(agent, new Set([INGRESS]));
    await until(() => told.states.length === 1);
    expect(told.states).toEqual([`svids stopped ${name}: no`]);
    expect(agent.asked).toHaveLength(1);
    agent.answers.set('FetchX509SVID', SVIDS);
    api.retry();
    await until(() => api.identities.has(INGRESS));
    expect(agent.asked).toHaveLength(2);
  });

  it('or never answers, is asked again after a while', async () => {
    const agent = await agentWith({ FetchX509SVID: 'silence' });
    const { api, told, until } = follow(agent, new Set([INGRESS]), { times: { ...QUICK, firstMessageMs: 100 } });
    await until(() => agent.asked.length > 1);
    expect(told.states).toEqual(['svids failing no answer within 100 ms']);
    agent.answers.set('FetchX509SVID', SVIDS);
    await until(() => api.identities.has(INGRESS));
  });
});

describe('a hostile agent', () => {
  it('cannot take good certificates away with a malformed message', async () => {
    const agent = await agentWith(WELL);
    const { api, told, until } = follow(agent);
    await until(() => api.identities.has(INGRESS));
    const [first] = SVIDS.svids;
    const wrongKey = { ...first, x509SvidKey: SVIDS.svids[1]?.x509SvidKey };
    for (const message of [{ svids: [] }, { svids: [wrongKey] }, { svids: [{ ...first, bundle: Buffer.alloc(0) }] }])
      agent.say('FetchX509SVID', message);
    await until(() => told.refused === 3);
    expect(api.identities.has(INGRESS)).toBe(true);
    expect(told.states.at(-1)).toMatch(/^svids failing a message is refused/);
    agent.say('FetchX509SVID', { svids: [first] });
    await until(() => !api.identities.has(INGRESS));
    expect(told.states.at(-1)).toBe('svids following');
  });

  it.each([
    ['noise', Buffer.from('ffffffffffffffffffff', 'hex')],
    ['a length beyond the end', Buffer.from('0a7f00', 'hex')],
    ['a group that never ends', Buffer.alloc(5_000, 0x0b)],
    ['text that is no UTF-8', Buffer.from('0a040a02ffff', 'hex')],
  ])('sends %s instead of a message, and what came before holds', async (_what, octets) => {
    const agent = await agentWith(WELL);
    const { api, told, until } = follow(agent);
    await until(() => api.identities.has(INGRESS));
    agent.say('FetchX509SVID', octets);
    await until(() => told.states.at(-1)?.startsWith('svids failing') === true);
    expect(api.identities.has(INGRESS)).toBe(true);
    agent.say('FetchX509SVID', SVIDS);
    await until(() => api.states.get('svids')?.at === 'following');
  });

  it('spoils the authorities of one trust domain, and those of no other', async () => {
    const bundles = { ...BUNDLES.bundles, 'spiffe://globex.example': Buffer.alloc(0), 'https://x': Buffer.alloc(9) };
    const { api, told, until } = follow(await agentWith({ FetchX509Bundles: { bundles } }), new Set([ACME, GLOBEX]));
    await until(() => api.identities.has(ACME));
    expect(api.identities.has(GLOBEX)).toBe(false);
    expect(told.unusable.map(({ trustDomain: domain, why }) => `${domain}: ${why}`).sort()).toEqual([
      'https://x: is named by no trust domain',
      'spiffe://globex.example: is empty',
    ]);
  });

  it('cannot name a trust domain that reaches into objects', async () => {
    const bundles = JSON.parse('{"__proto__": 1, "constructor": 1}') as Record<string, unknown>;
    const poisoned = Object.fromEntries(Object.keys(bundles).map((key) => [key, Buffer.from('x')]));
    const message = { bundles: { ...poisoned, ...BUNDLES.bundles } };
    const { api, until } = follow(await agentWith({ FetchX509Bundles: message }), new Set([ACME]));
    await until(() => api.identities.has(ACME));
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    expect('x' in {}).toBe(false);
  });

  it('names no trust domain at all, and is refused', async () => {
    const agent = await agentWith({ FetchX509Bundles: { bundles: {} } });
    const { api, told, until } = follow(agent, new Set([ACME]));
    await until(() => told.refused === 1);
    expect(api.identities.isKnown(ACME)).toBe(false);
  });

  it('may send a message of the limit, and not one byte more', async () => {
    const message = (bytes: number) => {
      // Two octets of tag and five of length stand before the padding, in a hint that nobody asks for.
      const entry = { ...svidEntry(acme, 'ingress'), hint: '' };
      const bare = sizeOf(entry);
      return { svids: [{ ...entry, hint: 'h'.repeat(bytes - bare) }] };
    };
    const agent = await agentWith({ FetchX509SVID: message(MAX_MESSAGE_BYTES) });
    const { api, told, until } = follow(agent, new Set([INGRESS]));
    await until(() => api.identities.has(INGRESS));
    agent.say('FetchX509SVID', message(MAX_MESSAGE_BYTES + 1));
    await until(() => told.states.some((state) => state.includes('RESOURCE_EXHAUSTED')));
    expect(api.identities.has(INGRESS)).toBe(true);
  });

  it('is heard one message at a time, however fast it sends', async () => {
    const agent = await agentWith(WELL);
    const { told, until } = follow(agent, new Set([INGRESS]), { times: { ...QUICK, paceMs: 50 } });
    await until(() => told.changes.length === 1);
    const begun = performance.now();
    for (let i = 0; i < 5; i += 1) agent.say('FetchX509SVID', { svids: [svidEntry(acme, 'ingress')] });
    await until(() => told.changes.length === 6);
    expect(performance.now() - begun).toBeGreaterThan(4 * 50);
  });
});

/** Octets of a message with this one entry and an empty hint, plus those that a hint's tag and length would take. */
function sizeOf(entry: ReturnType<typeof svidEntry>): number {
  const { x509Svid, x509SvidKey, bundle, spiffeId } = entry;
  const field = (length: number): number => 1 + varint(length) + length;
  const fields = [x509Svid.length, x509SvidKey.length, bundle.length, spiffeId.length].reduce(
    (n, l) => n + field(l),
    0,
  );
  // The entry's own tag and length, and the hint's: each of four octets, for what is above 2 MiB.
  return fields + 1 + 4 + 1 + 4;
}

function varint(value: number): number {
  return value < 128 ? 1 : value < 16_384 ? 2 : 3;
}
