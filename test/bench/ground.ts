/**
 * The ground that all subjects stand on: certificates, a token of a usual size, one ModelInfer message, the tenant's file.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { peerFile } from '../e2e/harness/peer-file.ts';
import { tenantPki } from '../fakes/pki.ts';
import type { LoadTarget } from './load.ts';
import { type Ground, tenantFile } from './subjects.ts';

/** Writes everything into the ground's directory. */
export async function prepareGround(ground: Ground): Promise<{ readonly targetOf: (port: number) => LoadTarget }> {
  const { directory, serverName } = ground;
  const pki = tenantPki('acme');
  const write = (name: string, text: string | Buffer): string => {
    const file = join(directory, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  write('server.pem', pki.server.certPem);
  write('server.key', pki.server.keyPem);
  write('server.both.pem', pki.server.certPem + pki.server.keyPem);
  write('ca.pem', pki.ca.certPem);
  const clientPem = write('client.both.pem', pki.client.certPem + pki.client.keyPem);
  const { token, jwks } = issueToken();
  write('jwks.json', jwks);
  mkdirSync(join(directory, 'tenants'));
  write('tenants/acme.yaml', tenantFile(ground));
  const bodyFile = write('body', modelInfer());
  const shim = peerFile('lib/h2load-client-cert.so');
  return { targetOf: (port) => ({ port, serverName, clientPem, bodyFile, token, shim }) };
}

/** An ES256 token of 575 bytes or so, valid for an hour. */
function issueToken(): { readonly token: string; readonly jwks: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = part({ alg: 'ES256', typ: 'JWT', kid: 'bench' });
  const claims = {
    iss: 'https://idp.acme.example',
    aud: 'ml',
    sub: 'bench',
    iat: now,
    exp: now + 3600,
    groups: Array.from({ length: 12 }, (_, i) => `group-${i}-of-the-bench`),
  };
  const signed = `${header}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'bench', alg: 'ES256', use: 'sig' };
  return { token: `${signed}.${signature.toString('base64url')}`, jwks: JSON.stringify({ keys: [jwk] }) };
}

/** One framed `ModelInferRequest` for model `digits`, with 64 floats as raw contents. */
function modelInfer(): Buffer {
  const field = (number: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(bytes.length)]), bytes]);
  const input = Buffer.concat([
    field(1, Buffer.from('image')),
    field(2, Buffer.from('FP32')),
    field(3, Buffer.from([1, 64])),
  ]);
  const message = Buffer.concat([field(1, Buffer.from('digits')), field(5, input), field(7, Buffer.alloc(256))]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest & 127) | 128);
  }
}
