/**
 * A listener that tenants share without a name: one server certificate, and the tenant is found by the client's. What holds with a name
 * of the tenant's holds here, though OpenSSL has no CA to verify with.
 */
import { X509Certificate } from 'node:crypto';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { ListenerConfig, TenantIdentification } from '../../src/config/generation.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { createCa, type IssuedCertificate, issueClient, issueServer } from '../../src/identity/issue.ts';
import { craftClient, signedByOpenssl } from '../fakes/crafted-certificates.ts';
import { eventually, type GroundOptions, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { HOSTILE_LEAFS } from '../fakes/hostile-leafs.ts';
import type { Access } from '../fakes/raw-grpc-client.ts';
import type { FakeTenant } from '../fakes/trust.ts';

const front = createCa({ commonName: 'front CA', days: 1 });
const frontServer = issueServer(front, {
  dnsNames: ['models.test', 'acme.models.test'],
  ipAddresses: ['127.0.0.1'],
  days: 1,
});
const SHARED: Partial<ListenerConfig> = {
  shared: {
    certificate: { chainPem: frontServer.certPem, keyPem: frontServer.keyPem },
    serverNames: ['models.test'],
  },
};
/** One CA for all tenants, each below its own path: a mesh. */
const mesh = createCa({ commonName: 'mesh CA', days: 1 });

let ground: HostileGround;
afterEach(() => ground.stop());

/** Both tenants are known by their certificates; `changes` may let them have names and certificates of their own as well. */
function sharing(identifiedBy: TenantIdentification, changes: Partial<TenantConfig> = {}): Partial<TenantConfig> {
  return { serverNames: [], certificate: undefined, sharesCertificate: true, identifiedBy, ...changes };
}

const ids = (...all: readonly string[]): TenantIdentification => ({ kind: 'spiffe', ids: all });
const byCa = (caPem: string): TenantIdentification => ({
  kind: 'client-ca',
  names: [new X509Certificate(caPem).subject ?? ''],
});

async function start(
  acme: Partial<TenantConfig>,
  globex: Partial<TenantConfig>,
  more: GroundOptions = {},
): Promise<void> {
  ground = await HostileGround.start({ listener: SHARED, acme, globex, ...more });
}

/** Each with its own CA, and all ids of its own trust domain. */
const byDomain = (more: GroundOptions = {}): Promise<void> =>
  start(sharing(ids('spiffe://acme.example/*')), sharing(ids('spiffe://globex.example/*')), more);

/** Both below one CA and in one trust domain. */
const inMesh = (): Promise<void> => {
  const below = (tenant: string): Partial<TenantConfig> =>
    sharing(ids(`spiffe://mesh.example/tenant/${tenant}/*`), { clientCaPem: mesh.certPem, trustDomain: undefined });
  return start(below('acme'), below('globex'));
};

/** By their CAs; the trust domain is asked for besides. */
const byAuthority = async (more: Partial<TenantConfig> = {}): Promise<void> => {
  ground = await HostileGround.start({ listener: SHARED });
  const { acme, globex } = ground;
  const changes = {
    acme: sharing(byCa(acme.pki.ca.certPem), more),
    globex: sharing(byCa(globex.pki.ca.certPem)),
  };
  await ground.sidecar.applied(ground.generation(changes));
};

interface Comes {
  readonly with?: IssuedCertificate | undefined;
  readonly name?: string | undefined;
}

/** The tenant that a call is on record for, or why there was none. */
async function comes({ with: client, name }: Comes, more: Partial<Access> = {}): Promise<string> {
  const before = (await ground.sidecar.refusals()).length;
  const access: Partial<Access> = {
    serverName: name,
    caPem: front.certPem,
    verifyName: false,
    certPem: client?.certPem,
    keyPem: client?.keyPem,
    ciphers: 'DEFAULT@SECLEVEL=0',
    ...more,
  };
  const calls = (await ground.sidecar.calls()).length;
  const answer = await ground
    .client(ground.acme, access)
    .then((connected) => connected.call(INFER, { chunks: [inferRequest()] }))
    .catch(() => undefined);
  if (answer?.status === 0) return (await ground.records(calls + 1)).at(-1)?.tenant ?? 'no record';
  const refusal = (await ground.sidecar.refusals()).slice(before).at(-1);
  if (refusal === undefined) return `status ${answer?.status ?? 'none'} ${answer?.reason ?? ''}`;
  return `${refusal.reason} ${refusal.tenantClaim}: ${refusal.detail}`;
}

const own = (tenant: FakeTenant): IssuedCertificate => tenant.pki.client;
const meshed = (spiffeId: string): IssuedCertificate => issueClient(mesh, { spiffeId, days: 1 });
const chained = (client: IssuedCertificate, ...above: readonly IssuedCertificate[]): IssuedCertificate => ({
  ...client,
  certPem: [client, ...above].map(({ certPem }) => certPem).join(''),
});

describe('without a server name, or by a shared one', () => {
  it('each client is its own tenant’s, by its trust domain', async () => {
    await byDomain();
    for (const name of [undefined, 'models.test', 'MODELS.test']) {
      expect(await comes({ with: own(ground.acme), name })).toBe('acme');
      expect(await comes({ with: own(ground.globex), name })).toBe('globex');
    }
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ tenantVerified: true, caller: 'cert:spiffe://acme.example/client' });
  });

  it('each client is its own tenant’s, by its path below one CA and trust domain', async () => {
    await inMesh();
    expect(await comes({ with: meshed('spiffe://mesh.example/tenant/acme/batch') })).toBe('acme');
    expect(await comes({ with: meshed('spiffe://mesh.example/tenant/globex/a/b') })).toBe('globex');
    for (const nobody of ['tenant/acme', 'tenant/acme2/x', 'tenant/Acme/x', 'ns/acme/x']) {
      const said = await comes({ with: meshed(`spiffe://mesh.example/${nobody}`) });
      expect(said, nobody).toBe('TENANT_UNKNOWN : neither its SPIFFE id nor its CA is a tenant’s');
    }
  });

  it('each client is its own tenant’s, by Kubernetes’ namespace and service account', async () => {
    const changes = { clientCaPem: mesh.certPem, trustDomain: undefined };
    await start(
      sharing(ids('spiffe://cluster.local/ns/acme/sa/*'), changes),
      sharing(ids('spiffe://cluster.local/ns/models/sa/globex'), changes),
    );
    expect(await comes({ with: meshed('spiffe://cluster.local/ns/acme/sa/batch') })).toBe('acme');
    expect(await comes({ with: meshed('spiffe://cluster.local/ns/models/sa/globex') })).toBe('globex');
    expect(await comes({ with: meshed('spiffe://cluster.local/ns/models/sa/other') })).toMatch(/^TENANT_UNKNOWN/);
  });

  it('each client is its own tenant’s, by the CA that has signed it, also through an intermediate', async () => {
    await byAuthority();
    expect(await comes({ with: own(ground.acme) })).toBe('acme');
    expect(await comes({ with: own(ground.globex) })).toBe('globex');
    const { pki } = ground.acme;
    const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
    const below = createCa({ commonName: 'below', days: 1 }, root);
    const acme = sharing(byCa(root.certPem), { clientCaPem: root.certPem });
    await ground.sidecar.applied(ground.generation({ acme, globex: sharing(byCa(ground.globex.pki.ca.certPem)) }));
    const client = issueClient(below, { spiffeId: pki.spiffeId, days: 1 });
    expect(await comes({ with: chained(client, below) })).toBe('acme');
    expect(await comes({ with: client })).toMatch(/^TENANT_UNKNOWN/);
  });

  it('nobody comes in without a certificate, and the record says so', async () => {
    await byDomain();
    expect(await comes({}, { hasty: true })).toMatch(/^TLS_CLIENT_CERT_REQUIRED : $/);
    expect(ground.sidecar.listener.connections).toBe(0);
  });
});

