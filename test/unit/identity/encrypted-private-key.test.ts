import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encryptPrivateKey } from '../../../src/identity/encrypted-private-key.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

test.each(['ec', 'ed25519'] as const)(
  'an encrypted %s key is opened by its passphrase, here and by OpenSSL, and by no other',
  (type) => {
    const { privateKey } =
      type === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
    const passphrase = Buffer.from('correct horse battery staple');
    const pem = encryptPrivateKey(privateKey, passphrase);
    expect(createPrivateKey({ key: pem, passphrase }).equals(privateKey)).toBe(true);
    expect(() => createPrivateKey({ key: pem, passphrase: 'correct horse battery stable' })).toThrow();
    const folder = temporaryDirectory();
    const [keyFile, passFile] = [join(folder, 'key.pem'), join(folder, 'pass')];
    writeFileSync(keyFile, pem);
    writeFileSync(passFile, passphrase);
    const opened = execFileSync('openssl', ['pkey', '-in', keyFile, '-passin', `file:${passFile}`], {
      encoding: 'utf8',
    });
    expect(createPrivateKey(opened).equals(privateKey)).toBe(true);
    const structure = execFileSync('openssl', ['asn1parse', '-in', keyFile], { encoding: 'utf8' });
    for (const part of [':PBES2', ':PBKDF2', ':hmacWithSHA256', ':aes-256-cbc', ':0927C0'])
      expect(structure).toContain(part);
    expect(encryptPrivateKey(privateKey, passphrase)).not.toBe(pem);
  },
);
