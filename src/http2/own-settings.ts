/** Our SETTINGS: sent, and in force for the peer only from its acknowledgement on (RFC 9113 §6.5.3). */
import type { ConnectionCore } from './connection-core.ts';
import { DEFAULT_WINDOW_BYTES } from './frame.ts';

export class OwnSettings {
  readonly #core: ConnectionCore;
  #unacknowledged = 0;

  constructor(core: ConnectionCore) {
    this.#core = core;
  }

  /** Sends what the options say, and opens the connection's window as wide as they say. */
  send(): void {
    const { control, options, isServer } = this.#core;
    control.settings({
      ...(isServer ? { maxConcurrentStreams: options.maxConcurrentStreams } : { enablePush: false }),
      initialWindowBytes: options.streamWindowBytes,
      maxHeaderListBytes: options.maxHeaderListBytes,
    });
    this.#unacknowledged++;
    this.#core.watch.settingsSent();
    const more = options.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more > 0) control.windowUpdate(0, more);
  }

  /** The peer acknowledged them. False when there were none. */
  acknowledged(): boolean {
    if (this.#unacknowledged === 0) return false;
    this.#unacknowledged--;
    const core = this.#core;
    core.watch.settingsAcknowledged();
    // Until now the peer may have counted on the default, if that was more.
    const shift = core.options.streamWindowBytes - core.grantedWindowBytes;
    core.grantedWindowBytes = core.options.streamWindowBytes;
    if (shift === 0) return true;
    for (const stream of core.streams.all()) stream.receiveWindow.resize(core.options.streamWindowBytes, shift);
    return true;
  }
}
