/**
 * vLLM's engine service. Its requests name no model: an engine serves one, whose name the tenant's file says.
 */

import { row, type ServiceRows, servedModelRow } from './method-row.ts';
import { EMBED_TOKENS, GENERATE_TOKENS } from './token-usage.ts';

/** Rows by `package.Service`. */
export const VLLM: ReadonlyMap<string, ServiceRows> = new Map([
  [
    'vllm.grpc.engine.VllmEngine',
    new Map([
      ['Generate', { ...servedModelRow('the prefix cache'), tokens: GENERATE_TOKENS }],
      ['Embed', { ...servedModelRow(''), tokens: EMBED_TOKENS }],
      ['GetModelInfo', servedModelRow('')],
      ['GetTokenizer', servedModelRow('')],
      ['HealthCheck', row(undefined, false, '')],
      // Request ids have no owner: who may name one may end it.
      ['Abort', row(undefined, true, 'requests in progress, of anybody')],
      ['FlushCache', row(undefined, true, 'the prefix cache')],
      ['StartProfile', row(undefined, true, 'whether the engine profiles, which makes it slow')],
      ['StopProfile', row(undefined, true, 'whether the engine profiles, and trace files')],
      ['GetServerInfo', row(undefined, true, '')],
      ['GetLoads', row(undefined, true, '')],
      // Tells the tokens of everyone's prompts.
      ['SubscribeKvEvents', row(undefined, true, '')],
    ]),
  ],
]);
