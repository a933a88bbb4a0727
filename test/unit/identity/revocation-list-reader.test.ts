import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { der } from '../../../src/identity/der.ts';
import { createCa, issueClient } from '../../../src/identity/issue.ts';
import {
  authorityOf,
  MAX_CRL_BYTES,
  MAX_CRLS,
  type RevocationList,
  readRevocationList,
  readRevocationLists,
} from '../../../src/identity/revocation-list-reader.ts';
import { SerialTable } from '../../../src/identity/serial-table.ts';
import {
  type CraftedList,
  craftedList,
  listEntry,
  listExtension,
  revocationList,
  serialOctets,
} from '../../fakes/revocation-lists.ts';

const ca = createCa({ commonName: 'acme CA', days: 1 });
const other = createCa({ commonName: 'other CA', days: 1 });
const namesake = createCa({ commonName: 'acme CA', days: 1 });
const cas = [new X509Certificate(ca.certPem)];
const client = issueClient(ca, { dnsNames: ['a.test'], days: 1 });
const serial = new X509Certificate(client.certPem).serialNumber;

const derOf = (pem: string): Buffer => Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
const good = derOf(revocationList(ca, { number: 7, revoked: [client.certPem] }));

function listOf(bytes: Buffer, by = cas): RevocationList {
  const read = readRevocationList(bytes, by);
  if (!read.ok) throw new Error(read.error);
  return read.value;
}
function refusal(bytes: Buffer, by = cas): string {
  const read = readRevocationList(bytes, by);
  return read.ok ? 'accepted' : read.error;
}
const crafted = (parts: CraftedList): string => refusal(craftedList(ca, parts));

describe('a revocation list', () => {
  it('says whose it is, until when it holds, and who is on it', () => {
    const list = listOf(good);
    expect(list).toMatchObject({
      issuer: 'CN=acme CA',
      number: '7',
      authority: authorityOf(new X509Certificate(ca.certPem)),
    });
    expect(list.nextUpdateMs - list.thisUpdateMs).toBe(7_200_000);
    const table = new SerialTable(list.revoked);
    expect([table.size, table.has(serial), table.has('01')]).toEqual([1, true, false]);
  });

  it('may be empty, and of a CA with Ed25519', () => {
    const ed = createCa({ commonName: 'ed CA', days: 1, keyAlgorithm: 'Ed25519' });
    expect(listOf(derOf(revocationList(ed)), [new X509Certificate(ed.certPem)]).revoked).toHaveLength(0);
  });

  it('may have version 1, without a number', () => {
    const list = listOf(craftedList(ca, { version: undefined, entries: [listEntry(serialOctets(client.certPem))] }));
    expect(list.number).toBeUndefined();
    expect(new SerialTable(list.revoked).has(serial)).toBe(true);
  });

  it('has extensions and entries that need not be understood', () => {
    const extensions = [
      listExtension('2.5.29.35', false),
      listExtension('2.5.29.20', false, der.integer(Buffer.from([9]))),
    ];
    const entries = [listEntry(Buffer.from([5]), listExtension('2.5.29.21', false, der.enumerated(1)))];
    expect(listOf(craftedList(ca, { extensions, entries })).number).toBe('9');
  });

  it.each<[string, CraftedList, RegExp]>([
    [
      'about other CAs’ certificates (indirect)',
      { extensions: [listExtension('2.5.29.28', true)] },
      /critical extension issuingDistributionPoint/,
    ],
    [
      'about changes only (delta)',
      { extensions: [listExtension('2.5.29.27', true)] },
      /critical extension deltaCRLIndicator/,
    ],
    ['of a future kind', { extensions: [listExtension('1.2.3.4', true)] }, /critical extension with the octets/],
    [
      'with an extension twice',
      { extensions: [listExtension('1.2.3', false), listExtension('1.2.3', false)] },
      /stands twice/,
    ],
    [
      'with an entry of another CA’s',
      { entries: [listEntry(Buffer.from([5]), listExtension('2.5.29.29', true))] },
      /critical extension certificateIssuer/,
    ],
    ['of version 3', { version: der.integer(Buffer.from([2])) }, /version that there is not/],
    ['without an end', { times: [der.time(new Date(0))] }, /without nextUpdate/],
    ['that ends before it begins', { times: [der.time(new Date(1000)), der.time(new Date(0))] }, /not after/],
    [
      'with a negative number',
      { extensions: [listExtension('2.5.29.20', false, der.integer(Buffer.from([0xf0])))] },
      /number is none/,
    ],
    ['with something after its end', { rest: [der.null()] }, /malformed/],
    ['of version 1 with extensions', { version: undefined, extensions: [listExtension('1.2.3', false)] }, /malformed/],
  ])('%s is refused', (_name, parts, message) => {
    expect(crafted(parts)).toMatch(message);
  });

  it('of another CA, or of a namesake, is refused', () => {
    expect(refusal(derOf(revocationList(other)))).toMatch(/not among the client CAs/);
    expect(refusal(derOf(revocationList(namesake)))).toMatch(/signature is not its CA’s/);
  });

  it('of a CA that was renewed with its key is its own, and of either of two namesakes', () => {
    const both = [new X509Certificate(namesake.certPem), ...cas];
    expect(listOf(good, both).authority).toBe(authorityOf(new X509Certificate(ca.certPem)));
    expect(listOf(derOf(revocationList(namesake)), both).authority).not.toBe(listOf(good).authority);
  });

  it('is refused, and nothing thrown, wherever it is cut off or changed', () => {
    for (let cut = 0; cut < good.length; cut += 1) expect(refusal(good.subarray(0, cut))).not.toBe('accepted');
    for (let at = 0; at < good.length; at += 1) {
      const changed = Buffer.from(good);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      expect(refusal(changed)).not.toBe('accepted');
    }
    expect(refusal(Buffer.concat([good, Buffer.from([0])]))).toMatch(/something follows/);
  });

  it('leaves out serial numbers that no certificate can have', () => {
    const entries = [
      listEntry(Buffer.from([0xff])),
      listEntry(Buffer.concat([Buffer.from([1]), Buffer.alloc(20)])),
      listEntry(Buffer.from([7])),
    ];
    const table = new SerialTable(listOf(craftedList(ca, { entries })).revoked);
    expect([table.size, table.has('7')]).toEqual([1, true]);
  });
});

