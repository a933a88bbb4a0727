import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { der } from '../../../src/identity/der.ts';
import { EXTENDED_KEY_USAGE } from '../../../src/identity/extended-key-usage.ts';
import { createCa, type IssuedCertificate, issueClient } from '../../../src/identity/issue.ts';
import { encodeOcspRequest, ocspSubject } from '../../../src/identity/ocsp-request.ts';
import {
  MAX_OCSP_BYTES,
  MAX_OCSP_CERTIFICATES,
  MAX_OCSP_STATUSES,
  readOcspResponse,
} from '../../../src/identity/ocsp-response-reader.ts';
import { type OcspParts, ocspResponse, subjectFor, wrapped } from '../../fakes/ocsp-responses.ts';
import { listExtension } from '../../fakes/revocation-lists.ts';

const ca = createCa({ commonName: 'acme CA', days: 1 });
const namesake = createCa({ commonName: 'acme CA', days: 1 });
const client = issueClient(ca, { dnsNames: ['a.test'], days: 1 });
const neighbour = issueClient(ca, { dnsNames: ['b.test'], days: 1 });
const ocspSigning: readonly string[] = [EXTENDED_KEY_USAGE.ocspSigning];
const delegateOf = (by: IssuedCertificate, eku = ocspSigning, notAfter?: Date): IssuedCertificate =>
  issueClient(by, { commonName: 'responder', days: 1, eku, ...(notAfter === undefined ? {} : { notAfter }) });

function read(bytes: Buffer, nonce?: Buffer): string {
  const question = { subject: subjectFor(client, ca), issuer: new X509Certificate(ca.certPem), nonce };
  const answer = readOcspResponse(bytes, question, Date.now());
  return answer.ok ? answer.value.status : answer.error;
}
const says = (parts: OcspParts): string => read(ocspResponse(ca, client, parts));
const nonceOf = (octets: Buffer): ReturnType<typeof listExtension> =>
  listExtension('1.3.6.1.5.5.7.48.1.2', false, der.octetString(octets));

