/** Trust that ends while something else is under way: a token that is being verified, a CA that is being replaced, a list that is renewed. */
import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Generation } from '../../src/config/generation.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { createCa, type IssuedCertificate, issueClient } from '../../src/identity/issue.ts';
import { type RevocationList, readRevocationLists } from '../../src/identity/revocation-list-reader.ts';
import { ok, type Result } from '../../src/kernel/result.ts';
import { eventually, fresh, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { Answer } from '../fakes/raw-grpc-client.ts';
import { type ListOptions, revocationList } from '../fakes/revocation-lists.ts';
import { RunningStream } from '../fakes/running-stream.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

const EXPIRED = { status: 16, reason: 'AUTHORIZATION_EXPIRED' };

describe('a call whose token is being verified, over a connection that carries others to the model server,', () => {
  /** What happens to its caller before its issuer's keys have come. */
  async function meanwhile(
    change: () => Partial<TenantConfig>,
    before: () => Partial<TenantConfig> = () => ({}),
    until: () => Promise<unknown> = () => Promise.resolve(),
    headers: () => Readonly<Record<string, string>> = () => ({}),
  ): Promise<Answer> {
    let keys: ((answer: Result<Buffer, string>) => void) | undefined;
    ground = await HostileGround.start({ fetch: () => new Promise((resolve) => (keys = resolve)) });
    const jwks = { kind: 'url', url: 'https://keys.test/', caPem: undefined } as const;
    const issuers = ground.acme.config.issuers.map((each) => ({ ...each, jwks }));
    ground.sidecar.apply(ground.generation({ acme: { issuers, ...before() } }));
    const client = await ground.client();
    expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    const authorization = `Bearer ${ground.acme.issuer.token(fresh())}`;
    const call = client.call(INFER, { headers: { authorization, ...headers() }, chunks: [inferRequest()] });
    await eventually('the keys are asked for', () => keys !== undefined);
    ground.sidecar.apply(ground.generation({ acme: { issuers, ...before(), ...change() } }));
    await until();
    keys?.(ok(Buffer.from(ground.acme.issuer.jwks())));
    return call;
  }

  it.each<[string, () => Partial<TenantConfig>]>([
    ['whose subject is denied', () => ({ denied: [{ kind: 'subject', value: 'alice', source: 'tenant.yaml:7' }] })],
    ['whose role is gone', () => ({ roles: [] })],
    ['whose CA is replaced', () => ({ clientCaPem: createCa({ commonName: 'another CA', days: 1 }).certPem })],
  ])('%s meanwhile, ends, and nothing of it reaches the model server', async (_, change) => {
    expect(await meanwhile(change)).toMatchObject(EXPIRED);
    expect(ground.upstream.calls).toHaveLength(1);
  });

  it('whose API key ends meanwhile, ends, and nothing of it reaches the model server', async () => {
    const expiresAtSeconds = Math.ceil(Date.now() / 1000) + 1;
    const answer = await meanwhile(
      () => ({}),
      () => ({ apiKeys: ground.acme.config.apiKeys.map((each) => ({ ...each, expiresAtSeconds })) }),
      async () => {
        while (Date.now() < expiresAtSeconds * 1000 + 20) await delay(20);
      },
      () => ({ 'x-api-key': ground.acme.apiKey }),
    );
    expect(answer).toMatchObject(EXPIRED);
    expect(ground.upstream.calls).toHaveLength(1);
  });
});

describe('a client whose CA’s lists are fetched', () => {
  function listOf(ca: IssuedCertificate, options: ListOptions): readonly RevocationList[] {
    const read = readRevocationLists(Buffer.from(revocationList(ca, options)), [new X509Certificate(ca.certPem)]);
    if (!read.ok) throw new Error(read.error);
    return read.value;
  }

  /** Acme's configuration, whose lists are all fetched. */
  function fetching(more: Partial<TenantConfig> = {}): Generation {
    const policy = { graceMs: 0, whenUnknown: 'refuse', refreshMs: 60_000 } as const;
    return ground.generation({ acme: { clientRevocation: { lists: [], urls: [], ...policy }, ...more } });
  }

  const soon = (): Date => new Date((Math.ceil(Date.now() / 1000) + 1) * 1000);

  it('runs on when a newer one has come before the one it began with ends', async () => {
    ground = await HostileGround.start();
    const { ca } = ground.acme.pki;
    const nextUpdate = soon();
    ground.sidecar.apply(fetching());
    ground.sidecar.setLists(ground.acme.config.id, listOf(ca, { number: 1, nextUpdate }));
    const stream = await RunningStream.begin(ground, await ground.client());
    ground.sidecar.setLists(ground.acme.config.id, listOf(ca, { number: 2 }));
    while (Date.now() < nextUpdate.getTime() + 100) await delay(20);
    await stream.goesOn();
  });

  it('ends with the newer one, where that ends sooner than the one before', async () => {
    ground = await HostileGround.start();
    const { ca } = ground.acme.pki;
    ground.sidecar.apply(fetching());
    ground.sidecar.setLists(ground.acme.config.id, listOf(ca, { number: 1 }));
    const client = await ground.client();
    const stream = await RunningStream.begin(ground, client);
    const nextUpdate = soon();
    ground.sidecar.setLists(ground.acme.config.id, listOf(ca, { number: 2, nextUpdate }));
    while (Date.now() < nextUpdate.getTime() + 100) await delay(20);
    expect(await client.call(INFER, { chunks: [inferRequest()] })).toMatchObject({
      status: 16,
      reason: 'CERTIFICATE_UNACCEPTABLE',
    });
    expect(await stream.ended).toMatchObject(EXPIRED);
  });

  it('is held against the lists of a CA that has come since', async () => {
    ground = await HostileGround.start();
    const { ca, spiffeId } = ground.acme.pki;
    ground.sidecar.apply(fetching());
    ground.sidecar.setLists(ground.acme.config.id, listOf(ca, {}));
    expect((await (await ground.client()).call(INFER, { chunks: [inferRequest()] })).status).toBe(0);

    const next = createCa({ commonName: 'next CA', days: 1 });
    const client = issueClient(next, { spiffeId, days: 1 });
    ground.sidecar.apply(fetching({ clientCaPem: `${ca.certPem}${next.certPem}` }));
    const lists = [...listOf(ca, {}), ...listOf(next, { revoked: [client.certPem] })];
    ground.sidecar.setLists(ground.acme.config.id, lists);
    await expect(ground.client(ground.acme, client)).rejects.toThrow();
    const refusals = await ground.sidecar.refusals();
    expect(refusals.map(({ reason }) => reason)).toContain('TLS_CLIENT_CERT_REVOKED');
  });
});
