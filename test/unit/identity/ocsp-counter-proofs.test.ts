/**
 * Every check of what responders say, taken away by itself: the answer that it refuses then counts. A check whose attack another one
 * refuses as well would not be seen to be missing.
 */
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { CertificateTemplate } from '../../../src/identity/certificate-encoder.ts';
import { der } from '../../../src/identity/der.ts';
import { EXTENDED_KEY_USAGE } from '../../../src/identity/extended-key-usage.ts';
import { createCa, type IssuedCertificate, issueClient } from '../../../src/identity/issue.ts';
import { MAX_OCSP_BYTES, MAX_OCSP_STATUSES, readOcspResponse } from '../../../src/identity/ocsp-response-reader.ts';
import { craftClient, type KeyPair } from '../../fakes/crafted-certificates.ts';
import { type OcspParts, ocspResponse, subjectFor } from '../../fakes/ocsp-responses.ts';
import { listExtension } from '../../fakes/revocation-lists.ts';
import { weakened } from '../../fakes/weakened-module.ts';

const ca = createCa({ commonName: 'acme CA', days: 1 });
const namesake = createCa({ commonName: 'acme CA', days: 1 });
const client = issueClient(ca, { dnsNames: ['a.test'], days: 1 });
const neighbour = issueClient(ca, { dnsNames: ['b.test'], days: 1 });
const subject = subjectFor(client, ca);
const nonce = Buffer.alloc(32, 7);

function delegate(changes: Partial<CertificateTemplate> = {}, by = ca, pair?: KeyPair): IssuedCertificate {
  const template = { extendedKeyUsage: [EXTENDED_KEY_USAGE.ocspSigning], ...changes };
  return craftClient(by, 'spiffe://acme.test/responder', template, pair);
}
const small = generateKeyPairSync('ec', { namedCurve: 'secp224r1' });
const soon = (ms: number): Date => new Date(Date.now() + ms);

interface Proof {
  readonly attack: OcspParts;
  /** What was asked with. */
  readonly nonce?: Buffer;
  readonly after?: (answer: Buffer) => Buffer;
  readonly check: string;
  readonly without: string;
}

