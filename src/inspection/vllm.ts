/**
 * vLLM's engine service. Its requests name no model: an engine serves one, whose name the tenant's file says.
 */

import { planFields } from '../protobuf/field-plan.ts';
import { row, type ServiceRows, servedModelRow } from './method-row.ts';
import { scoped } from './shape.ts';
import { EMBED_REQUEST, EMBED_TOKENS, GENERATE_REQUEST, GENERATE_TOKENS } from './token-usage.ts';

/** AbortRequest: as many as it likes. */
const ABORTED = planFields({ 1: scoped('request_ids') });

/** Rows by `package.Service`. */
export const VLLM: ReadonlyMap<string, ServiceRows> = new Map([
  [
    'vllm.grpc.engine.VllmEngine',
    new Map([
      [
        'Generate',
        { ...servedModelRow('the prefix cache'), names: { request: GENERATE_REQUEST }, tokens: GENERATE_TOKENS },
      ],
      ['Embed', { ...servedModelRow(''), names: { request: EMBED_REQUEST }, tokens: EMBED_TOKENS }],
      ['GetModelInfo', servedModelRow('')],
      ['GetTokenizer', servedModelRow('')],
      ['HealthCheck', row(undefined, false, '')],
      // Without a namespace request ids have no owner: who may name one may end it.
      ['Abort', { ...row(undefined, true, 'requests in progress'), names: { request: ABORTED } }],
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