describe('a certificate is never taken for another tenant’s', () => {
  it('when another tenant’s CA has signed it, though both are trusted here', async () => {
    await byDomain();
    const { acme, globex } = ground;
    const forged = issueClient(globex.pki.ca, { spiffeId: acme.pki.spiffeId, days: 1 });
    expect(await comes({ with: forged })).toBe("TLS_CLIENT_CERT_UNACCEPTABLE acme: not signed by the tenant's CA");
    // Counter-proof: by the tenant's own it gets in.
    expect(await comes({ with: issueClient(acme.pki.ca, { spiffeId: acme.pki.spiffeId, days: 1 }) })).toBe('acme');
  });

  it('when it is made up, and it does not even have a tenant compiled', async () => {
    await byDomain();
    const nobody = createCa({ commonName: 'nobody', days: 1 });
    for (const { pki } of [ground.acme, ground.globex]) {
      expect(await comes({ with: issueClient(nobody, { spiffeId: pki.spiffeId, days: 1 }) })).toMatch(/UNACCEPTABLE/);
    }
    expect([...ground.sidecar.tenants.active()]).toHaveLength(0);
    expect(await comes({ with: own(ground.acme) })).toBe('acme');
    expect([...ground.sidecar.tenants.active()]).toHaveLength(1);
  });

  it('when a CA of the same name as the tenant’s has signed it', async () => {
    await byAuthority();
    const twin = createCa({ commonName: 'acme test CA', days: 1 });
    const { spiffeId } = ground.acme.pki;
    expect(await comes({ with: issueClient(twin, { spiffeId, days: 1 }) })).toMatch(/^TENANT_UNKNOWN/);
    expect(await comes({ with: issueClient(twin, { spiffeId, days: 1 }), name: 'models.test' })).toMatch(
      /^TENANT_UNKNOWN/,
    );
  });

  it('when two tenants could claim it, since one’s CA stands below the other’s', async () => {
    await byAuthority();
    const { acme, globex } = ground;
    const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
    const below = createCa({ commonName: 'below', days: 1 }, root);
    const changes = {
      acme: sharing(byCa(below.certPem), { clientCaPem: below.certPem }),
      globex: sharing(byCa(root.certPem), { clientCaPem: root.certPem, trustDomain: undefined }),
    };
    await ground.sidecar.applied(ground.generation(changes));
    const client = issueClient(below, { spiffeId: acme.pki.spiffeId, days: 1 });
    expect(await comes({ with: chained(client, below) })).toBe('TENANT_AMBIGUOUS : acme and globex could claim it');
    expect(await comes({ with: own(globex) })).toMatch(/^TENANT_UNKNOWN/);
  });

  it('when its id is one tenant’s and its CA another’s', async () => {
    ground = await HostileGround.start({ listener: SHARED });
    const { acme, globex } = ground;
    const changes = {
      acme: sharing(ids('spiffe://acme.example/*')),
      globex: sharing(byCa(globex.pki.ca.certPem), { trustDomain: undefined }),
    };
    await ground.sidecar.applied(ground.generation(changes));
    const forged = issueClient(globex.pki.ca, { spiffeId: acme.pki.spiffeId, days: 1 });
    expect(await comes({ with: forged })).toBe('TENANT_AMBIGUOUS : acme and globex could claim it');
    expect([await comes({ with: own(acme) }), await comes({ with: own(globex) })]).toEqual(['acme', 'globex']);
  });

  it('also by its own name: another path below the same CA is not the tenant’s', async () => {
    const below = (tenant: string): TenantIdentification => ids(`spiffe://mesh.example/tenant/${tenant}/*`);
    const mine = { clientCaPem: mesh.certPem, trustDomain: undefined };
    await start({ ...mine, identifiedBy: below('acme') }, { ...mine, identifiedBy: below('globex') });
    const { serverName, ca } = ground.acme.pki;
    const named = { name: serverName };
    const access = { caPem: ca.certPem };
    expect(await comes({ with: meshed('spiffe://mesh.example/tenant/acme/x'), ...named }, access)).toBe('acme');
    expect(await comes({ with: meshed('spiffe://mesh.example/tenant/globex/x'), ...named }, access)).toBe(
      "TLS_CLIENT_CERT_UNACCEPTABLE acme: spiffe://mesh.example/tenant/globex/x is none of the tenant's ids",
    );
  });
});