const PROOFS: Readonly<Record<string, Proof>> = {
  'its length': {
    attack: { extensions: [listExtension('1.2.3', false, der.octetString(Buffer.alloc(MAX_OCSP_BYTES)))] },
    check: 'if (bytes.length > MAX_OCSP_BYTES)',
    without: 'if (bytes.length < 0)',
  },
  'the response’s status': { attack: { responseStatus: 3 }, check: "status !== '00'", without: "status === ''" },
  'the response’s type': {
    attack: { type: '1.3.6.1.5.5.7.48.1.9' },
    check: ".toString('hex') !== OID_BASIC",
    without: ".toString('hex') === ''",
  },
  'that nothing follows it': {
    attack: {},
    after: (answer) => Buffer.concat([answer, Buffer.from([0])]),
    check: 'outermost.finish();',
    without: '',
  },
  'its signature': {
    attack: { key: namesake },
    check: 'if (!isSignedBy(signer.value, signed, algorithm, bits.subarray(1)))',
    without: 'if (bits.length === 0)',
  },
  'that a CA’s delegate is the CA’s own': {
    attack: { signer: delegate({}, namesake) },
    check: '!signedBy(certificate, issuer)',
    without: 'certificate === issuer',
  },
  'that a delegate is for that': {
    attack: { signer: neighbour },
    check: '?.includes(EXTENDED_KEY_USAGE.ocspSigning) !== true',
    without: '?.length === 0',
  },
  'that a delegate’s key is for signatures': {
    attack: { signer: delegate({ keyUsage: ['keyEncipherment'] }) },
    check: "facts.keyUsage?.has('digitalSignature') === false",
    without: 'facts.keyUsage?.size === 0',
  },
  'that a delegate has nothing critical that is not read': {
    attack: { signer: delegate({ others: [listExtension('1.2.3', true)] }) },
    check: 'facts.unreadCritical !== undefined',
    without: "facts.unreadCritical === ''",
  },
  'that a delegate has not ended': {
    attack: { signer: delegate({ notBefore: soon(-60_000), notAfter: soon(-1_000) }) },
    check: '|| nowMs >= certificate.validToDate.getTime()',
    without: '',
  },
  'that a delegate has begun': {
    attack: { signer: delegate({ notBefore: soon(120_000) }) },
    check: 'nowMs < begin ||',
    without: '',
  },
  'that a delegate’s key is strong': {
    attack: { signer: delegate({}, ca, small) },
    check: 'return weak === undefined ? undefined : `whose certificate has ${weak}`;',
    without: 'return undefined;',
  },
  'whose certificate it is about, by its number': {
    attack: { subject: { ...subject, serial: subjectFor(neighbour, ca).serial } },
    check: '&& number.equals(serial)',
    without: '',
  },
  'whose certificate it is about, by its CA’s name': {
    attack: { subject: { ...subject, issuerName: Buffer.alloc(20) } },
    check: '&& name.equals(issuerName)',
    without: '',
  },
  'whose certificate it is about, by its CA’s key': {
    attack: { subject: { ...subject, issuerKey: Buffer.alloc(20) } },
    check: '&& key.equals(issuerKey)',
    without: '',
  },
  'whose certificate it is about, by the digest of these': {
    attack: { subject: { ...subject, hash: 'sha256' } },
    check: 'digest === OCSP_DIGESTS[hash][1] &&',
    without: '',
  },
  'that it is once about it': { attack: { times: 2 }, check: 'if (answer !== undefined)', without: 'if (count < 0)' },
  'how many it is about': {
    attack: { others: Array.from({ length: MAX_OCSP_STATUSES }, () => subjectFor(neighbour, ca)) },
    check: 'if (count > MAX_OCSP_STATUSES)',
    without: 'if (count < 0)',
  },
  'how many certificates it has': {
    attack: { signer: delegate(), more: [neighbour, neighbour, neighbour, neighbour] },
    check: 'if (certificates.length === MAX_OCSP_CERTIFICATES)',
    without: 'if (certificates.length < 0)',
  },
  'its nonce': {
    attack: { extensions: [listExtension('1.3.6.1.5.5.7.48.1.2', false, der.octetString(Buffer.alloc(32, 8)))] },
    nonce,
    check: '|| !value.contents(OCTET_STRING).equals(nonce)',
    without: '|| value.contents(OCTET_STRING).length === 0',
  },
  'that it has a nonce': { attack: {}, nonce, check: 'if (nonce !== undefined)', without: 'if (nonce?.length === 0)' },
  'that it is not from the future': {
    attack: { thisUpdate: soon(120_000) },
    check: 'if (answer.thisUpdateMs > nowMs + MAX_CLOCK_LAG_MS)',
    without: 'if (answer.thisUpdateMs < 0)',
  },
  'that it has not ended': {
    attack: { thisUpdate: soon(-60_000), nextUpdate: soon(-2_000) },
    check: 'if (answer.nextUpdateMs !== undefined && nowMs >= answer.nextUpdateMs)',
    without: 'if (answer.nextUpdateMs === 0)',
  },
  'that it begins before it ends': {
    attack: { thisUpdate: soon(50_000), nextUpdate: soon(20_000) },
    check: 'if (answer.nextUpdateMs !== undefined && answer.nextUpdateMs <= answer.thisUpdateMs)',
    without: 'if (answer.nextUpdateMs === 0)',
  },
  'that it has nothing critical that is not known': {
    attack: { extensions: [listExtension('1.2.3', true)] },
    check: 'if (critical && oid !== OID_NONCE)',
    without: "if (oid === '')",
  },
  'that no extension stands twice': {
    attack: { extensions: [listExtension('1.2.3', false), listExtension('1.2.3', false)] },
    check: 'if (found.has(oid))',
    without: "if (oid === '')",
  },
};

const question = { subject, issuer: new X509Certificate(ca.certPem) };
type Read = typeof readOcspResponse;

describe('an answer is held against', () => {
  it.each(Object.entries(PROOFS))('%s, and counts where it is not', async (_name, { attack, after, ...proof }) => {
    const answer = ocspResponse(ca, client, attack);
    const bytes = after?.(answer) ?? answer;
    const by = (read: Read): string => {
      const said = read(bytes, { ...question, nonce: proof.nonce }, Date.now());
      return said.ok ? said.value.status : said.error;
    };
    expect(by(readOcspResponse)).toMatch(/^(it|its answer(’s signature)?) /);
    const { readOcspResponse: read } = await weakened('identity/ocsp-response-reader.ts', proof.check, proof.without);
    // The module's own export, with one text less.
    expect(by(read as Read)).toBe('good');
  });
});
