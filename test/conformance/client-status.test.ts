/** Clients whose certificates a responder is asked about (OCSP), through real sockets on both sides. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OcspConfig } from '../../src/config/credentials-config.ts';
import type { Generation } from '../../src/config/generation.ts';
import { EXTENDED_KEY_USAGE } from '../../src/identity/extended-key-usage.ts';
import { createCa, issueClient } from '../../src/identity/issue.ts';
import { BALANCED, eventually, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { FakeResponder, type OcspParts, ocspResponse, subjectFor } from '../fakes/ocsp-responses.ts';
import { RunningStream } from '../fakes/running-stream.ts';

let ground: HostileGround;
let responder: FakeResponder;
beforeEach(async () => {
  ground = await HostileGround.start();
  responder = await FakeResponder.start();
});
afterEach(async () => {
  await ground.stop();
  responder.stop();
});

function asking(changes: Partial<OcspConfig> = {}): Generation {
  const lists = { lists: [], urls: [], graceMs: 0, whenUnknown: 'allow', refreshMs: 0 } as const;
  const ocsp: OcspConfig = {
    responder: { url: responder.url, caPem: undefined, allowHttp: false },
    ...{ whenUnknown: 'refuse', timeoutMs: 1_000, maxAgeMs: 3_600_000, hash: 'sha1', nonce: false },
    ...changes,
  };
  return ground.generation({ acme: { clientRevocation: { ...lists, ocsp } } });
}
const said = (parts: OcspParts = {}): Buffer => ocspResponse(ground.acme.pki.ca, ground.acme.pki.client, parts);
const infers = async (): Promise<number | undefined> =>
  (await (await ground.client()).call(INFER, { chunks: [inferRequest()] })).status;
const reasons = async (): Promise<readonly string[]> =>
  (await ground.sidecar.refusals()).map(({ reason, detail }) => `${reason} ${detail}`);

describe('a client that a responder is asked about', () => {
  it('calls while it is good, and nobody is asked twice', async () => {
    responder.says(() => said());
    ground.sidecar.apply(asking());
    expect(await infers()).toBe(0);
    expect(await infers()).toBe(0);
    expect(responder.asked).toBe(1);
    // The neighbour's tenant asks nobody.
    const neighbour = await ground.client(ground.globex);
    expect((await neighbour.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
  });

  const hostile: readonly (readonly [string, () => Buffer, RegExp])[] = [
    ['unknown', () => said({ status: 'unknown' }), /does not know the certificate/],
    ['with a wrong signature', () => said({ key: ground.globex.pki.ca }), /signature is not its own/],
    ['signed by a client of the CA', () => said({ signer: ground.acme.pki.client }), /not for that/],
    [
      'by a delegate without OCSPSigning',
      () => {
        const eku = [EXTENDED_KEY_USAGE.serverAuth];
        return said({ signer: issueClient(ground.acme.pki.ca, { commonName: 'r', days: 1, eku }) });
      },
      /not for that/,
    ],
    ['that has ended', () => said({ nextUpdate: new Date(Date.now() - 10) }), /has ended|ends before/],
    [
      'about another certificate',
      () => {
        const other = issueClient(ground.acme.pki.ca, { dnsNames: ['other.test'], days: 1 });
        return said({ subject: subjectFor(other, ground.acme.pki.ca) });
      },
      /about another certificate/,
    ],
    ['by another CA', () => said({ signer: createCa({ commonName: 'x', days: 1 }) }), /not the CA’s/],
    ['without end in length', () => Buffer.alloc(1024 * 1024), /longer than/],
  ];

  it.each(hostile)('is kept out by an answer %s, and let in where that is allowed', async (_name, answer, why) => {
    responder.says(answer);
    ground.sidecar.apply(asking());
    await expect(ground.client()).rejects.toThrow();
    expect((await reasons()).join()).toMatch(/TLS_CLIENT_CERT_STATUS_UNKNOWN/);
    expect((await reasons()).join()).toMatch(why);
    ground.sidecar.apply(asking({ whenUnknown: 'allow' }));
    expect(await infers()).toBe(0);
  });

  it('is kept out when it is revoked, whatever is allowed otherwise', async () => {
    responder.says(() => said({ status: 'revoked' }));
    ground.sidecar.apply(asking({ whenUnknown: 'allow' }));
    await expect(ground.client()).rejects.toThrow();
    expect((await reasons()).join()).toMatch(/TLS_CLIENT_CERT_REVOKED.*OCSP responder of CN=acme test CA/);
  });

  it('waits for an answer that never comes no longer than it has to, and its neighbours do not', async () => {
    responder.answer = () => undefined;
    ground.sidecar.apply(asking({ timeoutMs: 300 }));
    const waiting = ground.client().then(
      () => 'in',
      () => 'out',
    );
    await eventually('it is asked about', () => responder.asked === 1);
    const neighbour = await ground.client(ground.globex);
    expect((await neighbour.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    expect(await waiting).toBe('out');
    ground.sidecar.apply(asking({ timeoutMs: 300, whenUnknown: 'allow' }));
    expect(await infers()).toBe(0);
  });

  it('is kept out when nobody answers at all', async () => {
    responder.stop();
    ground.sidecar.apply(asking());
    await expect(ground.client()).rejects.toThrow();
    expect((await reasons()).join()).toMatch(/ECONNREFUSED/);
  });

  it('ends within a second when it is revoked while its stream runs, alone', async () => {
    const revoked = new Set<string>();
    let saidAt = Number.POSITIVE_INFINITY;
    const bob = issueClient(ground.acme.pki.ca, { spiffeId: `spiffe://${ground.acme.pki.trustDomain}/bob`, days: 1 });
    // Short answers: it is asked again every second.
    responder.answer = (response) => {
      const asked = responder.requests.at(-1)?.toString('hex') ?? '';
      const about = [ground.acme.pki.client, bob].find((one) =>
        asked.includes(subjectFor(one, ground.acme.pki.ca).serial.toString('hex')),
      );
      const status = revoked.has(about?.certPem ?? '') ? 'revoked' : 'good';
      const thisUpdate = new Date();
      const nextUpdate = new Date(thisUpdate.getTime() + 6_000);
      response.writeHead(200, { 'content-type': 'application/ocsp-response' });
      if (status === 'revoked') saidAt = Math.min(saidAt, performance.now());
      response.end(ocspResponse(ground.acme.pki.ca, about ?? bob, { status, thisUpdate, nextUpdate }));
    };
    ground.sidecar.apply(asking({ maxAgeMs: 2_000 }));
    const neighbour = await RunningStream.begin(ground, await ground.client(ground.globex));
    const others = await RunningStream.begin(ground, await ground.client(ground.acme, bob));
    const stream = await RunningStream.begin(ground, await ground.client());
    // Beyond the end of the first answer: it was asked again, and the streams' ends are later.
    const from = Date.now();
    while (Date.now() < from + 2_500) await new Promise((resolve) => setTimeout(resolve, 50));
    await stream.goesOn();
    revoked.add(ground.acme.pki.client.certPem);
    const end = await stream.ended;
    expect(end).toMatchObject({ status: 16, reason: 'AUTHORIZATION_EXPIRED', inTrailers: true });
    // After its responder has said so, not before.
    expect(end.at - saidAt).toBeGreaterThan(0);
    expect(end.at - saidAt).toBeLessThan(1000);
    expect((await ground.records(1))[0]?.detail).toContain('revokedBy=OCSP responder of CN=acme test CA');
    await others.goesOn();
    await neighbour.goesOn();
    await expect(ground.client()).rejects.toThrow();
    stream.client.close();
    others.client.close();
    neighbour.client.close();
    expect(await ground.balanced()).toEqual(BALANCED);
    // Bob's connection is still closing; of whoever was revoked nothing is left.
    await eventually('nothing is held of who has left', () => ground.sidecar.statuses.size === 1);
  });

  it('is asked about when it was there before anybody was, and allowed to stay until the answer', async () => {
    const neighbour = await RunningStream.begin(ground, await ground.client(ground.globex));
    const stream = await RunningStream.begin(ground, await ground.client());
    responder.says(() => said({ status: 'revoked' }));
    ground.sidecar.apply(asking({ whenUnknown: 'allow' }));
    await eventually('it is asked about', () => responder.asked === 1);
    expect(await stream.ended).toMatchObject({ status: 16, reason: 'AUTHORIZATION_EXPIRED' });
    await neighbour.goesOn();
    stream.client.close();
    neighbour.client.close();
    expect(await ground.balanced()).toEqual(BALANCED);
    await eventually('nothing is held of who has left', () => ground.sidecar.statuses.size === 0);
  });

  it('runs until its last answer ends when the responder is away', async () => {
    responder.says(() => said());
    ground.sidecar.apply(asking({ maxAgeMs: 1_500 }));
    const stream = await RunningStream.begin(ground, await ground.client());
    responder.answer = (response) => response.writeHead(503).end();
    expect(await stream.ended).toMatchObject({ status: 16, reason: 'AUTHORIZATION_EXPIRED' });
    expect((await ground.records(1))[0]?.detail).toContain('revocation status');
  });
});
