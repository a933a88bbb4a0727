/**
 * Whether a stream moves: what the last look at it saw, and what must be different at the next. Only what the peer must do is
 * judged; a stream that waits for us, or for nothing, does not stall.
 */
import type { Http2Stream } from './stream.ts';

export class StreamProgress {
  /** Bytes that had been taken when something was queued; -1: nothing was, or has since left. */
  #takenBytes = -1;
  /** The message that the peer had begun; -1: none. */
  #message = -1;
  #receivedBytes = 0;

  /** All that was queued has left. */
  read(): void {
    this.#takenBytes = -1;
  }

  /** Looks at the stream. Says what stands still since the last look, if something does. */
  look(stream: Http2Stream, minBytes: number): string | undefined {
    return this.#lookAtReader(stream, minBytes) ?? this.#lookAtWriter(stream, minBytes);
  }

  #lookAtReader(stream: Http2Stream, minBytes: number): string | undefined {
    if (stream.queuedBytes === 0) return undefined;
    const moved = this.#takenBytes < 0 || stream.takenBytes - this.#takenBytes >= minBytes;
    this.#takenBytes = stream.takenBytes;
    return moved ? undefined : 'the peer does not read';
  }

  #lookAtWriter(stream: Http2Stream, minBytes: number): string | undefined {
    // With bytes owed it may be waiting for our window.
    const waitsForPeer = !stream.remoteEnded && !stream.refusesRest && stream.owedBytes === 0;
    const message = (waitsForPeer ? stream.owner?.unfinishedMessage?.() : undefined) ?? -1;
    const moved = message < 0 || message !== this.#message || stream.receivedBytes - this.#receivedBytes >= minBytes;
    this.#message = message;
    this.#receivedBytes = stream.receivedBytes;
    return moved ? undefined : 'the peer does not go on with its message';
  }
}