describe('a file of revocation lists', () => {
  it('is PEM with one for each CA, or DER', () => {
    const both = [new X509Certificate(ca.certPem), new X509Certificate(other.certPem)];
    const file = Buffer.from(`comment\n${revocationList(ca)}${revocationList(other)}`);
    const read = readRevocationLists(file, both);
    expect(read.ok && read.value.map(({ issuer }) => issuer)).toEqual(['CN=acme CA', 'CN=other CA']);
    expect(readRevocationLists(good, cas).ok).toBe(true);
  });

  it('has at least one, and which is wrong is said', () => {
    const error = (file: string): string => {
      const read = readRevocationLists(Buffer.from(file), cas);
      return read.ok ? '' : read.error;
    };
    expect(error('')).toBe('holds no revocation list');
    expect(error(client.certPem)).toBe('holds no revocation list');
    expect(error(revocationList(other))).toMatch(/^holds a revocation list of a CA/);
    expect(error(revocationList(ca) + revocationList(other))).toMatch(/\(number 2 in it\) of a CA/);
  });

  it.each([
    [MAX_CRLS, true],
    [MAX_CRLS + 1, false],
  ])('with %i lists is read: %s', (count, expected) => {
    expect(readRevocationLists(Buffer.from(revocationList(ca).repeat(count)), cas).ok).toBe(expected);
  });

  it('is read up to its greatest length', () => {
    const comment = (length: number): Buffer =>
      Buffer.concat([Buffer.from(revocationList(ca)), Buffer.alloc(length, '#')]);
    const length = MAX_CRL_BYTES - revocationList(ca).length;
    expect(readRevocationLists(comment(length - 8), cas).ok).toBe(true);
    expect(readRevocationLists(Buffer.alloc(MAX_CRL_BYTES + 1, '#'), cas)).toEqual({
      ok: false,
      error: `is longer than ${MAX_CRL_BYTES} bytes`,
    });
  });
});

describe('a table of serial numbers', () => {
  it('has those that were put in, and no other', () => {
    const serials = Array.from({ length: 300 }, (_, i) =>
      Buffer.from((i * 7919 + 1).toString(16).padStart(6, '0'), 'hex'),
    );
    const table = new SerialTable(SerialTable.of(serials));
    for (let value = 0; value < 7919 * 3; value += 1) {
      expect(table.has(value.toString(16))).toBe(value % 7919 === 1);
    }
    expect(table.has('f'.repeat(41))).toBe(false);
    expect(new SerialTable(SerialTable.of([])).has('1')).toBe(false);
  });
});