describe('an answer about a certificate', () => {
  it.each<[string, OcspParts, string]>([
    ['by the CA, named', {}, 'good'],
    ['by the CA, by its key', { byKey: true }, 'good'],
    ['that it is revoked', { status: 'revoked' }, 'revoked'],
    ['that it is not known', { status: 'unknown' }, 'unknown'],
    ['by a delegate', { signer: delegateOf(ca) }, 'good'],
    ['by a delegate, by its key', { signer: delegateOf(ca), byKey: true }, 'good'],
    ['without an end', { nextUpdate: null }, 'good'],
    ['among others', { others: [subjectFor(neighbour, ca)] }, 'good'],
    [
      'with extensions that need not be understood',
      { extensions: [listExtension('1.2.3', false)], singleExtensions: [listExtension('1.2.3', false)] },
      'good',
    ],
  ])('is read: %s', (_name, parts, expected) => {
    expect(says(parts)).toBe(expected);
  });

  it.each<[string, OcspParts, RegExp]>([
    ['by another CA of the same name', { key: namesake }, /signature is not its own/],
    ['by another CA', { signer: createCa({ commonName: 'x', days: 1 }) }, /not the CA’s/],
    ['by another client of the CA', { signer: neighbour }, /not for that/],
    ['by itself', { signer: client }, /not for that/],
    ['by a delegate without OCSPSigning', { signer: delegateOf(ca, [EXTENDED_KEY_USAGE.serverAuth]) }, /not for that/],
    ['by a delegate of another CA of the same name', { signer: delegateOf(namesake) }, /not the CA’s/],
    [
      'by a delegate that has ended',
      { signer: delegateOf(ca, ocspSigning, new Date(Date.now() - 1)) },
      /not valid now/,
    ],
    ['by another key than its delegate’s', { signer: delegateOf(ca), key: neighbour }, /signature is not its own/],
    ['that has ended', { nextUpdate: new Date(Date.now() - 500) }, /ended|ends before/],
    ['from the future', { thisUpdate: new Date(Date.now() + 120_000) }, /from the future/],
    ['that ends before it begins', { nextUpdate: new Date(Date.now() - 86_400_000) }, /ends before/],
    ['about another certificate', { subject: subjectFor(neighbour, ca) }, /another certificate/],
    [
      'about another CA’s',
      { subject: { ...subjectFor(client, ca), issuerKey: Buffer.alloc(20) } },
      /another certificate/,
    ],
    ['twice about it', { times: 2 }, /twice/],
    ['with a critical extension', { extensions: [listExtension('1.2.3', true)] }, /critical/],
    ['with a critical extension of its own', { singleExtensions: [listExtension('1.2.3', true)] }, /critical/],
    ['with an extension twice', { extensions: [1, 2].map(() => listExtension('1.2.3', false)) }, /twice/],
  ])('is refused: %s', (_name, parts, expected) => {
    expect(says(parts)).toMatch(expected);
  });

  it('is not taken from a delegate of a delegate, or of a CA below', () => {
    const middle = createCa({ commonName: 'middle', days: 1 }, ca);
    expect(says({ signer: delegateOf(middle) })).toMatch(/not the CA’s/);
  });

  it('has to repeat the nonce that was asked with', () => {
    const nonce = Buffer.alloc(32, 7);
    const extensions = [nonceOf(nonce)];
    expect(read(ocspResponse(ca, client, { extensions }), nonce)).toBe('good');
    expect(read(ocspResponse(ca, client, { extensions: [nonceOf(Buffer.alloc(32, 8))] }), nonce)).toMatch(/nonce/);
    expect(read(ocspResponse(ca, client), nonce)).toMatch(/nonce/);
  });

  it.each([
    [1, /malformed/],
    [2, /internal error/],
    [3, /try later/],
    [5, /signed/],
    [6, /does not answer us/],
    [4, /status that there is not/],
  ])('with status %i is none', (status, expected) => {
    expect(read(wrapped(Buffer.alloc(0), status))).toMatch(expected);
  });

  it.each([
    [MAX_OCSP_STATUSES, 'good'],
    [MAX_OCSP_STATUSES + 1, `its answer is malformed: more than ${MAX_OCSP_STATUSES} certificates that it is about`],
  ])('about %i certificates is read: %s', (count, expected) => {
    const others = Array.from({ length: count - 1 }, () => subjectFor(neighbour, ca));
    expect(says({ others })).toBe(expected);
  });

  it.each([
    [MAX_OCSP_CERTIFICATES, 'good'],
    [MAX_OCSP_CERTIFICATES + 1, `its answer is malformed: more than ${MAX_OCSP_CERTIFICATES} certificates`],
  ])('with %i certificates of signers is read: %s', (count, expected) => {
    const more = Array.from({ length: count - 1 }, () => neighbour);
    expect(says({ signer: delegateOf(ca), more })).toBe(expected);
  });

  it('is read up to its greatest length', () => {
    // Its signatures have one length.
    const ed = createCa({ commonName: 'ed CA', days: 1, keyAlgorithm: 'Ed25519' });
    const of = issueClient(ed, { dnsNames: ['a.test'], days: 1 });
    const long = (bytes: number): Buffer =>
      ocspResponse(ed, of, { extensions: [listExtension('1.2.3', false, der.octetString(Buffer.alloc(bytes)))] });
    const rest = MAX_OCSP_BYTES - long(30_000).length;
    const question = { subject: subjectFor(of, ed), issuer: new X509Certificate(ed.certPem) };
    expect(readOcspResponse(long(30_000 + rest), question, Date.now()).ok).toBe(true);
    expect(readOcspResponse(long(30_000 + rest + 1), question, Date.now()).ok).toBe(false);
  });

  it('is never anything else by an octet that is another, cut off or added', () => {
    const bytes = ocspResponse(ca, client, { signer: delegateOf(ca) });
    expect(read(bytes)).toBe('good');
    for (let length = 0; length < bytes.length; length += 1) expect(read(bytes.subarray(0, length))).not.toBe('good');
    expect(read(Buffer.concat([bytes, Buffer.from([0])]))).toMatch(/malformed/);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const other = Buffer.from(bytes);
        other.writeUInt8(other.readUInt8(at) ^ change, at);
        expect(['revoked', 'unknown']).not.toContain(read(other));
      }),
    );
  });

  it('of any octets gives an error, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
        expect(['good', 'revoked', 'unknown']).not.toContain(read(Buffer.from(octets)));
      }),
    );
  });
});

describe('a question', () => {
  it.each(['sha1', 'sha256'] as const)('by %s is what OpenSSL asks', (hash) => {
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-ocsp-'));
    const at = (name: string): string => join(directory, name);
    writeFileSync(at('ca.pem'), ca.certPem);
    writeFileSync(at('client.pem'), client.certPem);
    const asked = ['-issuer', at('ca.pem'), `-${hash}`, '-cert', at('client.pem')];
    const args = ['ocsp', '-no_nonce', ...asked, '-reqout', at('request.der')];
    execFileSync('openssl', args, { stdio: 'pipe' });
    const theirs = execFileSync('cat', [at('request.der')]);
    rmSync(directory, { recursive: true });
    const subject = ocspSubject(new X509Certificate(client.certPem), new X509Certificate(ca.certPem), hash);
    expect(encodeOcspRequest(subject).toString('hex')).toBe(theirs.toString('hex'));
  });
});
