/** What is revoked ends at once: for new calls, and for streams that run. Everybody else notices nothing. */
import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { DeniedCredential } from '../../src/config/credentials-config.ts';
import { normalSerial } from '../../src/config/denied.ts';
import type { Generation } from '../../src/config/generation.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { createCa, issueClient } from '../../src/identity/issue.ts';
import { readRevocationLists } from '../../src/identity/revocation-list-reader.ts';
import { ok, type Result } from '../../src/kernel/result.ts';
import { BALANCED, eventually, fresh, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { type ListOptions, revocationList } from '../fakes/revocation-lists.ts';
import { FIRST_MESSAGE, RunningStream } from '../fakes/running-stream.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

const EXPIRED = { status: 16, reason: 'AUTHORIZATION_EXPIRED' };
type Headers = Readonly<Record<string, string>>;

/** Alice's token, of her session. */
function token(claims: object = {}): Headers {
  return {
    authorization: `Bearer ${ground.acme.issuer.token(fresh({ sid: 'session-1', jti: 'token-1', ...claims }))}`,
  };
}
const key = (): Headers => ({ 'x-api-key': ground.acme.apiKey });
const serial = (): string => normalSerial(new X509Certificate(ground.acme.pki.client.certPem).serialNumber);

function entry(kind: DeniedCredential['kind'], value: string, more: Partial<DeniedCredential> = {}): DeniedCredential {
  return { kind, value, source: 'tenants/acme.yaml:7 denied[0]', ...more };
}

/** What an entry names, and whose stream is neither it nor anybody else's who presents it. */
interface Kind {
  readonly name: string;
  readonly entry: () => DeniedCredential;
  readonly headers: () => Headers;
  readonly credential: 'certificate' | 'token' | 'api key';
  /** What a new call is refused with. */
  readonly refusal: string;
  /** The same, of somebody else. */
  readonly elsewhere: () => DeniedCredential;
}

const CERTIFICATE = {
  headers: (): Headers => ({}),
  credential: 'certificate',
  refusal: 'CERTIFICATE_UNACCEPTABLE',
} as const;
const TOKEN = { headers: token, credential: 'token', refusal: 'TOKEN_INVALID' } as const;

const KINDS: readonly Kind[] = [
  {
    ...CERTIFICATE,
    name: 'serial number',
    entry: () => entry('serial', serial(), { issuer: 'CN = acme test CA' }),
    elsewhere: () => entry('serial', serial(), { issuer: 'CN=globex test CA' }),
  },
  {
    ...CERTIFICATE,
    name: 'SPIFFE id',
    entry: () => entry('spiffe', ground.acme.pki.spiffeId),
    elsewhere: () => entry('spiffe', `${ground.acme.pki.spiffeId}/other`),
  },
  {
    name: 'key id',
    entry: () => entry('key', 'acme-key'),
    headers: key,
    credential: 'api key',
    refusal: 'API_KEY_INVALID',
    elsewhere: () => entry('key', 'globex-key'),
  },
  {
    ...TOKEN,
    name: 'subject',
    entry: () => entry('subject', 'alice', { issuer: ground.acme.issuer.issuer }),
    elsewhere: () => entry('subject', 'alice', { issuer: ground.globex.issuer.issuer }),
  },
  {
    ...TOKEN,
    name: 'session (sid)',
    entry: () => entry('session', 'session-1'),
    elsewhere: () => entry('session', 'session-2'),
  },
  {
    ...TOKEN,
    name: 'session (jti)',
    entry: () => entry('session', 'token-1', { issuer: ground.acme.issuer.issuer }),
    elsewhere: () => entry('session', 'token-1', { issuer: 'https://elsewhere.test' }),
  },
];

/** The lists that may have an entry. */
const LISTS: readonly (readonly [string, (denied: DeniedCredential) => Generation])[] = [
  ['the tenant’s list', (denied) => ground.generation({ acme: { denied: [denied] } })],
  ['the list for all tenants', (denied) => ({ ...ground.generation(), denied: [denied] })],
];

const CASES = KINDS.flatMap((kind) => LISTS.map(([list, generation]) => ({ ...kind, list, generation })));

/** Somebody else of the same tenant, with a certificate and token of their own. */
async function bob(): Promise<{ client: RawGrpcClient; headers: Headers }> {
  const { ca, trustDomain } = ground.acme.pki;
  const certificate = issueClient(ca, { spiffeId: `spiffe://${trustDomain}/bob`, days: 1 });
  const headers = token({ sub: 'bob', sid: 'session-b', jti: 'token-b' });
  return { client: await ground.client(ground.acme, certificate), headers };
}

describe('what a deny list names', () => {
  it.each(CASES)('by its $name in $list ends within a second, alone, and is refused from then on', async (kind) => {
    ground = await HostileGround.start();
    const client = await ground.client();
    const other = await bob();
    const neighbour = await RunningStream.begin(ground, await ground.client(ground.globex));
    const others = await RunningStream.begin(ground, other.client, other.headers);
    const stream = await RunningStream.begin(ground, client, kind.headers());

    ground.sidecar.apply(kind.generation(kind.elsewhere()));
    await stream.goesOn();

    const from = performance.now();
    ground.sidecar.apply(kind.generation(kind.entry()));
    const end = await stream.ended;
    expect(end).toMatchObject({ ...EXPIRED, inTrailers: true });
    expect(end.body.subarray(0, FIRST_MESSAGE.length)).toEqual(FIRST_MESSAGE);
    expect(end.at - from).toBeLessThan(1000);
    await eventually('the model server is told', () => stream.server.destroyed);
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ outcome: 'denied', grpcStatus: 16, reason: 'authorization_expired' });
    expect(record?.detail).toContain(`why=revoked credential=${kind.credential} because=`);
    expect(record?.detail).toContain('revokedBy=tenants/acme.yaml:7 denied[0]');

    // On a connection that it had before where it still may, and on a new one.
    const infer = { headers: kind.headers(), chunks: [inferRequest()] };
    if (kind.credential === 'certificate') await expect(ground.client()).rejects.toThrow();
    else {
      expect(await client.call(INFER, infer)).toMatchObject({ status: 16, reason: kind.refusal });
      expect(await (await ground.client()).call(INFER, infer)).toMatchObject({ status: 16, reason: kind.refusal });
    }
    await others.goesOn();
    await neighbour.goesOn();
  });

  it('and its end has passed, means nothing', async () => {
    ground = await HostileGround.start();
    const stream = await RunningStream.begin(ground, await ground.client());
    const untilSeconds = Math.floor(Date.now() / 1000) - 1;
    ground.sidecar.apply({ ...ground.generation(), denied: [entry('serial', serial(), { untilSeconds })] });
    await stream.goesOn();
    ground.sidecar.apply({
      ...ground.generation(),
      denied: [entry('serial', serial(), { untilSeconds: untilSeconds + 60 })],
    });
    expect(await stream.ended).toMatchObject(EXPIRED);
  });

  it('is let in again when it is taken off the list', async () => {
    ground = await HostileGround.start();
    const client = await ground.client();
    const infer = { headers: key(), chunks: [inferRequest()] };
    ground.sidecar.apply({ ...ground.generation(), denied: [entry('key', 'acme-key')] });
    expect(await client.call(INFER, infer)).toMatchObject({ status: 16, reason: 'API_KEY_INVALID' });
    ground.sidecar.apply(ground.generation());
    expect((await client.call(INFER, infer)).status).toBe(0);
  });

  it('fails a call whose token is being verified meanwhile, and nothing of it reaches the model server', async () => {
    let keys: ((answer: Result<Buffer, string>) => void) | undefined;
    ground = await HostileGround.start({ fetch: () => new Promise((resolve) => (keys = resolve)) });
    const jwks = { kind: 'url', url: 'https://keys.test/', caPem: undefined } as const;
    const issuers = ground.acme.config.issuers.map((each) => ({ ...each, jwks }));
    ground.sidecar.apply(ground.generation({ acme: { issuers } }));
    const client = await ground.client();
    const call = client.call(INFER, { headers: token(), chunks: [inferRequest()] });
    await eventually('the keys are asked for', () => keys !== undefined);
    const denied = [entry('subject', 'alice')];
    ground.sidecar.apply(ground.generation({ acme: { issuers, denied } }));
    keys?.(ok(Buffer.from(ground.acme.issuer.jwks())));
    expect(await call).toMatchObject(EXPIRED);
    expect(ground.upstream.calls).toHaveLength(0);
  });
});

