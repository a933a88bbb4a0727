import { X509Certificate } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import type { CertificateStatus, StatusQuestion } from '../../../src/authn/ocsp-exchange.ts';
import type { OcspConfig } from '../../../src/config/credentials-config.ts';
import type { DocumentRequest } from '../../../src/fetching/document-fetch.ts';
import { createCa, type IssuedCertificate, issueClient } from '../../../src/identity/issue.ts';
import { err, ok, type Result } from '../../../src/kernel/result.ts';
import {
  MAX_PENDING_QUESTIONS,
  MAX_QUESTIONS_AT_ONCE,
  MAX_STATUSES,
  StatusDesk,
} from '../../../src/runtime/status-desk.ts';
import { type OcspParts, ocspResponse } from '../../fakes/ocsp-responses.ts';
import { tenantId } from '../../fakes/trust.ts';

const ca = createCa({ commonName: 'acme CA', days: 1 });
const client = issueClient(ca, { dnsNames: ['a.test'], days: 1 });
const [acme, globex] = [tenantId('acme'), tenantId('globex')];
const der = ({ certPem }: IssuedCertificate): Buffer => new X509Certificate(certPem).raw;
const question = (id = 'a', tenant = acme): StatusQuestion => ({
  tenant,
  id,
  certificate: der(client),
  issuer: der(ca),
});
const turns = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 5));

function tenants(changes: Partial<OcspConfig> = {}, ids = [acme, globex]): Parameters<StatusDesk['apply']>[0] {
  const ocsp: OcspConfig = {
    responder: { url: 'https://ocsp.test/', caPem: undefined, allowHttp: false },
    ...{ whenUnknown: 'refuse', timeoutMs: 700, maxAgeMs: 60_000, hash: 'sha1', nonce: false },
    ...changes,
  };
  const lists = { lists: [], urls: [], graceMs: 0, whenUnknown: 'allow', refreshMs: 0 } as const;
  return ids.map((id) => ({ id, clientRevocation: { ...lists, ocsp } }));
}

let answer: () => Result<Buffer, string> | Promise<Result<Buffer, string>>;
let asked: DocumentRequest[];
let told: CertificateStatus[];
let heard: string[];
let failures: string[];
let later: number;
let desk: StatusDesk;
beforeEach(() => {
  [asked, told, heard, failures, later] = [[], [], [], [], 0];
  answer = () => err('away');
  desk = new StatusDesk({
    fetch: async (request) => {
      asked.push(request);
      return answer();
    },
    nowMs: () => Date.now() + later,
    answered: (_tenant, _id, status) => told.push(status),
    heard: (_tenant, what) => heard.push(what),
    failed: (_tenant, why) => failures.push(why),
  });
  desk.apply(tenants());
});
const says = (parts: OcspParts = {}): void => {
  answer = () => ok(ocspResponse(ca, client, parts));
};
const ask = async (one = question()): Promise<CertificateStatus | undefined> => {
  desk.ask(one);
  await turns();
  return told.at(-1);
};

describe('the desk that asks responders', () => {
  it('asks once, bounded, and remembers it until half of its time is over', async () => {
    says();
    expect(await ask()).toMatchObject({ status: 'good' });
    await ask();
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ timeoutMs: 700, maxBytes: 32 * 1024, isSigned: false });
    expect([told.length, heard]).toEqual([2, ['good']]);
    later = 31_000;
    await ask();
    expect(asked).toHaveLength(2);
  });

  it('keeps to what was said while nobody says anything newer, until that ends', async () => {
    says();
    await ask();
    answer = () => err('away');
    later = 40_000;
    expect(await ask()).toMatchObject({ status: 'good' });
    expect(failures).toEqual(['https://ocsp.test/: away']);
    later = 61_000;
    expect(await ask()).toMatchObject({ status: 'none', why: 'https://ocsp.test/: away' });
  });

  it('takes nothing older than before, and keeps to a revocation', async () => {
    says({ status: 'revoked', thisUpdate: new Date(Date.now() - 10_000) });
    expect(await ask()).toMatchObject({ status: 'revoked' });
    later = 61_000;
    says({ thisUpdate: new Date(Date.now() - 20_000) });
    expect(await ask()).toMatchObject({ status: 'revoked' });
    expect(failures).toEqual(['an OCSP responder has given an older answer than before']);
    later = 140_000;
    says({ thisUpdate: new Date(Date.now() - 5_000) });
    expect(await ask()).toMatchObject({ status: 'good' });
  });

  it('does not use an answer without an end for longer than maxAge', async () => {
    says({ nextUpdate: null, thisUpdate: new Date(Date.now() - 61_000) });
    expect(await ask()).toMatchObject({ status: 'none', why: 'https://ocsp.test/: its answer is older than maxAge' });
    later = 3_000;
    says({ nextUpdate: null, thisUpdate: new Date(Date.now() - 30_000) });
    expect(await ask()).toMatchObject({ status: 'good' });
  });

  it('tells what is wrong with a certificate that names no responder', async () => {
    desk.apply(tenants({ responder: undefined }));
    expect(await ask()).toEqual({ status: 'none', why: 'the certificate names no OCSP responder' });
    expect(asked).toHaveLength(0);
  });

  it('asks so many at once, and has so many wait, for each tenant alone', async () => {
    answer = () => new Promise(() => undefined);
    for (let i = 0; i < MAX_PENDING_QUESTIONS; i += 1) desk.ask(question(`${i}`));
    await turns();
    expect([asked.length, told.length]).toEqual([MAX_QUESTIONS_AT_ONCE, 0]);
    // Again about one that is being asked about already.
    desk.ask(question('0'));
    desk.ask(question('one more'));
    expect(told).toEqual([{ status: 'none', why: 'too many certificates of its tenant are being asked about' }]);
    says();
    expect(await ask(question('0', globex))).toMatchObject({ status: 'good' });
  });

  it('remembers so many of a tenant, and asks again about others', async () => {
    says();
    const one = ocspResponse(ca, client);
    answer = () => ok(one);
    const count = async (): Promise<number> => {
      const before = asked.length;
      await ask(question('first'));
      return asked.length - before;
    };
    await count();
    for (let i = 1; i < MAX_STATUSES; i += 1) {
      desk.ask(question(`${i}`));
      if (i % 200 === 0) while (told.length < i) await turns();
    }
    while (told.length < MAX_STATUSES) await turns();
    expect(await count()).toBe(0);
    for (const id of ['x', 'y']) await ask(question(id));
    for (let i = 0; i < 2 * MAX_STATUSES; i += 200) await turns();
    const before = asked.length;
    for (let i = 1; i < 4; i += 1) await ask(question(`${i}`));
    expect(asked.length).toBeGreaterThan(before);
  }, 30_000);

  it('asks for nobody whose tenant does not', async () => {
    desk.apply([]);
    expect(await ask()).toEqual({ status: 'none', why: 'its tenant asks no OCSP responder' });
  });
});
