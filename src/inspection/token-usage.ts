/**
 * How many tokens a call has taken in and put out, by what its messages and its answer's headers and trailers say.
 */
import { type FieldPlan, type MeasuredField, planFields } from '../protobuf/field-plan.ts';
import type { Measures } from '../protobuf/measures.ts';
import {
  ANSWER_SLOT,
  ANSWER_TOKENS_SLOT,
  ANSWERS_SLOT,
  asked,
  counted,
  listed,
  MAX_TOKENS_SLOT,
  NAMED_INPUT_SLOT,
  NAMED_OUTPUT_SLOT,
  PIECE_SLOT,
  PROMPT_SLOT,
  PROMPT_TOKENS_SLOT,
  SO_FAR_SLOT,
} from './measured-fields.ts';
import { message, PAYLOAD, scoped } from './shape.ts';

/** Where a method's messages tell of tokens. What is in them besides is not looked at. */
export interface TokenFields {
  readonly request: FieldPlan | undefined;
  /** undefined: its messages do not say. */
  readonly response: FieldPlan | undefined;
  /** Whether it puts tokens out. */
  readonly output: boolean;
}

/** vLLM's TokenizedInput. */
const TOKENIZED = message({ 1: PAYLOAD, 2: listed(PROMPT_SLOT, 'input_ids') });

/** vLLM's GenerateRequest: what the engine knows it by while it is in progress, its prompt, and how much it asks for. */
export const GENERATE_REQUEST = planFields({
  1: scoped('request_id'),
  2: TOKENIZED,
  4: message({
    8: asked(MAX_TOKENS_SLOT, 'sampling_params.max_tokens'),
    15: asked(ANSWERS_SLOT, 'sampling_params.n'),
  }),
});

/** vLLM's EmbedRequest. */
export const EMBED_REQUEST = planFields({ 1: scoped('request_id'), 2: TOKENIZED });

/** vLLM's Generate: token ids piece by piece, and at the end how many there were. Some versions say so with each piece. */
export const GENERATE_TOKENS: TokenFields = {
  request: GENERATE_REQUEST,
  response: planFields({
    1: message({
      1: listed(PIECE_SLOT, 'chunk.token_ids'),
      2: counted(PROMPT_TOKENS_SLOT, 'chunk.prompt_tokens'),
      3: counted(SO_FAR_SLOT, 'chunk.completion_tokens'),
    }),
    2: message({
      1: listed(ANSWER_TOKENS_SLOT, 'complete.output_ids'),
      3: counted(PROMPT_TOKENS_SLOT, 'complete.prompt_tokens'),
      4: counted(ANSWER_SLOT, 'complete.completion_tokens'),
    }),
  }),
  output: true,
};

/** vLLM's Embed. */
export const EMBED_TOKENS: TokenFields = {
  request: EMBED_REQUEST,
  response: planFields({ 2: counted(PROMPT_TOKENS_SLOT, 'prompt_tokens') }),
  output: false,
};

const VALUE: MeasuredField = { kind: 'measured', name: 'parameters', into: 0, how: 'entry', repeated: false };
/** A map's entry with an InferParameter: int64_param, uint64_param. */
const PARAMETERS = {
  ...message({ 1: { kind: 'key' }, 2: message({ 2: VALUE, 5: VALUE }) }),
  measure: { kind: 'entry' },
} as const;

/** ModelInferResponse, and the same in a ModelStreamInferResponse. */
export const INFER_TOKENS: TokenFields = {
  request: undefined,
  response: planFields({ 4: PARAMETERS }),
  output: true,
};
export const STREAM_INFER_TOKENS: TokenFields = {
  request: undefined,
  response: planFields({ 2: message({ 4: PARAMETERS }) }),
  output: true,
};

/** A method whose messages do not say: its headers or trailers may. */
export const UNREAD_TOKENS: TokenFields = { request: undefined, response: undefined, output: true };

/** Whether what each message's parameters say is of that message, or of all so far. */
export type Counting = 'increments' | 'totals';

/** What was told of one call's tokens so far; undefined: nothing. */
export class TokenUsage {
  readonly #counting: Counting;
  #input: number | undefined;
  #output: number | undefined;
  /** Of pieces, of complete answers, and as parameters add up. */
  #pieces = 0;
  #answers = 0;
  #namedInput = 0;
  #namedOutput = 0;

  constructor(counting: Counting) {
    this.#counting = counting;
  }

  get input(): number | undefined {
    return this.#input;
  }

  get output(): number | undefined {
    return this.#output;
  }

  /** Takes what a message of the response says. */
  message(measures: Measures): void {
    this.#pieces += measures.value(PIECE_SLOT);
    this.#answers += Math.max(measures.value(ANSWER_SLOT), measures.value(ANSWER_TOKENS_SLOT));
    this.#namedInput = this.#sum(this.#namedInput, measures.value(NAMED_INPUT_SLOT));
    this.#namedOutput = this.#sum(this.#namedOutput, measures.value(NAMED_OUTPUT_SLOT));
    this.tellInput(Math.max(measures.value(PROMPT_TOKENS_SLOT), this.#namedInput));
    this.tellOutput(Math.max(this.#pieces, this.#answers, measures.value(SO_FAR_SLOT), this.#namedOutput));
  }

  /** So many have been told in all: never fewer than before. */
  tellInput(tokens: number): void {
    if (tokens > 0) this.#input = Math.max(this.#input ?? 0, tokens);
  }

  tellOutput(tokens: number): void {
    if (tokens > 0) this.#output = Math.max(this.#output ?? 0, tokens);
  }

  #sum(before: number, value: number): number {
    return this.#counting === 'totals' ? Math.max(before, value) : before + value;
  }
}
