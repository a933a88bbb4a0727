import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AUDIENCE, makeCredentials } from '../../../../src/demo/setup/credentials.ts';

const NOW = 1_800_000_000;
const acme = makeCredentials('acme', 'ada@acme.example', NOW);
const globex = makeCredentials('globex', 'grace@globex.example', NOW);

describe('makeCredentials', () => {
  it('signs a token that its own JWKS verifies, and the other tenant’s does not', () => {
    const [header, claims, signature] = acme.token.split('.').map((part) => Buffer.from(part, 'base64url'));
    expect(JSON.parse(String(header))).toMatchObject({ alg: 'ES256', kid: 'acme-1' });
    expect(JSON.parse(String(claims))).toEqual({
      iss: 'https://id.acme.example',
      aud: AUDIENCE,
      sub: 'ada@acme.example',
      iat: NOW,
      exp: NOW + 86_400,
    });
    const signed = Buffer.from(acme.token.slice(0, acme.token.lastIndexOf('.')));
    const verifies = (jwks: string): boolean => {
      const key = createPublicKey({ key: JSON.parse(jwks).keys[0], format: 'jwk' });
      return verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature ?? Buffer.alloc(0));
    };
    expect(verifies(acme.jwks)).toBe(true);
    expect(verifies(globex.jwks)).toBe(false);
  });

  it('publishes no private key', () => {
    expect(JSON.parse(acme.jwks).keys[0]).not.toHaveProperty('d');
  });

  it('issues certificates under the tenant’s own CA', () => {
    const ca = new X509Certificate(acme.ca.certPem);
    expect(new X509Certificate(acme.client.certPem).checkIssued(ca)).toBe(true);
    expect(new X509Certificate(globex.client.certPem).checkIssued(ca)).toBe(false);
    expect(new X509Certificate(acme.server.certPem).subjectAltName).toBe('DNS:acme.models.test');
    expect(new X509Certificate(acme.client.certPem).subjectAltName).toBe('URI:spiffe://acme.example/client');
  });

  it('keeps only the hash of the API key’s secret for the configuration', () => {
    const secret = acme.apiKey.slice(`bk_${acme.apiKeyId}_`.length);
    expect(acme.apiKey).toMatch(/^bk_acme-batch_[0-9a-f]{64}$/);
    expect(acme.apiKeySha256).toBe(createHash('sha256').update(secret).digest('hex'));
  });
});
