import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  chainLinks,
  newestLists,
  type RevocationPolicy,
  type RevocationStatus,
  revocationStatus,
} from '../../../src/identity/client-revocation.ts';
import { createCa, type IssuedCertificate, issueClient } from '../../../src/identity/issue.ts';
import { type RevocationList, readRevocationLists } from '../../../src/identity/revocation-list-reader.ts';
import { type ListOptions, revocationList } from '../../fakes/revocation-lists.ts';

const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
const middle = createCa({ commonName: 'middle', days: 1 }, root);
const leaf = issueClient(middle, { dnsNames: ['a.test'], days: 1 });

const x509 = ({ certPem }: IssuedCertificate): X509Certificate => new X509Certificate(certPem);
const cas = [x509(root), x509(middle)];

function presented(): X509Certificate {
  const certificate = x509(leaf);
  // As a handshake puts them.
  Object.defineProperty(certificate, 'issuerCertificate', { value: x509(middle) });
  return certificate;
}

function list(ca: IssuedCertificate, options: ListOptions = {}): RevocationList {
  const read = readRevocationLists(Buffer.from(revocationList(ca, options)), cas);
  if (!read.ok || read.value[0] === undefined) throw new Error('a good list');
  return read.value[0];
}

const REFUSE: RevocationPolicy = { graceMs: 0, whenUnknown: 'refuse' };
const links = chainLinks(presented(), [x509(root)]);
const status = (lists: readonly RevocationList[], policy = REFUSE, nowMs = Date.now()): RevocationStatus =>
  revocationStatus(links, newestLists(lists), policy, nowMs);

describe('the certificates of a chain', () => {
  it('are the leaf and all below the tenant’s CA', () => {
    expect(links.map(({ serial, issuer }) => [serial, issuer])).toEqual([
      [x509(leaf).serialNumber, 'CN=middle'],
      [x509(middle).serialNumber, 'CN=root'],
    ]);
    expect(chainLinks(presented(), cas)).toHaveLength(1);
  });
});

describe('a chain', () => {
  it('is good until the first of its lists ends', () => {
    const nextUpdate = new Date(Math.ceil(Date.now() / 1000) * 1000 + 60_000);
    expect(status([list(root), list(middle, { nextUpdate })])).toEqual({
      status: 'good',
      untilMs: nextUpdate.getTime(),
    });
    const grace = { ...REFUSE, graceMs: 5_000 };
    expect(status([list(root), list(middle, { nextUpdate })], grace)).toMatchObject({
      untilMs: nextUpdate.getTime() + 5_000,
    });
  });

  it('is revoked with its leaf, and with a CA in it', () => {
    const leafGone = list(middle, { number: 3, revoked: [leaf.certPem] });
    expect(status([list(root), leafGone])).toEqual({ status: 'revoked', by: 'revocation list 3 of CN=middle' });
    expect(status([list(root, { revoked: [middle.certPem] }), list(middle)])).toMatchObject({ status: 'revoked' });
  });

  it('is not revoked by another CA’s list with the same serial number', () => {
    expect(status([list(root, { revoked: [leaf.certPem] }), list(middle)]).status).toBe('good');
  });

  it('that ends at none of the tenant’s CAs is unknown, and nobody’s good', () => {
    const elsewhere = chainLinks(presented(), [x509(createCa({ commonName: 'another', days: 1 }))]);
    expect(elsewhere).toEqual([]);
    expect(revocationStatus(elsewhere, newestLists([list(root), list(middle)]), REFUSE, Date.now())).toEqual({
      status: 'unknown',
      why: 'its chain ends at no CA of its tenant',
    });
  });

  it('is unknown without a list of each CA, and refused or allowed as the tenant says', () => {
    expect(status([list(middle)])).toEqual({ status: 'unknown', why: 'no revocation list of CN=root: there is none' });
    expect(status([], { ...REFUSE, whenUnknown: 'allow' })).toEqual({
      status: 'good',
      untilMs: Number.POSITIVE_INFINITY,
    });
  });

  it('is unknown from the end of a list and its grace on, and not before', () => {
    const end = list(middle).nextUpdateMs;
    const lists = [list(root, { nextUpdate: new Date(end + 1e9) }), list(middle)];
    expect(status(lists, REFUSE, end - 1).status).toBe('good');
    expect(status(lists, REFUSE, end)).toMatchObject({
      status: 'unknown',
      why: expect.stringContaining('it ended at'),
    });
    expect(status(lists, { ...REFUSE, graceMs: 10 }, end + 9).status).toBe('good');
    expect(status(lists, { ...REFUSE, graceMs: 10 }, end + 10).status).toBe('unknown');
  });

  it('stays revoked by a list that has ended, whatever the tenant says of those', () => {
    const revoked = list(middle, { revoked: [leaf.certPem] });
    for (const whenUnknown of ['refuse', 'allow'] as const) {
      expect(status([list(root), revoked], { graceMs: 0, whenUnknown }, Date.now() + 1e9).status).toBe('revoked');
    }
  });

  it('is judged by the newest list of each CA', () => {
    const before = list(middle, { number: 4, revoked: [leaf.certPem] });
    const after = list(middle, { number: 5 });
    for (const lists of [
      [before, after],
      [after, before],
    ]) {
      expect(status([list(root), ...lists]).status).toBe('good');
    }
  });
});
