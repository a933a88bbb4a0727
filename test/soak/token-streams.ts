/**
 * Many streams of tokens at once against one limit: `node test/soak/token-streams.ts [streams] [tokens per second] [limit]`. Says how many
 * tokens were passed on, which may not be more than the limit nor less by more than one message.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { HostileGround } from '../fakes/hostile-ground.ts';
import { GENERATE, generateRequest, piece } from '../fakes/vllm-messages.ts';

const [streams = 500, perSecond = 100, limit = 100_000] = process.argv.slice(2).map(Number);

const bound = { kind: 'total', amount: limit, sinceSeconds: 0 } as const;
const acme: Partial<TenantConfig> = {
  protocols: ['vllm'],
  servedModel: 'llama',
  roles: [{ name: 'all', methods: ['vllm.grpc.engine.VllmEngine/*'], models: ['*'], versions: ['*'], source: 'x:1' }],
  quota: {
    perTenant: undefined,
    perCaller: undefined,
    maxConcurrentCalls: undefined,
    tokens: { counting: 'increments', estimatedInput: 16, estimatedOutput: 16 },
    limits: [{ name: 'tokens', level: 'tenant', unit: 'outputTokens', bound }],
  },
};
const ground = await HostileGround.start({ acme });
const TOKEN = piece(1);
ground.upstream.answer = (stream) => {
  stream.on('error', () => undefined);
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
  const timer = setInterval(() => stream.write(TOKEN), 1_000 / perSecond);
  stream.on('close', () => clearInterval(timer));
};
const clients = await Promise.all(Array.from({ length: Math.ceil(streams / 50) }, () => ground.client()));
const from = performance.now();
const answers = await Promise.all(
  Array.from({ length: streams }, async (_, n) => {
    // So many at once would wait for the first connection to the model server, and some be refused.
    await delay(n === 0 ? 0 : 200 + 4 * n);
    return clients[n % clients.length]?.call(GENERATE, { chunks: [generateRequest()] });
  }),
);
const seconds = (performance.now() - from) / 1_000;
const passed = answers.reduce((sum, answer) => sum + (answer?.body.length ?? 0) / TOKEN.length, 0);
const reasons = new Set(answers.map((answer) => answer?.reason));
console.log(
  `${streams} streams, ${perSecond} tokens/s each: ${passed} of ${limit} tokens passed on in ${seconds.toFixed(1)} s; ended with ${[...reasons].join(', ')}; reserved: ${JSON.stringify(await ground.balanced())}`,
);
await ground.stop();
process.exitCode = passed <= limit && passed >= limit - 1 ? 0 : 1;
