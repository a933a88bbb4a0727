/**
 * Limits of tokens and of compute time through the whole sidecar: reserved with a message, paid while the answer comes, settled
 * however the call ends; and what a failed model server gives back.
 */
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { afterEach, describe, expect, it } from 'vitest';
import type { LimitConfig, QuotaConfig } from '../../src/config/quota-config.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import type { QuotaUnit } from '../../src/kernel/denial.ts';
import { LimitCells, VALUES } from '../../src/quota/limit-cells.ts';
import { respond } from '../fakes/fake-upstream.ts';
import { BALANCED, eventually, HostileGround, INFER, inferRequest, STREAM_INFER } from '../fakes/hostile-ground.ts';
import { type Answer, frame } from '../fakes/raw-grpc-client.ts';
import { complete, EMBED, GENERATE, generateRequest, piece } from '../fakes/vllm-messages.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

const ROLE = { name: 'all', methods: ['*'], models: ['*'], versions: ['*'], source: 'tenant.yaml:1' };
const VLLM: Partial<TenantConfig> = {
  protocols: ['vllm'],
  servedModel: 'llama',
  roles: [{ ...ROLE, methods: ['vllm.grpc.engine.VllmEngine/*'] }],
};

function limit(unit: QuotaUnit, amount: number, changes: Partial<LimitConfig> = {}): LimitConfig {
  return {
    name: unit.toLowerCase(),
    level: 'tenant',
    unit,
    bound: { kind: 'total', amount, sinceSeconds: 0 },
    ...changes,
  };
}

function quota(limits: readonly LimitConfig[], more: Partial<QuotaConfig> = {}): QuotaConfig {
  return { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: undefined, limits, ...more };
}

function verdict({ status, reason }: Answer): string {
  return reason === '' ? String(status) : `${status} ${reason}`;
}

/** What is written down as used of the only limit that has used anything, when the books are balanced. */
async function used(): Promise<number> {
  expect(await ground.balanced()).toEqual(BALANCED);
  const cells = new LimitCells(ground.sidecar.shared.limits);
  const words = [...cells.used(0)].map(({ word }) => cells.words[word + VALUES + 1] ?? 0);
  return Math.max(0, ...words);
}

/** The model server answers with these pieces, one in each turn, then with the status and trailers. */
function answering(pieces: readonly Buffer[], trailers: Record<string, string> = {}, status = 0): void {
  ground.upstream.answer = (stream, call) => {
    stream.on('error', () => undefined);
    const begin = (): void => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status), ...trailers }));
      void (async () => {
        for (const one of pieces) {
          if (stream.destroyed) return;
          stream.write(one);
          await turn();
        }
        stream.end();
      })();
    };
    if (call.ended) begin();
    else stream.once('end', begin);
  };
}

const ESTIMATES = { counting: 'increments', estimatedInput: 10, estimatedOutput: 4 } as const;

async function vllm(limits: readonly LimitConfig[], more: Partial<QuotaConfig> = {}): Promise<void> {
  ground = await HostileGround.start({ acme: { ...VLLM, quota: quota(limits, { tokens: ESTIMATES, ...more }) } });
}

async function generate(request = generateRequest(), cancelAfterMs?: number): Promise<Answer> {
  const client = await ground.client();
  return client.call(GENERATE, { chunks: [request], ...(cancelAfterMs === undefined ? {} : { cancelAfterMs }) });
}

