/**
 * Judges: clients that others wrote, grpcio, grpcurl (grpc-go) and buf curl (connect-go), each with a certificate alone, and with a token
 * or an API key beside it, in unary calls and in streams.
 */
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeIssuer } from '../fakes/tokens.ts';
import { run } from './harness/child.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { peerFile, peerSource } from './harness/peer-file.ts';
import { Sidecar } from './harness/sidecar.ts';

const PROTO = fileURLToPath(new URL('../../proto/inference', import.meta.url));
const KINDS = ['certificate', 'token', 'api-key'] as const;
type Kind = (typeof KINDS)[number];

interface Request {
  /** The tenant that accepts this kind of credential alone. */
  readonly kind: Kind;
  readonly model: string;
  readonly stream: boolean;
  readonly credential?: { readonly token: string } | { readonly apiKey: string };
}

/** `ok N` with the number of answers, or the status's number. */
type Client = (request: Request) => Promise<string>;

let upstream: ModelUpstream;
let sidecar: Sidecar;
const issuer = new FakeIssuer('https://login.acme.test');
const secret = randomBytes(32).toString('base64url');

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  const keys: Readonly<Record<Kind, object>> = {
    certificate: {},
    token: { issuers: [{ issuer: issuer.issuer, audience: 'bulkhead', jwks: { file: '../jwks.json' } }] },
    'api-key': {
      apiKeys: [
        { id: 'batch', sha256: createHash('sha256').update(secret).digest('hex'), expires: '2099-01-01T00:00:00Z' },
      ],
    },
  };
  sidecar = await Sidecar.start({
    prepare: (directory) => writeFileSync(join(directory, 'jwks.json'), issuer.jwks()),
    tenants: KINDS.map((kind) => ({
      id: kind,
      upstream: upstream.address,
      extra: {
        accept: [kind],
        ...keys[kind],
        roles: [{ name: 'all', methods: ['ModelInfer', 'ModelStreamInfer'], models: ['digits'] }],
        bindings: [{ role: 'all', certificates: ['*'] }],
      },
    })),
  });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

function credentialOf(kind: Kind, claims: object = {}): Pick<Request, 'credential'> {
  const now = Math.floor(Date.now() / 1000);
  if (kind === 'token') return { credential: { token: issuer.token({ iat: now - 10, exp: now + 3600, ...claims }) } };
  return kind === 'api-key' ? { credential: { apiKey: `bk_batch_${secret}` } } : {};
}

function header({ credential }: Request): readonly string[] {
  if (credential === undefined) return [];
  return [
    '-H',
    'token' in credential ? `authorization: Bearer ${credential.token}` : `x-api-key: ${credential.apiKey}`,
  ];
}

/** What each client is given on its standard input or command line: two requests for a stream. */
function bodyOf({ model, stream }: Request): string {
  const one = JSON.stringify({ model_name: model });
  return stream ? `${one} ${one}` : one;
}

const methodOf = ({ stream }: Request): string =>
  `inference.GRPCInferenceService/${stream ? 'ModelStreamInfer' : 'ModelInfer'}`;
const answersIn = (output: string): number => output.split('"modelName"').length - 1;

const CLIENTS: Readonly<Record<string, Client>> = {
  async grpcio({ kind, model, stream, credential }) {
    const { files, pki } = sidecar.tenant(kind);
    const to = { url: `127.0.0.1:${sidecar.port}`, serverName: pki.serverName, ...files };
    const settings = JSON.stringify({ ...to, model, stream, ...credential });
    const args = [peerSource('credentials_client.py'), settings];
    const { output } = await run('grpcio', { command: peerFile('clients/bin/python'), args }, 30_000);
    const name = output.trim();
    return { PERMISSION_DENIED: '7', UNAUTHENTICATED: '16' }[name] ?? name;
  },
  async grpcurl(request) {
    const { files, pki } = sidecar.tenant(request.kind);
    const tls = ['-cacert', files.ca, '-cert', files.cert, '-key', files.key, '-authority', pki.serverName];
    const proto = ['-import-path', PROTO, '-proto', 'grpc_inference_service.proto', '-max-time', '20'];
    const args = [...tls, ...proto, ...header(request), '-d', bodyOf(request)];
    const command = peerFile('bin/grpcurl');
    const exit = await run(
      'grpcurl',
      { command, args: [...args, `127.0.0.1:${sidecar.port}`, methodOf(request)] },
      30_000,
    );
    // Its exit code is the status added to 64.
    return exit.code === 0 ? `ok ${answersIn(exit.output)}` : String((exit.code ?? 0) - 64);
  },
  async 'buf curl'(request) {
    const { files, pki } = sidecar.tenant(request.kind);
    const tls = ['--cacert', files.ca, '--cert', files.cert, '--key', files.key, '--servername', pki.serverName];
    const args = ['curl', '--protocol', 'grpc', '--schema', PROTO, ...tls, ...header(request), '-d', bodyOf(request)];
    const to = `https://127.0.0.1:${sidecar.port}/${methodOf(request)}`;
    const exit = await run('buf', { command: peerFile('bin/buf'), args: [...args, to] }, 30_000);
    // Its exit code is the status shifted by three bits.
    return exit.code === 0 ? `ok ${answersIn(exit.output)}` : String((exit.code ?? 0) >> 3);
  },
};

describe.each(Object.entries(CLIENTS))('%s', (_, call) => {
  it.each(KINDS)('is let in with a certificate and what its tenant accepts: %s', async (kind) => {
    const request = { kind, model: 'digits', ...credentialOf(kind) };
    expect(await call({ ...request, stream: false })).toBe('ok 1');
    expect(await call({ ...request, stream: true })).toBe('ok 2');
  });

  it.each(KINDS)('is told status 7 of a model that it may not use: %s', async (kind) => {
    const request = { kind, model: 'secret', ...credentialOf(kind) };
    expect(await call({ ...request, stream: false })).toBe('7');
    expect(await call({ ...request, stream: true })).toBe('7');
  });

  it('is told status 16 without the credential, with an expired one, and with another’s', async () => {
    const seen = upstream.seen.length;
    expect(await call({ kind: 'token', model: 'digits', stream: false })).toBe('16');
    expect(await call({ kind: 'api-key', model: 'digits', stream: true })).toBe('16');
    const expired = credentialOf('token', { exp: Math.floor(Date.now() / 1000) - 3600 });
    expect(await call({ kind: 'token', model: 'digits', stream: true, ...expired })).toBe('16');
    const wrong = { credential: { apiKey: `bk_batch_${randomBytes(32).toString('base64url')}` } };
    expect(await call({ kind: 'api-key', model: 'digits', stream: false, ...wrong })).toBe('16');
    expect(upstream.seen).toHaveLength(seen);
  });
});
