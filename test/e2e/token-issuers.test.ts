/**
 * Tokens of issuers that nobody here wrote: pyjwt and joserfc sign in every algorithm that the configuration knows, grpcio calls with them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TOKEN_ALGORITHMS } from '../../src/config/schema-credentials.ts';
import { run } from './harness/child.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { peerFile, peerSource } from './harness/peer-file.ts';
import { Sidecar } from './harness/sidecar.ts';

const ISSUER = 'https://issuers.test';
/** The same keys and signatures as EdDSA, by RFC 9864's name, which neither library writes yet. */
const WRITTEN_BY_NEITHER = 'Ed25519';

interface Answer {
  readonly library: string;
  readonly algorithm: string;
  readonly variant: string;
  readonly status: string;
  readonly message: string;
}

let upstream: ModelUpstream;
let sidecar: Sidecar;
let keys: string;
let answers: readonly Answer[];

async function issuers(...args: readonly string[]): Promise<string> {
  const command = { command: peerFile('token-issuers/bin/python'), args: [peerSource('token_issuers.py'), ...args] };
  const { code, output } = await run('the issuers', command, 120_000);
  if (code !== 0) throw new Error(`the issuers ended with ${String(code)}: ${output}`);
  return output;
}

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  keys = mkdtempSync(join(tmpdir(), 'bulkhead-issuers-'));
  await issuers('keys', keys);
  const issuer = {
    issuer: ISSUER,
    audience: 'bulkhead',
    jwks: { file: join(keys, 'jwks.json') },
    algorithms: TOKEN_ALGORITHMS,
  };
  const roles = {
    accept: ['token'],
    roles: [{ name: 'reader', methods: ['ModelInfer'], models: ['digits'] }],
    bindings: [{ role: 'reader', subjects: ['alice'] }],
  };
  sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: upstream.address, extra: { issuers: [issuer], ...roles } }],
  });
  const { pki, files } = sidecar.tenant('acme');
  const settings = {
    directory: keys,
    target: `127.0.0.1:${sidecar.port}`,
    serverName: pki.serverName,
    ...files,
    issuer: ISSUER,
    audience: 'bulkhead',
  };
  const output = await issuers('call', JSON.stringify(settings));
  answers = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line): Answer => JSON.parse(line));
});
afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
  rmSync(keys, { recursive: true, force: true });
});

const named = ({ library, algorithm, variant, status, message }: Answer): string =>
  `${library} ${algorithm} ${variant}: ${status} ${message}`;

it.each(['pyjwt', 'joserfc'])('%s is let in with every algorithm that may be configured', (library) => {
  const good = answers.filter((one) => one.library === library && one.variant.startsWith('good'));
  expect(good.filter(({ status }) => status !== 'OK').map(named)).toEqual([]);
  expect(new Set(good.map(({ algorithm }) => algorithm))).toEqual(
    new Set(TOKEN_ALGORITHMS.filter((algorithm) => algorithm !== WRITTEN_BY_NEITHER)),
  );
});

it('everything else that they sign is refused, in the same words but for what has ended', () => {
  const bad = answers.filter(({ variant }) => !variant.startsWith('good'));
  expect(bad.length).toBeGreaterThan(240);
  const told = new Set(
    bad.map(({ variant, status, message }) => `${variant === 'expired' ? 'expired: ' : ''}${status} ${message}`),
  );
  expect([...told].sort()).toEqual([
    'UNAUTHENTICATED the token is not valid',
    'expired: UNAUTHENTICATED the token has expired',
  ]);
});