describe('a server name', () => {
  const named = { serverNames: ['acme.models.test'] };
  it('that is a tenant’s must be the certificate’s tenant’s, though the certificate that is shown is shared', async () => {
    await start(sharing(ids('spiffe://acme.example/*'), named), sharing(ids('spiffe://globex.example/*')));
    const { acme, globex } = ground;
    expect(await comes({ with: own(acme), name: 'acme.models.test' })).toBe('acme');
    expect(await comes({ with: own(globex), name: 'acme.models.test' })).toBe(
      'TENANT_MISMATCH acme: claimed=acme presented=globex by=server name',
    );
    // What only says to be globex's is not said to have tried.
    const forged = issueClient(acme.pki.ca, { spiffeId: globex.pki.spiffeId, days: 1 });
    expect(await comes({ with: forged, name: 'acme.models.test' })).toBe(
      "TLS_CLIENT_CERT_UNACCEPTABLE acme: not signed by the tenant's CA",
    );
    expect(await comes({ with: own(globex) })).toBe('globex');
  });

  it('that is nobody’s gets no certificate shown', async () => {
    await byDomain();
    for (const name of ['other.test', 'models.test.', 'x.models.test']) {
      expect(await comes({ with: own(ground.acme), name }), name).toBe(
        'TLS_UNKNOWN_SERVER_NAME : ERR_UNKNOWN_SERVER_NAME',
      );
    }
  });

  it('of a tenant with a certificate of its own asks for that tenant’s CA as ever', async () => {
    await start({}, sharing(ids('spiffe://globex.example/*')));
    const { acme, globex } = ground;
    const name = acme.pki.serverName;
    const access = { caPem: acme.pki.ca.certPem };
    expect(await comes({ with: own(acme), name }, access)).toBe('acme');
    expect(await comes({ with: own(globex), name }, access)).toMatch(/^TLS_CLIENT_CERT_UNTRUSTED acme: /);
    expect(await comes({ name }, { ...access, hasty: true })).toBe('TLS_CLIENT_CERT_REQUIRED acme: ');
    const expired = craftClient(acme.pki.ca, acme.pki.spiffeId, { notAfter: new Date(Date.now() - 1_000) });
    expect(await comes({ with: expired, name }, access)).toBe('TLS_CLIENT_CERT_UNTRUSTED acme: CERT_HAS_EXPIRED');
    // It is not one of those that are known by their certificates.
    expect(await comes({ with: own(acme) })).toMatch(/^TENANT_UNKNOWN/);
  });
});

