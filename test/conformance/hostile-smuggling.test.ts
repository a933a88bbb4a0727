/**
 * Identities smuggled past the sidecar: every header that some server or proxy takes for who is calling, in every spelling that
 * some parser reads as the same, in headers and in trailers. And two readings of where a request ends, or which model it names.
 */
import type { IncomingHttpHeaders } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { UpstreamCall } from '../fakes/fake-upstream.ts';
import { dataFrame, FrameClient, headerFrame } from '../fakes/frame-client.ts';
import { HostileGround, INFER, inferRequest, openTo, PERMITTED } from '../fakes/hostile-ground.ts';
import { field, frame } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
beforeAll(async () => {
  ground = await HostileGround.start();
});
afterAll(() => ground.stop());

const BASE = [
  ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'acme.models.test'],
  ...['content-type', 'application/grpc', 'te', 'trailers'],
];

interface Sent {
  readonly outcome: string;
  readonly reached: UpstreamCall | undefined;
}

async function send(block: readonly string[], frames: (id: number) => readonly Buffer[]): Promise<Sent> {
  const before = ground.upstream.calls.length;
  const client = await FrameClient.connect(ground.access(ground.acme));
  const id = client.open(block);
  client.write(...frames(id));
  const outcome = await client.outcome(id);
  client.close();
  await ground.balanced();
  return { outcome, reached: ground.upstream.calls[before] };
}

const whole = (id: number): readonly Buffer[] => [dataFrame(id, inferRequest(), true)];

const IDENTITIES = [
  ...['tenant-id', 'principal', 'scopes', 'tenant-id-bin', 'anything-else'].map((name) => `x-bulkhead-${name}`),
  ...[
    'client-cert',
    'for',
    'host',
    'proto',
    'port',
    'user',
    'email',
    'groups',
    'preferred-username',
    'access-token',
  ].map((name) => `x-forwarded-${name}`),
  ...['client-cert', 'client-cert-chain', 'l5d-client-id', 'x-tenant-id', 'forwarded', 'x-real-ip'],
  ...['fairness-id', 'objective', 'anything-else'].map((name) => `x-gateway-inference-${name}`),
  ...[
    'external-address',
    'original-path',
    'internal',
    'peer-metadata',
    'peer-metadata-id',
    'downstream-service-node',
  ].map((name) => `x-envoy-${name}`),
  ...['grpc-trace-bin', 'baggage', 'tracestate', 'cookie', 'proxy-authorization'],
];

/** A name as parsers that make no difference read it; names in one word have one spelling. */
function spellings(name: string): readonly string[] {
  const words = name.split('-');
  const first = `${words[0]}_${words.slice(1).join('-')}`;
  const last = `${words.slice(0, -1).join('-')}_${words.at(-1)}`;
  return words.length === 1 ? [name] : [...new Set([name, words.join('_'), first, last])];
}

const SPELLED = IDENTITIES.flatMap(spellings);

function smuggled(headers: IncomingHttpHeaders | undefined): boolean {
  return JSON.stringify(headers).includes('globex');
}

describe(`${SPELLED.length} spellings of ${IDENTITIES.length} identity headers`, () => {
  it.each(SPELLED)('%s reaches nobody, once, twice, or between others', async (name) => {
    const near = `x-own-${name.replaceAll('_', '-')}`;
    const { outcome, reached } = await send(
      [...BASE, name, 'globex', 'x-own', '1', name, 'globex', near, 'mine'],
      whole,
    );
    expect(outcome).toBe('status 0');
    expect(smuggled(reached?.headers)).toBe(false);
    // Counter-proof: a client's own metadata does reach it, by whichever names no server takes for an identity.
    expect([reached?.headers['x-own'], reached?.headers[near]]).toEqual(['1', 'mine']);
  });

  it.each(IDENTITIES)('%s in upper case is no HTTP/2, whichever letter it is', async (name) => {
    const upper = [name.toUpperCase(), name.replace(/^./, (letter) => letter.toUpperCase())];
    for (const each of [...upper, name.replace(/.$/, (letter) => letter.toUpperCase())]) {
      expect(await send([...BASE, each, 'globex'], whole)).toEqual({ outcome: 'reset 1', reached: undefined });
    }
    expect((await send([...BASE, name, 'globex'], whole)).outcome).toBe('status 0');
  });

  it.each([' ', '\t', ':', '\0', '\r', '\n', '\u00ad', '\u00ff', '/'])(
    'a name with %j in it is no HTTP/2',
    async (odd) => {
      for (const name of [`x-tenant-id${odd}`, `${odd}x-tenant-id`, `x-tenant${odd}-id`]) {
        const { outcome, reached } = await send([...BASE, name, 'globex'], whole);
        expect([outcome, reached]).toEqual(['reset 1', undefined]);
      }
    },
  );

  it('reach nobody in trailers', async () => {
    const trailers = SPELLED.flatMap((name) => [name, 'globex']);
    const { outcome, reached } = await send(BASE, (id) => [
      dataFrame(id, inferRequest()),
      headerFrame(id, [...trailers, 'x-own', '1'], true),
    ]);
    expect(outcome).toBe('status 0');
    expect(reached?.ended).toBe(true);
    expect(smuggled(reached?.headers)).toBe(false);
  });
});