describe('a client whose CA has a revocation list', () => {
  /** Acme's configuration with this list. */
  function withList(options: ListOptions | undefined, more: object = {}): Generation {
    const cas = [new X509Certificate(ground.acme.pki.ca.certPem)];
    const pem = options === undefined ? undefined : revocationList(ground.acme.pki.ca, options);
    const read = pem === undefined ? ok([]) : readRevocationLists(Buffer.from(pem), cas);
    if (!read.ok) throw new Error(read.error);
    const policy = { graceMs: 0, whenUnknown: 'refuse', refreshMs: 60_000 } as const;
    const clientRevocation = { lists: read.value, urls: [], ...policy, ...more };
    return ground.generation({ acme: { clientRevocation } });
  }

  it('calls while it is not on it, and ends within a second when it is, alone', async () => {
    ground = await HostileGround.start();
    ground.sidecar.apply(withList({ number: 1 }));
    const other = await bob();
    const neighbour = await RunningStream.begin(ground, await ground.client(ground.globex));
    const others = await RunningStream.begin(ground, other.client, other.headers);
    const stream = await RunningStream.begin(ground, await ground.client(), token());
    ground.sidecar.apply(withList({ number: 2 }));
    await stream.goesOn();
    const from = performance.now();
    ground.sidecar.apply(withList({ number: 3, revoked: [ground.acme.pki.client.certPem] }));
    const end = await stream.ended;
    expect(end).toMatchObject({ ...EXPIRED, inTrailers: true });
    expect(end.at - from).toBeLessThan(1000);
    const records = await ground.records(1);
    expect(records).toHaveLength(1);
    expect(records[0]?.detail).toContain('revokedBy=revocation list 3 of CN=acme test CA');
    await expect(ground.client()).rejects.toThrow();
    const refusals = await ground.sidecar.refusals();
    expect(refusals.map(({ reason }) => reason)).toContain('TLS_CLIENT_CERT_REVOKED');
    await others.goesOn();
    await neighbour.goesOn();
  });

  it('is refused without a list that counts, unless its tenant says otherwise', async () => {
    ground = await HostileGround.start();
    const past = new Date(Date.now() - 1000);
    for (const options of [undefined, { nextUpdate: past }]) {
      ground.sidecar.apply(withList(options));
      await expect(ground.client()).rejects.toThrow();
      ground.sidecar.apply(withList(options, { whenUnknown: 'allow' }));
      expect((await (await ground.client()).call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    }
    ground.sidecar.apply(withList({ nextUpdate: past }, { graceMs: 60_000 }));
    expect((await (await ground.client()).call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    const refusals = await ground.sidecar.refusals();
    expect(refusals.map(({ reason }) => reason)).toContain('TLS_CLIENT_CERT_STATUS_UNKNOWN');
  });

  it('runs until the list ends, and on when another has come by then', async () => {
    ground = await HostileGround.start();
    const nextUpdate = new Date((Math.ceil(Date.now() / 1000) + 1) * 1000);
    ground.sidecar.apply(withList({ number: 1, nextUpdate }));
    const client = await ground.client();
    const ends = await RunningStream.begin(ground, client, token());
    expect(await ends.ended).toMatchObject(EXPIRED);
    expect(Date.now()).toBeGreaterThanOrEqual(nextUpdate.getTime());
    expect((await ground.records(1))[0]?.detail).toBe('why=expired credential=revocation status');
    expect((await client.call(INFER, { headers: token(), chunks: [inferRequest()] })).reason).toBe(
      'CERTIFICATE_UNACCEPTABLE',
    );

    const later = new Date((Math.ceil(Date.now() / 1000) + 1) * 1000);
    ground.sidecar.apply(withList({ number: 2, nextUpdate: later }));
    const goes = await RunningStream.begin(ground, await ground.client(), token());
    ground.sidecar.apply(withList({ number: 3 }));
    while (Date.now() < later.getTime() + 100) await delay(20);
    await goes.goesOn();
  });
});

/** The one role, with these models. */
function rolesOf(...models: readonly string[]): TenantConfig['roles'] {
  const methods = ['inference.GRPCInferenceService/*'];
  return [{ name: 'all', methods, models, versions: ['*'], source: 'tenant.yaml:1' }];
}

/** What a change of acme's configuration does to a stream that runs. */
interface Change {
  readonly name: string;
  readonly headers: () => Headers;
  readonly change: () => Partial<TenantConfig>;
}

describe('a stream whose caller is no longer who may call, by a change of the configuration:', () => {
  const changes: readonly (Change & { readonly detail: string })[] = [
    {
      name: 'its API key was revoked',
      headers: key,
      change: () => ({ apiKeys: ground.acme.config.apiKeys.map((each) => ({ ...each, revoked: true })) }),
      detail: 'why=revoked credential=api key because=api_key_invalid why=revoked',
    },
    {
      name: 'its API key was removed',
      headers: key,
      change: () => ({ apiKeys: [] }),
      detail: 'why=withdrawn credential=api key because=api_key_invalid why=unknown',
    },
    {
      name: 'its API key has another secret',
      headers: key,
      change: () => ({ apiKeys: ground.acme.config.apiKeys.map((each) => ({ ...each, sha256: '0'.repeat(64) })) }),
      detail: 'why=withdrawn credential=api key because=api_key_invalid why=wrong_secret',
    },
    {
      name: 'its API key has ended by now',
      headers: key,
      change: () => ({ apiKeys: ground.acme.config.apiKeys.map((each) => ({ ...each, expiresAtSeconds: 1 })) }),
      detail: 'why=expired credential=api key because=api_key_invalid why=expired',
    },
    {
      name: 'its issuer was removed',
      headers: token,
      change: () => ({ issuers: [] }),
      detail: 'why=withdrawn credential=token because=token_invalid why=unknown issuer',
    },
    {
      name: 'its token is for an audience of before',
      headers: token,
      change: () => ({ issuers: ground.acme.config.issuers.map((each) => ({ ...each, audiences: ['other'] })) }),
      detail: 'why=withdrawn credential=token because=token_invalid why=aud names none of the audiences',
    },
    {
      name: 'its certificate alone does not suffice any more',
      headers: () => ({}),
      change: () => ({ accept: ['token'] }),
      detail: 'why=withdrawn credential=permission because=credentials_missing accepted=["token"]',
    },
    {
      name: 'its CA was replaced',
      headers: () => ({}),
      change: () => ({ clientCaPem: createCa({ commonName: 'another CA', days: 1 }).certPem }),
      detail: "why=withdrawn credential=certificate because=certificate_unacceptable why=not signed by the tenant's CA",
    },
    {
      name: 'it is bound to no role any more',
      headers: token,
      change: () => ({ bindings: [] }),
      detail: 'why=withdrawn credential=permission because=method_denied',
    },
    {
      name: 'its role has other models',
      headers: token,
      change: () => ({
        roles: [
          {
            name: 'all',
            methods: ['inference.GRPCInferenceService/*'],
            models: ['other'],
            versions: ['*'],
            source: 'tenant.yaml:1',
          },
        ],
      }),
      detail: 'why=withdrawn credential=permission because=model_denied',
    },
  ];

  it.each(changes)('$name', async ({ headers, change, detail }) => {
    ground = await HostileGround.start();
    const neighbour = await RunningStream.begin(ground, await ground.client(ground.globex));
    const stream = await RunningStream.begin(ground, await ground.client(), headers());
    const from = performance.now();
    ground.sidecar.apply(ground.generation({ acme: change() }));
    const end = await stream.ended;
    expect(end).toMatchObject({ ...EXPIRED, body: FIRST_MESSAGE, inTrailers: true });
    expect(end.at - from).toBeLessThan(1000);
    const records = await ground.records(1);
    expect(records).toHaveLength(1);
    expect(records[0]?.detail).toContain(detail);
    await neighbour.goesOn();
    neighbour.client.close();
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it.each<[string, Partial<TenantConfig>, string]>([
    ['one of its models, which was not the last', { roles: rolesOf('other') }, 'because=model_denied'],
    ['its last model', { roles: rolesOf('digits') }, 'because=model_denied'],
    ['its method', { protocols: ['tensorflow-serving'] }, 'because=method_unknown'],
  ])('%s is gone', async (_name, changes, detail) => {
    ground = await HostileGround.start();
    ground.sidecar.apply(ground.generation({ acme: { roles: rolesOf('digits', 'other') } }));
    const stream = await RunningStream.begin(ground, await ground.client());
    let received = 0;
    stream.server.on('data', (chunk: Buffer) => (received += chunk.length));
    stream.client.write(inferRequest('other'));
    await eventually('the model server has its message', () => received > 0);
    // Counter-proof: where all of it is still there, it goes on.
    ground.sidecar.apply(ground.generation({ acme: { roles: rolesOf('digits', 'other', 'third') } }));
    await stream.goesOn('other');
    ground.sidecar.apply(ground.generation({ acme: { roles: rolesOf('digits', 'other'), ...changes } }));
    expect(await stream.ended).toMatchObject({ ...EXPIRED, inTrailers: true });
    expect((await ground.records(1))[0]?.detail).toContain(`why=withdrawn credential=permission ${detail}`);
  });

  it('its tenant was removed', async () => {
    ground = await HostileGround.start();
    const neighbour = await RunningStream.begin(ground, await ground.client(ground.globex));
    const stream = await RunningStream.begin(ground, await ground.client());
    const { tenants, ...rest } = ground.generation();
    ground.sidecar.apply({ ...rest, tenants: tenants.slice(1) });
    expect(await stream.ended).toMatchObject({ ...EXPIRED, body: FIRST_MESSAGE });
    expect((await ground.records(1))[0]?.detail).toBe('why=withdrawn credential=tenant');
    await neighbour.goesOn();
  });
});

describe('a stream goes on when', () => {
  const changes: readonly Change[] = [
    {
      name: 'its tenant’s server certificate is renewed',
      headers: token,
      change: () => {
        const { pki } = ground.acme;
        return { certificate: { chainPem: pki.server.certPem, keyPem: pki.server.keyPem } };
      },
    },
    {
      name: 'its CA gets a successor beside it',
      headers: () => ({}),
      change: () => ({
        clientCaPem: `${createCa({ commonName: 'next CA', days: 1 }).certPem}${ground.acme.pki.ca.certPem}`,
      }),
    },
    {
      name: 'its API key is rotated, and the secret before is good for a while',
      headers: key,
      change: () => ({
        apiKeys: ground.acme.config.apiKeys.map((each) => ({
          ...each,
          sha256: '0'.repeat(64),
          previous: { sha256: each.sha256, expiresAtSeconds: Math.floor(Date.now() / 1000) + 60 },
        })),
      }),
    },
    {
      name: 'its issuer rotates its keys',
      headers: token,
      change: () => {
        ground.acme.issuer.addKey();
        ground.acme.issuer.dropOldKeys();
        const json = ground.acme.issuer.jwks();
        return { issuers: ground.acme.config.issuers.map((each) => ({ ...each, jwks: { kind: 'inline', json } })) };
      },
    },
    {
      name: 'it is given its role in another way',
      headers: token,
      change: () => ({
        bindings: [{ role: 'all', subjects: ['alice'], keys: [], certificates: [], source: 'tenant.yaml:9' }],
      }),
    },
    {
      name: 'its tenant may call less often, or with a smaller account',
      headers: token,
      change: () => ({
        quota: { perTenant: { callsPerSecond: 1, burst: 1 }, perCaller: undefined, maxConcurrentCalls: 1 },
        byteAccountBytes: 256 * 1024,
      }),
    },
    { name: 'its tenant has a shorter lease that has not ended', headers: token, change: () => ({ leaseMs: 60_000 }) },
  ];

  it.each(changes)('$name', async ({ headers, change }) => {
    ground = await HostileGround.start();
    const stream = await RunningStream.begin(ground, await ground.client(), headers());
    ground.sidecar.apply(ground.generation({ acme: change() }));
    await stream.goesOn();
    await stream.goesOn();
  });

  it('and what its tenant’s new configuration makes of its end holds: a secret’s overlap, a lease', async () => {
    ground = await HostileGround.start();
    const stream = await RunningStream.begin(ground, await ground.client());
    ground.sidecar.apply(ground.generation({ acme: { leaseMs: 700 } }));
    await stream.goesOn();
    expect(await stream.ended).toMatchObject(EXPIRED);
    expect((await ground.records(1))[0]?.detail).toBe('why=lease credential=certificate');
  });
});