describe('a certificate that OpenSSL has not judged is refused all the same', () => {
  it.each(HOSTILE_LEAFS)('$why $openssl', async ({ why, changes, pair }) => {
    await byAuthority();
    const { ca, spiffeId } = ground.acme.pki;
    expect(await comes({ with: craftClient(ca, spiffeId, changes, pair?.()) })).toBe(
      `TLS_CLIENT_CERT_UNACCEPTABLE acme: ${why}`,
    );
    expect(ground.upstream.calls).toHaveLength(0);
    expect(await comes({ with: craftClient(ca, spiffeId) })).toBe('acme');
  });

  it('for the CA above it: expired, of another use, held to other names, or too far up', async () => {
    ground = await HostileGround.start({ listener: SHARED });
    const { spiffeId } = ground.acme.pki;
    const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
    const globex = sharing(byCa(ground.globex.pki.ca.certPem));
    const acme = sharing(byCa(root.certPem), { clientCaPem: root.certPem });
    await ground.sidecar.applied(ground.generation({ acme, globex }));
    const under = (ca: IssuedCertificate, ...above: readonly IssuedCertificate[]): IssuedCertificate =>
      chained(issueClient(ca, { spiffeId, days: 1 }), ca, ...above);
    const constrained = (uriHosts: readonly string[]): IssuedCertificate =>
      createCa({ commonName: 'constrained', days: 1, nameConstraints: { dns: [], uriHosts } }, root);
    expect(await comes({ with: under(constrained(['acme.example'])) })).toBe('acme');
    expect(await comes({ with: under(constrained(['globex.example'])) })).toMatch(
      /^TLS_CLIENT_CERT_UNACCEPTABLE acme: its CA may not sign for /,
    );
    const first = createCa({ commonName: 'first', days: 1, pathLength: 1 }, root);
    const second = createCa({ commonName: 'second', days: 1 }, first);
    expect(await comes({ with: under(second, first) })).toMatch(/path length/);
  });

  it.each([
    ['a critical extension that nobody here knows', ['1.2.3.4=critical,ASN1:NULL'], 'a critical extension 1.2.3.4'],
  ])('with %s', async (_what, extensions, why) => {
    ground = await HostileGround.start({ listener: SHARED });
    const { spiffeId } = ground.acme.pki;
    const strange = signedByOpenssl(spiffeId, { extensions });
    const acme = sharing(byCa(strange.caPem), { clientCaPem: strange.caPem });
    await ground.sidecar.applied(ground.generation({ acme, globex: sharing(ids('spiffe://globex.example/*')) }));
    expect(await comes({ with: strange })).toBe(`TLS_CLIENT_CERT_UNACCEPTABLE acme: ${why}`);
  });

  it.each([
    ['a critical extension', ['1.2.3.4=critical,ASN1:NULL'], 'a CA with a critical extension 1.2.3.4'],
    [
      'constraints on other names',
      ['nameConstraints=critical,permitted;email:acme.example'],
      'a CA with constraints on names that are not looked at here',
    ],
    ['an extended key usage for servers', ['extendedKeyUsage=serverAuth'], 'a CA that is not for clients'],
    ['no right to sign certificates', ['keyUsage=critical,cRLSign'], undefined],
  ])('by a CA with %s', async (_what, caExtensions, why) => {
    ground = await HostileGround.start({ listener: SHARED });
    const { spiffeId } = ground.acme.pki;
    const strange = signedByOpenssl(spiffeId, { caExtensions });
    const acme = sharing(ids('spiffe://acme.example/*'), { clientCaPem: strange.caPem });
    await ground.sidecar.applied(ground.generation({ acme, globex: sharing(ids('spiffe://globex.example/*')) }));
    expect(await comes({ with: strange })).toBe(
      `TLS_CLIENT_CERT_UNACCEPTABLE acme: ${why ?? "not signed by the tenant's CA"}`,
    );
    const plain = signedByOpenssl(spiffeId, {});
    const good = sharing(ids('spiffe://acme.example/*'), { clientCaPem: plain.caPem });
    await ground.sidecar.applied(ground.generation({ acme: good, globex: sharing(ids('spiffe://globex.example/*')) }));
    expect(await comes({ with: plain })).toBe('acme');
  });
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a session of %s', (version) => {
  interface Handshake {
    readonly reused: boolean;
    readonly sessions: readonly Buffer[];
  }

  /** Shakes hands, and waits for what the server gives to come back with. */
  function handshake(client: IssuedCertificate | undefined, session?: Buffer): Promise<Handshake> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({
        ...{ port: ground.sidecar.port, host: '127.0.0.1', ca: front.certPem, ALPNProtocols: ['h2'] },
        ...{ minVersion: version, maxVersion: version, checkServerIdentity: () => undefined },
        ...(client === undefined ? {} : { cert: client.certPem, key: client.keyPem }),
        ...(session === undefined ? {} : { session }),
      });
      const sessions: Buffer[] = [];
      let reused = false;
      socket.once('secureConnect', () => {
        reused = socket.isSessionReused();
      });
      socket.on('session', (given: Buffer) => sessions.push(given));
      // The server's SETTINGS, or its end.
      const done = (): void => {
        resolve({ reused, sessions });
        socket.destroy();
      };
      socket.once('data', done);
      socket.once('end', done);
      socket.once('error', reject);
    });
  }

  it('is resumed by nobody: neither by its own tenant, nor by another, nor without a certificate', async () => {
    await byDomain({ listener: { ...SHARED, minTlsVersion: version } });
    const { acme, globex } = ground;
    const first = await handshake(own(acme));
    expect(first).toMatchObject({ reused: false });
    expect(first.sessions.length).toBeGreaterThan(0);
    for (const session of first.sessions) {
      for (const client of [own(acme), own(globex)]) expect((await handshake(client, session)).reused).toBe(false);
      const bare = await handshake(undefined, session).catch(() => ({ reused: false }));
      expect(bare.reused).toBe(false);
    }
    await eventually('nobody is left', () => ground.sidecar.listener.connections === 0);
  });
});

