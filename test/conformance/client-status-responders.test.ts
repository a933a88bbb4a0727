/** Responders that are asked about clients (OCSP): which of them may be, what they answer late, and what was said to somebody else. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OcspConfig } from '../../src/config/credentials-config.ts';
import type { Generation } from '../../src/config/generation.ts';
import { type DocumentFetch, DocumentFetcher } from '../../src/fetching/document-fetch.ts';
import { type IssuedCertificate, issueClient } from '../../src/identity/issue.ts';
import { craftClient } from '../fakes/crafted-certificates.ts';
import { eventually, type GroundOptions, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { FakeResponder, informationAccess, nonceExtension, ocspResponse, subjectFor } from '../fakes/ocsp-responses.ts';
import type { RawGrpcClient } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
let responder: FakeResponder;
beforeEach(async () => {
  responder = await FakeResponder.start();
});
afterEach(async () => {
  await ground.stop();
  responder.stop();
});

async function begin(changes: Partial<OcspConfig>, options: GroundOptions = {}): Promise<void> {
  ground = await HostileGround.start(options);
  ground.sidecar.apply(asking(changes));
}

function asking(changes: Partial<OcspConfig>): Generation {
  const lists = { lists: [], urls: [], graceMs: 0, whenUnknown: 'allow', refreshMs: 0 } as const;
  const ocsp: OcspConfig = {
    responder: { url: responder.url, caPem: undefined, allowHttp: false },
    ...{ whenUnknown: 'refuse', timeoutMs: 10_000, maxAgeMs: 3_600_000, hash: 'sha1', nonce: false },
    ...changes,
  };
  return ground.generation({ acme: { clientRevocation: { ...lists, ocsp } } });
}

const infers = async (client: RawGrpcClient): Promise<number> =>
  (await client.call(INFER, { chunks: [inferRequest()] })).status;
const refusals = async (): Promise<string> =>
  (await ground.sidecar.refusals()).map(({ reason, detail }) => `${reason} ${detail}`).join('\n');
const colleague = (name: string): IssuedCertificate =>
  issueClient(ground.acme.pki.ca, { spiffeId: `spiffe://${ground.acme.pki.trustDomain}/${name}`, days: 1 });

describe('a responder that hangs', () => {
  it('takes no places of those who shake hands, and lets all in when it answers', async () => {
    await begin({}, { limits: { maxHandshakes: 1 } });
    const answers: (() => void)[] = [];
    const clients = [colleague('a'), colleague('b'), colleague('c')];
    responder.answer = (response, request) => {
      const about = clients.find((one) => request.includes(subjectFor(one, ground.acme.pki.ca).serial));
      answers.push(() => {
        response.writeHead(200, { 'content-type': 'application/ocsp-response' });
        response.end(ocspResponse(ground.acme.pki.ca, about ?? ground.acme.pki.client));
      });
    };
    const waiting: Promise<number>[] = [];
    for (const one of clients) {
      waiting.push(ground.client(ground.acme, one).then(infers, () => -1));
      await eventually('it is asked about', () => answers.length === waiting.length);
    }
    // With places of handshakes taken the oldest of them would have had to give way to it.
    for (let i = 0; i < 3; i += 1) expect(await infers(await ground.client(ground.globex))).toBe(0);
    expect(await refusals()).toBe('');
    for (const answer of answers) answer();
    expect(await Promise.all(waiting)).toEqual([0, 0, 0]);
  });

  it('holds up a drain no longer than its answer', async () => {
    await begin({ timeoutMs: 400 });
    responder.answer = () => undefined;
    const waiting = ground.client().catch(() => undefined);
    await eventually('it is asked about', () => responder.asked === 1);
    const drained = ground.sidecar.listener.drain(60_000);
    expect(await drained).toBe(0);
    expect(await waiting).toBeUndefined();
    expect(await refusals()).toMatch(/STATUS_UNKNOWN.*within 400 ms/);
  });
});

describe('an answer with a nonce', () => {
  it('counts when it is that of the question, and not when it was given to another', async () => {
    await begin({ nonce: true });
    const nonces: Buffer[] = [];
    let repeats = false;
    responder.answer = (response, request) => {
      // It stands last.
      nonces.push(request.subarray(-32));
      const nonce = nonces.at(repeats ? 0 : -1) ?? Buffer.alloc(0);
      response.writeHead(200, { 'content-type': 'application/ocsp-response' });
      response.end(ocspResponse(ground.acme.pki.ca, ground.acme.pki.client, { extensions: [nonceExtension(nonce)] }));
    };
    const client = await ground.client();
    expect(await infers(client)).toBe(0);
    client.close();
    // Asked anew: nobody holds on to the first answer.
    repeats = true;
    ground.sidecar.apply(ground.generation());
    ground.sidecar.apply(asking({ nonce: true }));
    await expect(ground.client()).rejects.toThrow();
    expect(await refusals()).toMatch(/has not our nonce/);
    expect(nonces[0]?.equals(nonces[1] ?? Buffer.alloc(0))).toBe(false);
    // Counter-proof: who does not ask with one takes the other's answer.
    ground.sidecar.apply(ground.generation());
    ground.sidecar.apply(asking({ nonce: false }));
    expect(await infers(await ground.client())).toBe(0);
  });
});

describe('the responder that a certificate names', () => {
  /** Acme's client, whose certificate names this one. */
  const naming = (url: string): IssuedCertificate =>
    craftClient(ground.acme.pki.ca, ground.acme.pki.spiffeId, { others: [informationAccess([{ url }])] });
  const resolving = (address: string, allowed: readonly string[]): DocumentFetch =>
    new DocumentFetcher(allowed, (_host, _options, callback) => callback(null, [{ address, family: 4 }])).fetch;
  const answering = (client: IssuedCertificate): void => responder.says(() => ocspResponse(ground.acme.pki.ca, client));
  const portOf = (): string => new URL(responder.url).port;
  const outcome = async (client: IssuedCertificate): Promise<string> => {
    answering(client);
    const connected = await ground.client(ground.acme, client).catch(() => undefined);
    return connected === undefined ? await refusals() : `in ${await infers(connected)}`;
  };

  it('is asked, by http, where that address may be', async () => {
    await begin({ responder: undefined }, { fetch: new DocumentFetcher(['127.0.0.0/8']).fetch });
    expect(await outcome(naming(responder.url))).toBe('in 0');
    expect(responder.asked).toBe(1);
    expect(await outcome(colleague('nameless'))).toMatch(/STATUS_UNKNOWN.*names no OCSP responder/);
  });

  it.each<[string, string, string, readonly string[], RegExp]>([
    ['this host', '127.0.0.1', '127.0.0.1', [], /is a loopback address/],
    ['a name of this host', 'ocsp.acme.test', '127.0.0.1', [], /is a loopback address/],
    ['a name of a private address', 'ocsp.acme.test', '10.0.0.7', [], /is a private address/],
    ['a name of the metadata service', 'ocsp.acme.test', '169.254.169.254', ['0.0.0.0/0'], /where clouds have their/],
  ])('is not asked when it is %s', async (_name, host, address, allowed, why) => {
    await begin({ responder: undefined }, { fetch: resolving(address, allowed) });
    expect(await outcome(naming(`http://${host}:${portOf()}/`))).toMatch(why);
    expect(responder.asked).toBe(0);
  });

  it('is asked by the same name when its address may be (counter-proof)', async () => {
    await begin({ responder: undefined }, { fetch: resolving('127.0.0.1', ['127.0.0.0/8']) });
    expect(await outcome(naming(`http://ocsp.acme.test:${portOf()}/`))).toBe('in 0');
  });

  it('is not followed to where it sends us', async () => {
    await begin({ responder: undefined }, { fetch: new DocumentFetcher(['127.0.0.0/8']).fetch });
    const inside = await FakeResponder.start();
    const client = naming(responder.url);
    inside.says(() => ocspResponse(ground.acme.pki.ca, client));
    responder.answer = (response) => response.writeHead(307, { location: inside.url }).end();
    await expect(ground.client(ground.acme, client)).rejects.toThrow();
    inside.stop();
    expect(inside.asked).toBe(0);
    expect(await refusals()).toMatch(/STATUS_UNKNOWN.*307/);
  });
});
