/**
 * Two tenants on one model server that keeps what they name: the state of sequences, regions of shared memory, requests in
 * progress. With namespaces they never meet, whatever they call theirs; without, they do (the counter-proof).
 */
import type { ServerHttp2Stream } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { INFERENCE_SERVICE } from '../../src/inspection/inference-methods.ts';
import { NAME_WINDOW_BYTES } from '../../src/inspection/message-rewrite.ts';
import { respond, type UpstreamCall } from '../fakes/fake-upstream.ts';
import { BALANCED, HostileGround, INFER, openTo, PERMITTED, STREAM_INFER } from '../fakes/hostile-ground.ts';
import { type Choice, decoded, parameter, REQUEST, textField } from '../fakes/infer-messages.ts';
import { type Answer, field, frame } from '../fakes/raw-grpc-client.ts';
import type { FakeTenant } from '../fakes/trust.ts';

const method = (name: string): string => `/${INFERENCE_SERVICE}/${name}`;
const METHODS = ['*', ...['Register', 'Unregister', 'Status'].map((what) => `SystemSharedMemory${what}`)];

/** As much of Triton as two tenants could meet in. */
class StatefulServer {
  readonly sequences = new Map<string, number>();
  readonly regions = new Map<string, string>();
  readonly ids: string[] = [];