describe('limits and changes', () => {
  it('a tenant has as many connections as it may, and its neighbour as many still', async () => {
    await byDomain({ limits: { maxConnectionsPerTenant: 1 } });
    const { acme, globex } = ground;
    expect(await comes({ with: own(acme) })).toBe('acme');
    expect(await comes({ with: own(acme) })).toMatch(/^CONNECTION_LIMIT_TENANT acme: /);
    expect(await comes({ with: own(globex) })).toBe('globex');
  });

  it('a peer whose id is no longer its tenant’s begins no more calls, and its neighbour’s notices nothing', async () => {
    await byDomain();
    const open = (tenant: FakeTenant) =>
      ground.client(tenant, { serverName: undefined, caPem: front.certPem, verifyName: false });
    const [mine, theirs] = [await open(ground.acme), await open(ground.globex)];
    const infer = async (client: typeof mine): Promise<number> =>
      (await client.call(INFER, { chunks: [inferRequest()] })).status;
    expect([await infer(mine), await infer(theirs)]).toEqual([0, 0]);
    await ground.sidecar.applied(ground.generation({ acme: sharing(ids('spiffe://acme.example/other/*')) }));
    await eventually('it is gone', () => ground.sidecar.listener.connections === 1);
    expect(await infer(theirs)).toBe(0);
    expect(await comes({ with: own(ground.acme) })).toMatch(/^TENANT_UNKNOWN/);
  });

  it('another shared certificate is shown from the next handshake on, and names come and go', async () => {
    await byDomain();
    const other = createCa({ commonName: 'other front', days: 1 });
    const pair = issueServer(other, { dnsNames: ['new.test'], ipAddresses: ['127.0.0.1'], days: 1 });
    const shared = { certificate: { chainPem: pair.certPem, keyPem: pair.keyPem }, serverNames: ['new.test'] };
    await ground.sidecar.applied(ground.generation({ listener: { shared } }));
    for (const name of [undefined, 'new.test']) {
      expect(await comes({ with: own(ground.acme), name }, { caPem: other.certPem })).toBe('acme');
    }
    expect(await comes({ with: own(ground.acme), name: 'models.test' })).toMatch(/^TLS_UNKNOWN_SERVER_NAME/);
  });
});
