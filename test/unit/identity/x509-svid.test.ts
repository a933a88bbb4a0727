/**
 * What an agent may hand us, and what it may not.
 */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createCa } from '../../../src/identity/issue.ts';
import type { SvidEntry } from '../../../src/identity/workload-protocol.ts';
import { MAX_BUNDLE_CERTIFICATES, MAX_SVIDS, readBundle, readSvids } from '../../../src/identity/x509-svid.ts';
import { derOf, svidEntry, trustDomain } from '../../fakes/workload-agent.ts';

const acme = trustDomain('acme.example');
const good = svidEntry(acme, 'ingress', { hint: 'internal' });
const other = svidEntry(acme, 'other');
const now = Date.now();

const read = (...entries: readonly SvidEntry[]) => readSvids(entries, now);

describe('a certificate of ours', () => {
  it('comes as PEM with its key, its id and its hint', () => {
    const svids = read(good);
    expect(svids).toMatchObject({ ok: true, value: [{ spiffeId: 'spiffe://acme.example/ingress', hint: 'internal' }] });
    const pem = svids.ok ? (svids.value[0]?.pem ?? '') : '';
    expect(pem).toMatch(/^-----BEGIN CERTIFICATE-----[^]+-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----/);
  });

  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const wrongKey = privateKey.export({ type: 'pkcs8', format: 'der' });
  const refused: readonly (readonly [string, Partial<SvidEntry>, RegExp])[] = [
    ['an id that is none', { spiffeId: 'https://acme.example/x' }, /no SPIFFE id/],
    ['the id of a trust domain', { spiffeId: 'spiffe://acme.example' }, /no SPIFFE id/],
    ['no certificate', { x509Svid: Buffer.alloc(0) }, /no certificate, key or bundle/],
    ['no key', { x509SvidKey: Buffer.alloc(0) }, /no certificate, key or bundle/],
    ['no bundle', { bundle: Buffer.alloc(0) }, /no certificate, key or bundle/],
    ['another one’s certificate', { x509Svid: other.x509Svid, x509SvidKey: other.x509SvidKey }, /another id/],
    ['another one’s key', { x509SvidKey: wrongKey }, /key is not/],
    ['a key that is none', { x509SvidKey: Buffer.from('-----BEGIN') }, /key is not/],
    ['noise', { x509Svid: Buffer.alloc(400, 0x61) }, /no DER/],
    ['a length beyond its end', { x509Svid: good.x509Svid.subarray(0, -1) }, /no DER/],
    ['a length of four octets', { x509Svid: Buffer.from('3084ffffffff00', 'hex') }, /no DER/],
    ['an empty SEQUENCE', { x509Svid: Buffer.from('3000', 'hex') }, /does not parse/],
    ['a chain that is not one', { x509Svid: Buffer.concat([good.x509Svid, other.x509Svid]) }, /not in order/],
    ['a chain without end', { x509Svid: Buffer.concat(Array<Buffer>(9).fill(good.x509Svid)) }, /more than 8/],
  ];
  it.each(refused)('is not taken with %s', (_what, changes, why) => {
    const svids = read({ ...good, ...changes });
    expect(svids).toMatchObject({ ok: false, error: expect.stringMatching(why) });
  });

  it('says nothing of the key in what is wrong with it', () => {
    const secret = good.x509SvidKey.toString('base64').slice(0, 24);
    for (const [, changes] of refused) {
      const svids = read({ ...good, ...changes });
      expect(JSON.stringify(svids)).not.toContain(secret);
    }
  });

  it('is not a CA’s', () => {
    const { ca } = trustDomain('acme.example');
    const key = createPrivateKey(ca.keyPem).export({ type: 'pkcs8', format: 'der' });
    expect(read({ ...good, x509Svid: derOf(ca.certPem), x509SvidKey: key }).ok).toBe(false);
  });

  it('is left out when it has ended, and not taken when it has not begun', () => {
    const ended = svidEntry(acme, 'ended', { notAfter: new Date(now - 1) });
    const svids = read(ended, good);
    expect(svids.ok && svids.value.map(({ spiffeId }) => spiffeId)).toEqual(['spiffe://acme.example/ingress']);
    expect(readSvids([good], now - 3_600_000)).toMatchObject({
      ok: false,
      error: expect.stringContaining('not valid'),
    });
  });

  it('brings all others down with it when it is malformed', () => {
    expect(read(good, { ...other, hint: 'x', x509SvidKey: wrongKey }).ok).toBe(false);
  });

  it('is one of as many as there may be, and not one more', () => {
    expect(read().ok).toBe(false);
    expect(readSvids(Array<SvidEntry>(MAX_SVIDS).fill(good), now).ok).toBe(true);
    expect(readSvids(Array<SvidEntry>(MAX_SVIDS + 1).fill(good), now)).toMatchObject({ ok: false });
  });

  it('is named in messages without what a terminal would act on', () => {
    const svids = read({ ...good, spiffeId: `\u001b[31m${'x'.repeat(5_000)}` });
    expect(svids).toMatchObject({ ok: false });
    expect(svids.ok ? '' : svids.error).not.toContain('\u001b');
    expect(svids.ok ? '' : svids.error.length).toBeLessThan(400);
  });
});

describe('authorities', () => {
  const { certPem } = acme.ca;

  it('come as PEM, all of them', () => {
    const second = createCa({ commonName: 'next', days: 1 }).certPem;
    const bundle = readBundle(derOf(certPem, second));
    expect(bundle.ok && bundle.value.match(/BEGIN/g)).toHaveLength(2);
  });

  it.each([
    ['nothing', Buffer.alloc(0), /empty/],
    ['noise', Buffer.alloc(64, 1), /no DER/],
    ['a leaf', good.x509Svid, /not a CA/],
    ['PEM', Buffer.from(certPem), /no DER/],
  ] as const)('are not %s', (_what, der, why) => {
    expect(readBundle(der)).toMatchObject({ ok: false, error: expect.stringMatching(why) });
  });

  it('are as many as there may be, and not one more', () => {
    const of = (count: number) => readBundle(derOf(...Array<string>(count).fill(certPem)));
    expect(of(MAX_BUNDLE_CERTIFICATES).ok).toBe(true);
    expect(of(MAX_BUNDLE_CERTIFICATES + 1)).toMatchObject({ ok: false, error: expect.stringContaining('more than') });
  });
});
