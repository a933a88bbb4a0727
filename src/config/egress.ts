/**
 * From the main file's egress listeners to their configuration.
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { err, ok, type Result } from '../kernel/result.ts';
import { judgeClientUse } from './certificates.ts';
import type { FileScope } from './file-scope.ts';
import type { ValuePath } from './finding.ts';
import type { EgressAddress, EgressConfig, Generation } from './generation.ts';
import type { EgressSource } from './schema-egress.ts';
import { buildUpstream } from './upstream.ts';
import { type AddressFlaw, isLoopback, parseUpstreamAddress } from './upstream-address.ts';
import type { UpstreamConfig } from './upstream-config.ts';

/** An egress listener before it has its place in the shared tables. */
export type EgressDraft = Omit<EgressConfig, 'slot'>;

/** Builds all of them. `taken`: ports that the process itself listens on, with the keys that say so. */
export function buildEgress(
  scope: FileScope,
  sources: readonly EgressSource[],
  taken: ReadonlyMap<number, string>,
): readonly EgressDraft[] {
  const seen = new Set<string>();
  return sources
    .map((source, index) => {
      const built = build(scope, source, index, taken);
      if (built === undefined) return undefined;
      if (seen.has(built.listen)) {
        const fix = 'give each egress listener an address of its own: the address is what picks the tenant';
        scope.report({ path: ['egress', index, 'listen'] }, `${built.listen} stands twice`, fix);
      }
      seen.add(built.listen);
      return built;
    })
    .filter((draft) => draft !== undefined);
}

function build(
  scope: FileScope,
  source: EgressSource,
  index: number,
  taken: ReadonlyMap<number, string>,
): EgressDraft | undefined {
  const path = ['egress', index];
  const listen = parseEgressAddress(source.listen);
  if (!listen.ok) scope.report({ path: [...path, 'listen'] }, listen.error.message, listen.error.fix);
  else if (listen.value.kind === 'tcp' && taken.has(listen.value.port)) {
    const message = `port ${listen.value.port} is ${taken.get(listen.value.port)}`;
    scope.report({ path: [...path, 'listen'] }, message, 'choose another port for one of the two');
  }
  const upstream = buildIngress(scope, [...path, 'upstream'], source.upstream);
  if (!listen.ok || upstream === undefined) return undefined;
  return {
    listen: nameOf(listen.value),
    address: listen.value,
    tenant: source.tenant,
    byteAccountBytes: source.byteAccount,
    upstream,
  };
}

/** Where the calls go: an ingress sidecar, over TLS. In clear text the tenant's callers would be anybody's. */
function buildIngress(scope: FileScope, path: ValuePath, source: EgressSource['upstream']): UpstreamConfig | undefined {
  const parsed = parseUpstreamAddress(source.address);
  if (parsed.ok && !parsed.value.tls) {
    const message = 'calls would leave without TLS and without the tenant’s certificate';
    scope.report({ path: [...path, 'address'] }, message, 'write https://host:port of the ingress');
    return undefined;
  }
  const upstream = buildUpstream(scope, path, source);
  if (upstream === undefined) return undefined;
  const certificate = upstream.tls?.clientCertificate;
  if (certificate !== undefined) {
    const { chain, secret } = source.clientCertificate;
    const flaws = judgeClientUse(new X509Certificate(certificate.chainPem));
    const key = secret === undefined ? 'chain' : 'secret';
    const named = chain ?? secret;
    if (named !== undefined) scope.reportFile([...path, 'clientCertificate', key], named, flaws);
  }
  return { ...upstream, authority: source.authority ?? upstream.tls?.serverName ?? upstream.authority };
}

const WRITE_LISTEN = 'write 127.0.0.1:port, [::1]:port or unix:/path';

/** Parses where an egress listener listens: loopback only, since whoever reaches it speaks as the tenant. */
export function parseEgressAddress(text: string): Result<EgressAddress, AddressFlaw> {
  if (text.startsWith('unix:')) {
    const parsed = parseUpstreamAddress(text);
    if (!parsed.ok) return parsed;
    if (parsed.value.target.kind === 'unix') return ok(parsed.value.target);
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (match === null || isIP(host) !== (match[1] === undefined ? 4 : 6) || port > 65_535) {
    return err({ message: `"${text}" is not an address to listen on`, fix: WRITE_LISTEN });
  }
  if (!isLoopback(host)) {
    const message = `${host} is not a loopback address: everyone who reaches it would speak as the tenant`;
    return err({ message, fix: 'write 127.0.0.1, [::1] or unix:/path' });
  }
  if (port === 0)
    return err({ message: 'port 0 is none that a client could know', fix: 'write a port from 1 to 65535' });
  return ok({ kind: 'tcp', host, port });
}

/** One text for one address. */
function nameOf(address: EgressAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/**
 * A listener's cell in the shared table is its own for as long as it is configured; a new one gets the lowest that neither this
 * generation nor `previous` uses, since calls of the previous one may still run.
 */
export function withEgressSlots(
  drafts: readonly EgressDraft[],
  previous: Generation | undefined,
): readonly EgressConfig[] {
  const before = new Map(previous?.egress.map(({ listen, slot }) => [listen, slot]));
  const used = new Set(before.values());
  let next = 0;
  return drafts.map((draft) => {
    const known = before.get(draft.listen);
    if (known !== undefined) return { ...draft, slot: known };
    while (used.has(next)) next += 1;
    used.add(next);
    return { ...draft, slot: next };
  });
}
