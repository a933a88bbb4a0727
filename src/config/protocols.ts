/**
 * What a tenant's file says of its model server's protocols, held against itself.
 */
import { row, type ServiceRows } from '../inspection/method-row.ts';
import { PROTOCOLS, type ProtocolName, protocolsOf } from '../inspection/protocols.ts';
import { readProtoset } from '../inspection/protoset-reader.ts';
import type { FileScope } from './file-scope.ts';
import type { TenantSource } from './schema-tenant.ts';
import type { ProtosetConfig } from './tenant-config.ts';

/** Reports protocols that contradict what else the file says. */
export function judgeProtocols(scope: FileScope, source: Pick<TenantSource, 'protocols' | 'model' | 'services'>): void {
  for (const [index, protocol] of source.protocols.entries()) {
    if (source.protocols.indexOf(protocol) < index)
      scope.report({ path: ['protocols', index] }, `${protocol} stands twice`, 'remove one');
    const other = source.protocols.slice(0, index).find((each) => each !== protocol && sharesService(each, protocol));
    if (other !== undefined) {
      const message = `${other} and ${protocol} give the same service different numbers`;
      scope.report({ path: ['protocols', index] }, message, 'keep the one that the model server speaks');
    }
  }
  for (const [index, service] of source.services.entries()) {
    const protocols = protocolsOf(service);
    if (protocols.length === 0) continue;
    const named = protocols.some((protocol) => source.protocols.includes(protocol));
    const why = 'its messages are read, so that models can be told apart';
    const fix = named ? `remove it: ${why}` : `remove it, and add ${protocols.join(' or ')} to protocols: ${why}`;
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

function sharesService(one: ProtocolName, other: ProtocolName): boolean {
  return [...PROTOCOLS[one].keys()].some((service) => PROTOCOLS[other].has(service));
}

/** Whether tenants of one server would meet in what its messages name. */
function hasNames(protocol: ProtocolName): boolean {
  return [...PROTOCOLS[protocol].values()].some((rows) => [...rows.values()].some(({ names }) => names !== undefined));
}

/** Reports namespaces where there is nothing that would be in them. */
export function judgeNamespaces(
  scope: FileScope,
  { protocols, namespaces, sharedMemoryKeys }: Pick<TenantSource, 'protocols' | 'namespaces' | 'sharedMemoryKeys'>,
): void {
  const without = 'has no meaning for these protocols, which have no names that tenants share';
  if (namespaces !== undefined && !protocols.some(hasNames))
    scope.report({ path: ['namespaces'] }, without, 'remove it, or add the protocol that the model server speaks');
  if (sharedMemoryKeys === undefined) return;
  if (!protocols.includes('triton')) scope.report({ path: ['sharedMemoryKeys'], at: 'key' }, without, 'remove it');
  else if (namespaces === 'off')
    scope.report(
      { path: ['sharedMemoryKeys'], at: 'key' },
      'has no meaning without namespaces',
      'remove one of the two',
    );
}

/** Reads the descriptors of further services. `services` has the listed methods also where something is wrong with them. */
export function buildProtoset(
  scope: FileScope,
  source: Pick<TenantSource, 'services'>,
  { file, methods: listed }: NonNullable<TenantSource['protoset']>,
): { readonly config: ProtosetConfig | undefined; readonly services: ReadonlyMap<string, ServiceRows> } {
  const methods = listed.map(({ method, model, version, sensitive }) => ({ method, model, version, sensitive }));
  const named = new Map<string, Map<string, ReturnType<typeof row>>>();
  for (const { method, sensitive } of methods) {
    const slash = method.indexOf('/');
    const service = method.slice(0, slash);
    const rows = named.get(service) ?? new Map<string, ReturnType<typeof row>>();
    named.set(service, rows.set(method.slice(slash + 1), row(undefined, sensitive, '')));
  }
  for (const [index, service] of source.services.entries()) {
    if (!named.has(service)) continue;
    const fix = 'remove it: its messages are read by protoset';
    scope.report({ path: ['services', index] }, `${service} cannot be passed through unread`, fix);
  }
  const descriptors = scope.bytes(['protoset', 'file'], file);
  if (descriptors === undefined) return { config: undefined, services: named };
  const read = readProtoset(descriptors, methods);
  if (read.ok) return { config: { descriptors: descriptors.toString('base64'), methods }, services: read.value };
  for (const { at, message, fix } of read.error) {
    if (at === undefined) scope.report({ path: ['protoset', 'file'] }, `${file} ${message}`, fix);
    else scope.report({ path: ['protoset', 'methods', at.index, at.key] }, message, fix);
  }
  return { config: undefined, services: named };
}
