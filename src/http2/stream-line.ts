/** A line of streams that wait for the same thing, first come first served. A stream is in at most one line. */
import type { Http2Stream, Waiting } from './stream.ts';

export class StreamLine {
  readonly #name: Waiting;
  #first: Http2Stream | undefined;
  #last: Http2Stream | undefined;

  constructor(name: Waiting) {
    this.#name = name;
  }

  get isEmpty(): boolean {
    return this.#first === undefined;
  }

  push(stream: Http2Stream): void {
    stream.waiting = this.#name;
    stream.next = undefined;
    if (this.#last === undefined) this.#first = stream;
    else this.#last.next = stream;
    this.#last = stream;
  }

  shift(): Http2Stream | undefined {
    const stream = this.#first;
    if (stream === undefined) return undefined;
    this.#first = stream.next;
    if (this.#first === undefined) this.#last = undefined;
    stream.next = undefined;
    stream.waiting = 'nowhere';
    return stream;
  }
}
