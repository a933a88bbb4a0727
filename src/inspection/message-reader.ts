/**
 * What reads the messages of one call in one direction, and where they have names in them, rewrites them. It is some dozen objects, which
 * a call needs for a moment: so they are kept, and the next call to the same method of the same tenant has them.
 *
 * Of one call the next learns nothing: a reader forgets all that it has read when it is given back, and one whose message did not come
 * to its end is not given back at all.
 */
import type { Standing } from '../kernel/standing.ts';
import type { FieldPlan } from '../protobuf/field-plan.ts';
import type { Measures } from '../protobuf/measures.ts';
import type { NameMapping } from '../protobuf/name-edits.ts';
import { WireScanner } from '../protobuf/scanner.ts';
import type { TextCache } from '../protobuf/text-cache.ts';
import { MessageRewrite } from './message-rewrite.ts';

export interface MessageReader {
  readonly scanner: WireScanner;
  /** Where the messages have names in them: what goes on is what it puts out, and not what came. */
  readonly rewrite: MessageRewrite | undefined;
}

/** How to read one method's messages in one direction. */
export interface ReaderTerms {
  readonly plan: FieldPlan;
  readonly texts: TextCache;
  /** Absent: they have no names. */
  readonly mapping?: NameMapping | undefined;
  /** So much of a message is held back while names may come; absent: as much as is usual. */
  readonly windowBytes?: number;
}

/** Those of one tenant's method, in one direction. */
export class MessageReaders {
  readonly #terms: ReaderTerms;
  readonly #idle: MessageReader[] = [];

  constructor(terms: ReaderTerms) {
    this.#terms = terms;
  }

  /** How many wait for their next call. */
  get idle(): number {
    return this.#idle.length;
  }

  /** A reader for one call, which alone has it until it is given back. `standing` pays for what it holds, `measures` hears what is measured. */
  take(standing?: Standing, measures?: Measures): MessageReader {
    const reader = this.#idle.pop() ?? this.#make();
    if (reader.rewrite !== undefined) reader.rewrite.standing = standing;
    reader.scanner.measures = measures;
    return reader;
  }

  /** Its call is between two messages, has taken what was put out, and does not use it any more. */
  give(reader: MessageReader): void {
    reader.scanner.clear();
    reader.rewrite?.close();
    if (this.#idle.length < MAX_IDLE) this.#idle.push(reader);
  }

  #make(): MessageReader {
    const { plan, texts, mapping, windowBytes } = this.#terms;
    const rewrite = mapping === undefined ? undefined : new MessageRewrite(mapping, windowBytes);
    return { scanner: new WireScanner(plan, texts, rewrite?.edits), rewrite };
  }
}

/** Calls use a reader for as long as it takes them to read what has come: more than a few are never out. */
const MAX_IDLE = 4;
