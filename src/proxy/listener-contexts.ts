/**
 * What a listener shows and asks in its handshakes: each tenant's own certificate and CA under its names, the certificate that tenants
 * share under theirs, and nothing under any other.
 */
import type { SecureContext, Server, TLSSocket, TlsOptions } from 'node:tls';
import type { ListenerConfig, SharedListenerConfig } from '../config/generation.ts';
import { listenerTlsOptions } from '../identity/listener-tls.ts';
import { sharedContext, TlsContexts } from '../identity/tls-contexts.ts';
import type { PeerJudge } from './peer-judge.ts';
import type { Tenants } from './tenants.ts';

/** A tenant's TLS context that no handshake has asked for in so long is compiled anew when one does. */
const CONTEXT_IDLE_MS = 300_000;

export interface ListenerContextsOptions {
  readonly listen: ListenerConfig;
  readonly tenants: Tenants;
  readonly judge: PeerJudge;
  handshakeTimeoutMs(): number;
  mayBegin(serverName: string, socket: TLSSocket): boolean;
  onUnusable(serverName: string, detail: string): void;
}

export class ListenerContexts {
  readonly #options: ListenerContextsOptions;
  readonly #own = new TlsContexts();
  #minTlsVersion: ListenerConfig['minTlsVersion'];
  /** What tenants share; undefined: nothing, each has a name and a certificate of its own. */
  #shared: SharedListenerConfig | undefined;
  #sharedContext: SecureContext | undefined;
  readonly #idleSweep: NodeJS.Timeout;

  constructor(options: ListenerContextsOptions) {
    this.#options = options;
    this.#minTlsVersion = options.listen.minTlsVersion;
    this.#shared = options.listen.shared;
    this.#idleSweep = setInterval(() => this.#own.dropIdle(), CONTEXT_IDLE_MS).unref();
  }

  /** For `tls.createServer`. */
  serverOptions(): TlsOptions {
    const options = this.#options;
    return listenerTlsOptions({
      minVersion: this.#minTlsVersion,
      shared: this.#shared,
      handshakeTimeoutMs: options.handshakeTimeoutMs(),
      contextOf: (serverName) => this.#contextOf(serverName),
      mayBegin: (serverName, socket) => options.mayBegin(serverName, socket),
      onUnusable: (serverName, error) =>
        options.onUnusable(serverName, error instanceof Error ? error.message : String(error)),
    });
  }

  /**
   * The versions that a handshake may have, and the certificate that tenants share, are those of the context that it begins with, before
   * it names its tenant. Gives whether tenants share anything else than before.
   */
  apply(server: Server, listen: ListenerConfig | undefined): boolean {
    const { tenants, judge } = this.#options;
    this.#own.retain((id, digest) => tenants.config(id)?.digest === digest);
    // Whether they share anything at all is settled when the server is made.
    const shared = this.#shared === undefined ? undefined : (listen?.shared ?? this.#shared);
    const sharesOtherwise = JSON.stringify(shared) !== JSON.stringify(this.#shared);
    const minTlsVersion = listen?.minTlsVersion ?? this.#minTlsVersion;
    if (!sharesOtherwise && minTlsVersion === this.#minTlsVersion) return false;
    this.#minTlsVersion = minTlsVersion;
    this.#shared = shared;
    this.#sharedContext = undefined;
    judge.share(shared);
    server.setSecureContext(this.serverOptions());
    return sharesOtherwise;
  }

  close(): void {
    clearInterval(this.#idleSweep);
  }

  #contextOf(serverName: string): SecureContext | undefined {
    const { tenants, judge } = this.#options;
    const tenant = tenants.claimed(serverName);
    if (tenant !== undefined && tenant.sharesCertificate !== true) {
      return this.#own.contextFor(tenant, this.#minTlsVersion);
    }
    if (tenant === undefined && !judge.isShared(serverName)) return undefined;
    const certificate = this.#shared?.certificate;
    if (certificate === undefined) return undefined;
    this.#sharedContext ??= sharedContext(certificate, this.#minTlsVersion);
    return this.#sharedContext;
  }
}