  readonly answer = (stream: ServerHttp2Stream, call: UpstreamCall): void => {
    stream.on('end', () => {
      if (!stream.destroyed) respond(stream, 0, this.#answer(call.path, call.body));
    });
  };

  #answer(path: string, request: Buffer): Buffer {
    const body = request.subarray(5);
    if (path === INFER) return frame(this.#infer(body));
    if (path === STREAM_INFER) return Buffer.concat(messages(request).map((one) => frame(field(2, this.#infer(one)))));
    const [name = '', key = ''] = [textOf(body, 1), textOf(body, 2)];
    if (path.endsWith('Register')) this.regions.set(name, key);
    if (path.endsWith('Unregister')) this.regions.delete(name);
    if (!path.endsWith('Status')) return Buffer.alloc(5);
    const entries = [...this.regions].map(([region, object]) => {
      const status = Buffer.concat([textField(1, region), textField(2, object)]);
      return field(1, Buffer.concat([textField(1, region), field(2, status)]));
    });
    return frame(Buffer.concat(entries));
  }

  /** Counts the requests of the sequence, and says the id again. */
  #infer(body: Buffer): Buffer {
    const request = decoded(REQUEST, body);
    const named = get(request, 'id');
    const id = typeof named === 'string' ? named : '';
    this.ids.push(id);
    const sequence = get(get(request, 'parameters'), 'sequence_id');
    const key = JSON.stringify(sequence);
    const count = (this.sequences.get(key) ?? 0) + 1;
    if (sequence !== undefined) this.sequences.set(key, count);
    return Buffer.concat([textField(1, PERMITTED), textField(3, id), field(6, String(count))]);
  }
}

function get(from: unknown, key: string): unknown {
  return typeof from === 'object' && from !== null ? Reflect.get(from, key) : undefined;
}

function textOf(body: Buffer, number: number): string | undefined {
  let text: string | undefined;
  for (let at = 0; at < body.length; ) {
    const length = body[at + 1] ?? 0;
    if (body[at] === number * 8 + 2) text = body.toString('utf8', at + 2, at + 2 + length);
    at += 2 + length;
  }
  return text;
}

function messages(stream: Buffer): readonly Buffer[] {
  const all: Buffer[] = [];
  for (let at = 0; at < stream.length; at += 5 + stream.readUInt32BE(at + 1))
    all.push(stream.subarray(at + 5, at + 5 + stream.readUInt32BE(at + 1)));
  return all;
}

let ground: HostileGround;
let server: StatefulServer;
afterEach(() => ground.stop());

async function start(namespaces?: 'off'): Promise<void> {
  ground = await HostileGround.start();
  const tenants = { acme: withMemory(ground.acme, namespaces), globex: withMemory(ground.globex, namespaces) };
  ground.sidecar.apply(ground.generation(tenants));
  server = new StatefulServer();
  ground.upstream.answer = server.answer;
}

function withMemory(tenant: FakeTenant, namespaces: 'off' | undefined) {
  const { roles } = openTo(tenant);
  const methods = METHODS.map((name) => `${INFERENCE_SERVICE}/${name}`);
  return { roles: roles.map((role) => ({ ...role, methods })), ...(namespaces === undefined ? {} : { namespaces }) };
}

async function call(tenant: FakeTenant, path: string, chunks: readonly Buffer[], headers = {}): Promise<Answer> {
  const answer = await (await ground.client(tenant)).call(path, { chunks, headers });
  expect([path, answer.status, answer.message]).toEqual([path, 0, '']);
  return answer;
}

function request(id: string, sequence: Choice, tensor: Buffer = Buffer.from('x')): Buffer {
  const parts = [textField(1, PERMITTED), textField(3, id), parameter(4, 'sequence_id', sequence), field(7, tensor)];
  return Buffer.concat(parts);
}

/** What the server counted, and the id that it said: of each message. */
function counted(body: Buffer, isStream: boolean): readonly (readonly [string | undefined, string | undefined])[] {
  return messages(body).map((message) => {
    const inner = isStream ? message.subarray(2) : message;
    return [textOf(inner, 3), textOf(inner, 6)];
  });
}

const SEQUENCES: readonly (readonly [string, Choice])[] = [
  ['a number', { int64: 42n }],
  ['a number of all bits', { uint64: 2n ** 64n - 1n }],
  ['a text', { text: 'same' }],
];

describe.each(SEQUENCES)('a sequence whose id is %s', (_name, sequence) => {
  const one = request('job', sequence);

  it('is each tenant’s own, and goes on for whoever it belongs to', async () => {
    await start();
    for (const tenant of [ground.acme, ground.globex])
      for (const count of ['1', '2', '3']) {
        const answer = await call(tenant, INFER, [frame(one)]);
        expect(counted(answer.body, false)).toEqual([['job', count]]);
      }
    expect(server.sequences.size).toBe(2);
    expect(new Set(server.ids)).toEqual(new Set(['acme:job', 'globex:job']));
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is each tenant’s own in a stream and compressed, too', async () => {
    await start();
    const stream = Buffer.concat([frame(one), frame(gzipSync(one), true), frame(one)]);
    const pieces = [stream.subarray(0, 7), stream.subarray(7, 60), stream.subarray(60)];
    for (const tenant of [ground.acme, ground.globex]) {
      const answer = await call(tenant, STREAM_INFER, pieces, { 'grpc-encoding': 'gzip' });
      expect(counted(answer.body, true)).toEqual([
        ['job', '1'],
        ['job', '2'],
        ['job', '3'],
      ]);
    }
    expect(server.sequences.size).toBe(2);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is one for both where the namespaces are off', async () => {
    await start('off');
    await call(ground.acme, INFER, [frame(one)]);
    const answer = await call(ground.globex, INFER, [frame(one)]);
    expect(counted(answer.body, false)).toEqual([['job', '2']]);
    expect(server.ids).toEqual(['job', 'job']);
  });
});

describe('a long request', () => {
  it('streams on behind its names, and its bytes are in balance when it has ended', async () => {
    await start();
    const tensor = Buffer.alloc(1_500_000, 7);
    const one = frame(request('long', { int64: 7n }, tensor));
    const answer = await call(ground.acme, INFER, [one.subarray(0, 3), one.subarray(3, 1_000), one.subarray(1_000)]);
    expect(counted(answer.body, false)).toEqual([['long', '1']]);
    const [received] = ground.upstream.calls;
    expect(received?.body.subarray(-tensor.length).equals(tensor)).toBe(true);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is refused when it names something behind its first 32 KiB, and nothing of its end goes on', async () => {
    await start();
    const late = Buffer.concat([
      textField(1, PERMITTED),
      field(7, Buffer.alloc(NAME_WINDOW_BYTES)),
      textField(3, 'id'),
    ]);
    const client = await ground.client(ground.acme);
    const answer = await client.call(INFER, { chunks: [frame(late)] });
    expect([answer.status, answer.reason]).toEqual([3, 'PAYLOAD_REJECTED']);
    expect(ground.upstream.calls.every(({ ended }) => !ended)).toBe(true);
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ outcome: 'denied', reason: 'payload_rejected' });
    expect(record?.detail).toContain('names something too late');
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('need not wait for more window than there is, however many of them come at once on one connection', async () => {
    await start();
    const client = await ground.client(ground.acme);
    // Together they are more than the connection's window, and each waits for its end.
    const one = frame(request('half', { int64: 7n }, Buffer.alloc(30_000)));
    const streams = Array.from({ length: 60 }, () => {
      const stream = client.session.request({
        ':method': 'POST',
        ':path': INFER,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => undefined);
      stream.write(one.subarray(0, -1));
      return stream;
    });
    const statuses = streams.map(
      (stream) =>
        new Promise((resolve) => {
          stream.on('trailers', (trailers) => resolve(trailers['grpc-status']));
          stream.on('close', () => resolve('closed'));
          stream.resume();
        }),
    );
    for (const stream of streams) stream.end(one.subarray(-1));
    expect(new Set(await Promise.all(statuses))).toEqual(new Set(['0']));
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});

describe('a region of shared memory', () => {
  const register = (key: string): Buffer => frame(Buffer.concat([textField(1, 'input'), textField(2, key)]));
  const status = async (tenant: FakeTenant): Promise<readonly string[]> => {
    const { body } = await call(tenant, method('SystemSharedMemoryStatus'), [Buffer.alloc(5)]);
    return [...body.toString('latin1').matchAll(/\/[a-z]+\.[a-z]+/g)].map(([key]) => key);
  };

  it('is each tenant’s own: neither sees, replaces or forgets the other’s', async () => {
    await start();
    await call(ground.acme, method('SystemSharedMemoryRegister'), [register('/acme.input')]);
    await call(ground.globex, method('SystemSharedMemoryRegister'), [register('/globex.input')]);
    expect([...server.regions.keys()].sort()).toEqual(['acme:input', 'globex:input']);
    expect([await status(ground.acme), await status(ground.globex)]).toEqual([['/acme.input'], ['/globex.input']]);
    await call(ground.globex, method('SystemSharedMemoryUnregister'), [frame(textField(1, 'input'))]);
    expect([await status(ground.acme), await status(ground.globex)]).toEqual([['/acme.input'], []]);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is not registered for an object of another tenant’s, nor forgotten with all', async () => {
    await start();
    const client = await ground.client(ground.globex);
    const foreign = await client.call(method('SystemSharedMemoryRegister'), { chunks: [register('/acme.input')] });
    const all = await client.call(method('SystemSharedMemoryUnregister'), { chunks: [Buffer.alloc(5)] });
    for (const { status: code, reason } of [foreign, all]) expect([code, reason]).toEqual([3, 'PAYLOAD_REJECTED']);
    expect(ground.upstream.calls).toEqual([]);
  });

  it('is one for both where the namespaces are off', async () => {
    await start('off');
    await call(ground.acme, method('SystemSharedMemoryRegister'), [register('/acme.input')]);
    expect(await status(ground.globex)).toEqual(['/acme.input']);
    await call(ground.globex, method('SystemSharedMemoryUnregister'), [Buffer.alloc(5)]);
    await call(ground.globex, method('SystemSharedMemoryRegister'), [register('/acme.input')]);
    expect(server.regions.get('input')).toBe('/acme.input');
  });

  it('is shown to nobody whose list cannot be told apart', async () => {
    await start();
    ground.upstream.answer = (stream) => respond(stream, 0, frame(Buffer.from('no protobuf')));
    const client = await ground.client(ground.acme);
    const answer = await client.call(method('SystemSharedMemoryStatus'), { chunks: [Buffer.alloc(5)] });
    expect([answer.reason, answer.body.length]).toEqual(['UPSTREAM_PROTOCOL', 0]);
  });
});

it('answers are asked for uncompressed where they have names, and only there', async () => {
  await start();
  const headers = { 'grpc-accept-encoding': 'identity,gzip' };
  const named = frame(request('a', { int64: 1n }));
  await call(ground.acme, INFER, [named], headers);
  await call(ground.acme, method('ModelReady'), [frame(textField(1, PERMITTED))], headers);
  expect(ground.upstream.calls.map((one) => one.headers['grpc-accept-encoding'])).toEqual([undefined, 'identity,gzip']);
});