describe('where a request ends', () => {
  const length = String(inferRequest().length);

  it.each([
    ['content-length that is too little', [...BASE, 'content-length', '3']],
    ['content-length that is too much', [...BASE, 'content-length', String(inferRequest().length + 1)]],
    ['two that differ', [...BASE, 'content-length', length, 'content-length', '3']],
    ['two in one', [...BASE, 'content-length', `${length}, 3`]],
    ['one that is signed', [...BASE, 'content-length', `+${length}`]],
    ['one in hexadecimal', [...BASE, 'content-length', `0x${inferRequest().length.toString(16)}`]],
    ['transfer-encoding', [...BASE, 'transfer-encoding', 'chunked']],
    ['transfer-encoding and a content-length', [...BASE, 'transfer-encoding', 'chunked', 'content-length', length]],
    ['te beside trailers', [...BASE.slice(0, -2), 'te', 'trailers, chunked']],
    ['connection', [...BASE, 'connection', 'content-length']],
    ['upgrade', [...BASE, 'upgrade', 'h2c']],
    ['http2-settings', [...BASE, 'connection', 'upgrade, http2-settings', 'http2-settings', 'AAMAAABk']],
  ])('is not for %s to say', async (_, block) => {
    const { outcome, reached } = await send(block, whole);
    expect(outcome).toBe('reset 1');
    // What may have gone ahead was never ended.
    expect(reached?.ended ?? false).toBe(false);
  });

  it('is as its content-length says, which is not passed on', async () => {
    const { outcome, reached } = await send([...BASE, 'content-length', length], whole);
    expect(outcome).toBe('status 0');
    expect(reached?.headers['content-length']).toBeUndefined();
  });
});

describe('a model that is named twice, with tensors between', () => {
  const tensors = (count: number): readonly Buffer[] =>
    Array.from({ length: count }, (_, index) => field(7, Buffer.alloc(256 * 1024, index)));
  /** In frames of 16 KiB, as fast as windows allow. */
  const ask = async (message: Buffer, headers: Record<string, string> = {}) => {
    const before = ground.upstream.calls.length;
    const answer = await (await ground.client()).call(INFER, { headers, chunks: [message] });
    await ground.balanced();
    return { status: answer.status, reached: ground.upstream.calls[before]?.body.length ?? 0 };
  };

  it.each([
    ['plain', 8, {}, frame],
    ['gzip', 3, { 'grpc-encoding': 'gzip' }, (message: Buffer) => frame(gzipSync(message), true)],
  ] as const)('is the last one, however far behind: %s', async (_, count, headers, framed) => {
    const twice = (first: string, last: string): Buffer =>
      Buffer.concat([field(1, first), ...tensors(count), field(1, last)]);
    const hidden = framed(twice(PERMITTED, 'globex-secret'));
    const refused = await ask(hidden, headers);
    expect(refused.status).toBe(7);
    expect(refused.reached).toBeLessThan(hidden.length);
    const honest = framed(twice('globex-secret', PERMITTED));
    expect(await ask(honest, headers)).toEqual({ status: 0, reached: honest.length });
    // Counter-proof: it was the role that stood in its way.
    const roles = openTo(ground.acme).roles.map((role) => ({ ...role, models: ['*'] }));
    ground.sidecar.apply(ground.generation({ acme: { roles } }));
    expect(await ask(hidden, headers)).toEqual({ status: 0, reached: hidden.length });
    ground.sidecar.apply(ground.generation());
  });
});

describe('gzip', () => {
  const zipped = { ':path': INFER, 'grpc-encoding': 'gzip' };
  const ask = async (message: Buffer): Promise<string> => {
    const before = ground.upstream.calls.length;
    const { status, reason } = await (await ground.client()).call(INFER, { headers: zipped, chunks: [message] });
    await ground.balanced();
    const reached = ground.upstream.calls[before]?.body.equals(message) === true;
    return `${status} ${reason}${reached ? ' and there' : ''}`;
  };
  /** The test's limit of what a message may inflate to is 1 MiB. */
  const inflating = (bytes: number): Buffer => {
    const named = Buffer.concat([field(1, PERMITTED), field(90, '')]);
    return Buffer.concat([field(1, PERMITTED), field(90, Buffer.alloc(bytes - named.length - 2))]);
  };

  it('inflates to its limit and not to an octet more, whatever the ratio', async () => {
    const fits = inflating(1024 * 1024);
    const over = inflating(1024 * 1024 + 1);
    expect([fits.length, over.length]).toEqual([1024 * 1024, 1024 * 1024 + 1]);
    expect(gzipSync(fits).length).toBeLessThan(fits.length / 900);
    expect(await ask(frame(gzipSync(fits), true))).toBe('0  and there');
    expect(await ask(frame(gzipSync(over), true))).toBe('8 MESSAGE_TOO_LARGE');
  });

  it('is undone once: what was packed twice is no message', async () => {
    const nested = gzipSync(gzipSync(field(1, PERMITTED)));
    expect(await ask(frame(nested, true))).toBe('3 PAYLOAD_REJECTED');
    // A bomb in a bomb is refused as the small thing that it is.
    expect(await ask(frame(gzipSync(gzipSync(Buffer.alloc(64 * 1024 * 1024))), true))).toBe('3 PAYLOAD_REJECTED');
    expect(await ask(frame(gzipSync(field(1, PERMITTED)), true))).toBe('0  and there');
  });

  it('has one member: a second one, which some read and some do not, is refused', async () => {
    const [allowed, secret] = [gzipSync(field(1, PERMITTED)), gzipSync(field(1, 'globex-secret'))];
    for (const members of [
      [allowed, secret],
      [secret, allowed],
      [allowed, Buffer.from('x')],
    ]) {
      expect(await ask(frame(Buffer.concat(members), true))).toBe('3 PAYLOAD_REJECTED');
    }
  });
});