describe('output tokens of vLLM', () => {
  it('are reserved as the request asks for them, and given back as far as they were not made', async () => {
    await vllm([limit('outputTokens', 100)]);
    answering([piece(10), piece(10), complete(20, 7)]);
    expect(verdict(await generate(generateRequest({ maxTokens: 101 })))).toBe('8 QUOTA_EXHAUSTED');
    expect(verdict(await generate(generateRequest({ maxTokens: 51, answers: 2 })))).toBe('8 QUOTA_EXHAUSTED');
    expect(ground.upstream.calls).toHaveLength(0);
    expect(verdict(await generate(generateRequest({ maxTokens: 100 })))).toBe('0');
    expect(await used()).toBe(20);
    const [, , record] = await ground.records(3);
    expect(record?.consumed).toMatchObject({ outputTokens: 20, inputTokens: 0 });
  });

  it.each([
    ['one by one, in pieces', [piece(2), piece(3), complete(5, 7)], 5],
    ['only at the end', [complete(5, 7)], 5],
    ['as sums with each piece', [piece(0, 7, 2), piece(0, 7, 5)], 5],
    ['of several answers', [complete(5, 7), complete(6, 7)], 11],
  ])('are counted when they are told %s', async (_, pieces, tokens) => {
    await vllm([limit('outputTokens', 100)]);
    answering(pieces);
    expect(verdict(await generate())).toBe('0');
    expect(await used()).toBe(tokens);
  });

  it.each([
    ['whole messages', (tokens: readonly Buffer[]) => tokens],
    ['one piece', (tokens: readonly Buffer[]) => [Buffer.concat(tokens)]],
    [
      'pieces of three bytes',
      (tokens: readonly Buffer[]) => {
        const all = Buffer.concat(tokens);
        return Array.from({ length: Math.ceil(all.length / 3) }, (_, n) => all.subarray(n * 3, n * 3 + 3));
      },
    ],
  ])('that run out end the stream after its last whole message that was paid for, in %s', async (_, cut) => {
    await vllm([limit('outputTokens', 7)]);
    answering(cut(Array.from({ length: 20 }, () => piece(2))));
    const answer = await generate();
    expect(verdict(answer)).toBe('8 QUOTA_EXHAUSTED_MID_STREAM');
    expect(answer.body).toEqual(Buffer.concat([piece(2), piece(2), piece(2)]));
    expect(answer.trailers['grpc-retry-pushback-ms']).toBe('-1');
    // The message that was not passed on was made all the same.
    expect(await used()).toBe(8);
    expect((await ground.records(1))[0]?.detail).toMatch(/"unit":"outputTokens","amount":7.*"outputTokens":8/);
    expect(verdict(await generate())).toBe('8 QUOTA_EXHAUSTED');
  });

  it('of a message that is too long to be kept are paid at its end', async () => {
    await vllm([limit('outputTokens', 7)]);
    const long = piece(20_000);
    answering([piece(2), long, piece(1)]);
    const answer = await generate();
    expect(verdict(answer)).toBe('8 QUOTA_EXHAUSTED_MID_STREAM');
    expect(answer.body).toEqual(Buffer.concat([piece(2), long]));
    expect(await used()).toBe(20_002);
  });

  it('of many streams at once are granted to the last that there is, and no further', async () => {
    await vllm([limit('outputTokens', 500)]);
    answering(Array.from({ length: 100 }, () => piece(1)));
    const client = await ground.client();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => client.call(GENERATE, { chunks: [generateRequest()] })),
    );
    const passed = answers.reduce((sum, { body }) => sum + body.length / piece(1).length, 0);
    expect(passed).toBe(500);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('are not counted of methods that make none', async () => {
    await vllm([limit('outputTokens', 1)]);
    answering([frame(Buffer.alloc(0))]);
    const client = await ground.client();
    expect(verdict(await client.call(EMBED, { chunks: [generateRequest()] }))).toBe('0');
  });

  it.each([
    ['the client leaves before anything was told', 4],
    ['the client leaves when some were told', 2],
    ['the model server fails before anything was told', 0],
    ['the model server fails when some were told', 2],
    ['the model server answers, and never tells', 4],
    ['the answer is compressed, and cannot be read', 4],
  ])('are settled when %s', async (how, tokens) => {
    await vllm([limit('outputTokens', 100)]);
    const some = how.includes('some');
    if (how.includes('answers')) answering([frame(Buffer.alloc(3))]);
    else if (how.includes('compressed')) answering([frame(gzipSync(piece(3).subarray(5)), true)]);
    else
      ground.upstream.answer = (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        if (some) stream.write(piece(2));
        if (how.includes('server')) setTimeout(() => stream.close(2), 30);
      };
    await generate(generateRequest(), how.includes('client') ? 100 : undefined);
    expect(await used()).toBe(tokens);
  });
});

