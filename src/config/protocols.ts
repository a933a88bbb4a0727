/**
 * What a tenant's file says of its model server's protocols, held against itself.
 */
import { PROTOCOLS, protocolOf } from '../inspection/protocols.ts';
import type { FileScope } from './file-scope.ts';
import type { TenantSource } from './schema-tenant.ts';

/** Reports protocols that contradict what else the file says. */
export function judgeProtocols(scope: FileScope, source: Pick<TenantSource, 'protocols' | 'model' | 'services'>): void {
  for (const [index, protocol] of source.protocols.entries()) {
    if (source.protocols.indexOf(protocol) < index)
      scope.report({ path: ['protocols', index] }, `${protocol} stands twice`, 'remove one');
  }
  for (const [index, service] of source.services.entries()) {
    const protocol = protocolOf(service);
    if (protocol === undefined) continue;
    const named = source.protocols.includes(protocol);
    const why = 'its messages are read, so that models can be told apart';
    const fix = named ? `remove it: ${why}` : `remove it, and add ${protocol} to protocols: ${why}`;
    scope.report({ path: ['services', index] }, `${service} cannot be passed through unread`, fix);
  }
  const nameless = source.protocols.find((protocol) =>
    [...PROTOCOLS[protocol].values()].some((rows) => [...rows.values()].some(({ servedModel }) => servedModel)),
  );
  if (nameless !== undefined && source.model === undefined) {
    const fix = 'add model: NAME, by which roles know the server’s model';
    scope.report({ path: ['protocols'] }, `requests of ${nameless} name no model, and there is no model`, fix);
  }
  if (nameless === undefined && source.model !== undefined) {
    const message = 'has no meaning for these protocols, whose requests name their models';
    scope.report({ path: ['model'] }, message, 'remove it, or add vllm to protocols');
  }
}