describe('tokens of a call that never reached the model server', () => {
  it('are none, whatever it reserved', async () => {
    await vllm([limit('outputTokens', 100)]);
    await ground.upstream.stop();
    expect((await generate()).status).toBe(14);
    expect(await used()).toBe(0);
  });
});

describe('input tokens of vLLM', () => {
  it('are those of a prompt that is tokenized, and an estimate until the answer tells', async () => {
    await vllm([limit('inputTokens', 30)]);
    answering([complete(1, 12)]);
    expect(verdict(await generate(generateRequest({ prompt: 31 })))).toBe('8 QUOTA_EXHAUSTED');
    expect(verdict(await generate())).toBe('0');
    expect(await used()).toBe(12);
    answering([complete(1, 18)]);
    expect(verdict(await generate(generateRequest({ prompt: 18 })))).toBe('0');
    expect(verdict(await generate())).toBe('8 QUOTA_EXHAUSTED');
  });

  it('of two models’ calls have a limit for each', async () => {
    await vllm([limit('inputTokens', 30, { level: 'model' })]);
    answering([complete(1, 30)]);
    expect(verdict(await generate())).toBe('0');
    expect(verdict(await generate())).toBe('8 QUOTA_EXHAUSTED');
  });
});

describe('tokens that a header, a trailer or a parameter tells', () => {
  const tokens = {
    ...ESTIMATES,
    input: { metadata: 'x-input-tokens' },
    output: { metadata: 'x-output-tokens' },
  } as const;

  it.each([
    ['a trailer', { 'x-output-tokens': '9' }, 9],
    ['a trailer that is no number', { 'x-output-tokens': '-9' }, 4],
    ['no trailer', {}, 4],
  ])('are settled by %s', async (_, trailers, counted) => {
    ground = await HostileGround.start({ acme: { quota: quota([limit('outputTokens', 100)], { tokens }) } });
    answering([frame(Buffer.alloc(0))], trailers);
    const client = await ground.client();
    expect(verdict(await client.call(INFER, { chunks: [inferRequest()] }))).toBe('0');
    expect(await used()).toBe(counted);
  });

  it.each([
    ['increments', 9],
    ['totals', 5],
  ] as const)('are read from a stream’s parameters as %s', async (counting, counted) => {
    const output = { parameter: 'output_tokens' };
    ground = await HostileGround.start({
      acme: { quota: quota([limit('outputTokens', 100)], { tokens: { ...ESTIMATES, counting, output } }) },
    });
    const told = (key: string, value: number): Buffer => {
      const response = new BinaryWriter().tag(2, 2).fork().tag(1, 2).string('digits').tag(4, 2).fork();
      // The value may come before the key.
      response.tag(2, 2).fork().tag(2, 0).int64(value).join().tag(1, 2).string(key).join();
      return frame(Buffer.from(response.join().finish()));
    };
    answering([told('output_tokens', 4), told('other', 70), told('output_tokens', 5)]);
    const client = await ground.client();
    expect(verdict(await client.call(STREAM_INFER, { chunks: [inferRequest()] }))).toBe('0');
    expect(await used()).toBe(counted);
  });
});

describe('compute time', () => {
  const compute = { estimateMs: 40, weights: [{ models: ['digits'], weight: 5 }] };

  it('ends a call that is silent when it has run out, and is what it took times the model’s weight', async () => {
    ground = await HostileGround.start({ acme: { quota: quota([limit('computeSeconds', 1)], { compute }) } });
    ground.upstream.answer = () => undefined;
    const client = await ground.client();
    const from = performance.now();
    const answer = await client.call(INFER, { chunks: [inferRequest()] });
    const tookMs = performance.now() - from;
    expect(verdict(answer)).toBe('8 QUOTA_EXHAUSTED_MID_STREAM');
    // A fifth of a second, less what cannot be paid ahead.
    expect(tookMs).toBeGreaterThan(120);
    const micros = await used();
    expect(micros).toBeGreaterThan(800_000);
    expect(micros).toBeLessThanOrEqual(tookMs * 1_000 * 5 + 100_000);
    expect((await ground.records(1))[0]?.consumed?.computeMicros).toBe(micros);
  });

  it('is given back as far as it was not needed', async () => {
    ground = await HostileGround.start({
      acme: {
        quota: quota([limit('computeSeconds', 10)], { compute: { estimateMs: 1_900, weights: compute.weights } }),
      },
    });
    ground.upstream.answer = (stream) => {
      setTimeout(() => respond(stream), 50);
    };
    const client = await ground.client();
    // 9.5 of 10 seconds are reserved, one call at a time.
    expect(verdict(await client.call(INFER, { chunks: [inferRequest()] }))).toBe('0');
    expect(verdict(await client.call(INFER, { chunks: [inferRequest()] }))).toBe('0');
    expect(await used()).toBeGreaterThanOrEqual(2 * 45_000 * 5);
    expect(await used()).toBeLessThan(9_000_000);
  });
});

describe('a model server that fails', () => {
  it.each([
    ['UNAVAILABLE, which is refunded', 14, [14], 0],
    ['UNAVAILABLE, which is not', 14, [13], 1],
    ['INVALID_ARGUMENT', 3, [14, 13], 1],
    ['nothing', 0, [14], 1],
  ])('with %s gives back the call', async (_, status, refund, calls) => {
    ground = await HostileGround.start({ acme: { quota: quota([limit('calls', 10)], { refund }) } });
    answering([], {}, status);
    const client = await ground.client();
    await client.call(INFER, { chunks: [inferRequest()] });
    expect(await used()).toBe(calls);
  });

  it('gives back elements, tokens and time, of a model too', async () => {
    const limits = (['tensorElements', 'outputTokens', 'computeSeconds', 'calls'] as const).map((unit) =>
      limit(unit, 100, { level: 'model' }),
    );
    ground = await HostileGround.start({ acme: { quota: quota(limits, { refund: [14], tokens: ESTIMATES }) } });
    answering([], {}, 14);
    const client = await ground.client();
    await client.call(INFER, { chunks: [inferRequest()] });
    expect(await used()).toBe(0);
  });
});

describe('what was reserved', () => {
  it('is nothing when all calls have ended, whatever ended them', async () => {
    await vllm([limit('outputTokens', 1_000_000), limit('inputTokens', 1_000_000), limit('computeSeconds', 1_000)]);
    let turns = 0;
    ground.upstream.answer = (stream) => {
      stream.on('error', () => undefined);
      const how = turns++ % 5;
      if (how === 0) return respond(stream, 14);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.write(piece(3, 5));
      if (how === 1) stream.close(2);
      else if (how === 2) stream.end(complete(3, 5));
      else if (how === 3) setTimeout(() => stream.close(8), 5);
    };
    const client = await ground.client();
    await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        client.call(GENERATE, { chunks: [generateRequest()], cancelAfterMs: n % 3 === 0 ? n : 80 }),
      ),
    );
    expect(await ground.balanced()).toEqual(BALANCED);
    const records = await ground.records(60);
    await eventually('all are written', () => records.length === 60);
    const cells = new LimitCells(ground.sidecar.shared.limits);
    const amounts = [...cells.used(0)].map(({ word }) => cells.words[word + VALUES + 1] ?? 0).sort((a, b) => a - b);
    const sum = (unit: 'inputTokens' | 'outputTokens' | 'computeMicros'): number =>
      records.reduce((all, { consumed }) => all + (consumed?.[unit] ?? 0), 0);
    expect(amounts).toEqual([sum('outputTokens'), sum('inputTokens'), sum('computeMicros')].sort((a, b) => a - b));
    await delay(0);
  });
});
