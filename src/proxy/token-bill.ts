/**
 * What one call pays in tokens: an estimate is reserved with each message, what its answer tells is taken from that and, when it is used up,
 * from the limits; and what nothing was ever told of costs what was estimated.
 */
import { Buffer } from 'node:buffer';
import { DEFAULT_TOKENS, type TokenConfig } from '../config/quota-config.ts';
import type { HeaderBlock } from '../http2/contract.ts';
import {
  ANSWERS_SLOT,
  MAX_TOKENS_SLOT,
  MEASURE_SLOTS,
  NAMED_INPUT_SLOT,
  NAMED_OUTPUT_SLOT,
  PROMPT_SLOT,
} from '../inspection/measured-fields.ts';
import type { MethodEntry } from '../inspection/method-table.ts';
import { type TokenFields, TokenUsage } from '../inspection/token-usage.ts';
import type { Denial } from '../kernel/denial.ts';
import { Measures } from '../protobuf/measures.ts';
import type { Demand } from '../quota/holding.ts';
import type { MeteredUnit } from '../quota/limit.ts';
import type { ResponseReading } from './response-reader.ts';

export interface TokenBillOwner {
  pay(demands: readonly Demand[]): Denial | undefined;
  /** Writes down what was used and cannot be undone. */
  overdraw(demands: readonly Demand[]): void;
}

type TokenUnit = 'inputTokens' | 'outputTokens';

export class TokenBill {
  readonly #config: TokenConfig;
  readonly #fields: TokenFields;
  readonly #owner: TokenBillOwner;
  readonly #units: readonly TokenUnit[];
  readonly #usage: TokenUsage;
  /** Reserved for the messages that have gone on, and taken of it or beyond. */
  readonly #reserved = { inputTokens: 0, outputTokens: 0 };
  readonly #used = { inputTokens: 0, outputTokens: 0 };

  /** undefined: no limit counts tokens, or the method has none. */
  static of(
    units: ReadonlySet<MeteredUnit>,
    method: MethodEntry,
    config: TokenConfig | undefined,
    owner: TokenBillOwner,
  ): TokenBill | undefined {
    const { tokens } = method;
    if (tokens === undefined) return undefined;
    const counted = (['inputTokens', 'outputTokens'] as const).filter(
      (unit) => units.has(unit) && (tokens.output || unit === 'inputTokens'),
    );
    return counted.length === 0 ? undefined : new TokenBill(counted, tokens, config ?? DEFAULT_TOKENS, owner);
  }

  private constructor(units: readonly TokenUnit[], fields: TokenFields, config: TokenConfig, owner: TokenBillOwner) {
    this.#units = units;
    this.#fields = fields;
    this.#config = config;
    this.#owner = owner;
    this.#usage = new TokenUsage(config.counting);
  }

  /** Whether its requests are read for it. */
  get readsRequest(): boolean {
    return this.#fields.request !== undefined;
  }

  /** What has been used. */
  get used(): { readonly inputTokens: number; readonly outputTokens: number } {
    return this.#used;
  }

  /** How the messages of the response are read for it; undefined: not at all. */
  reading(): ResponseReading | undefined {
    const { response } = this.#fields;
    const keys = this.#parameters();
    // What the protocol itself says is read; parameters are where they were given names.
    if (response === undefined || (this.#fields.request === undefined && keys === undefined)) return undefined;
    const measures = new Measures(MEASURE_SLOTS, keys);
    return {
      plan: response,
      measures,
      read: () => {
        this.#usage.message(measures);
        return this.#payTold();
      },
    };
  }

  /** What a request's message reserves. */
  demands(measures: Measures | undefined): readonly Demand[] {
    const reserve = {
      inputTokens: measures?.value(PROMPT_SLOT) || this.#config.estimatedInput,
      outputTokens:
        (measures?.value(MAX_TOKENS_SLOT) || this.#config.estimatedOutput) *
        Math.max(1, measures?.value(ANSWERS_SLOT) ?? 1),
    };
    return this.#units.map((unit) => ({ unit, use: 0, reserve: Math.min(reserve[unit], Number.MAX_SAFE_INTEGER) }));
  }

  /** A message has paid these. */
  began(demands: readonly Demand[]): void {
    for (const unit of this.#units) this.#reserved[unit] += demands.find((one) => one.unit === unit)?.reserve ?? 0;
  }

  /** Headers or trailers of the response. */
  metadata(block: HeaderBlock): void {
    const { input, output } = this.#config;
    const [inputName, outputName] = [nameIn(input), nameIn(output)];
    if (inputName === undefined && outputName === undefined) return;
    for (let at = 0; at < block.length; at += 2) {
      const tokens = wholeNumber(block[at + 1] ?? '');
      if (block[at] === inputName) this.#usage.tellInput(tokens);
      if (block[at] === outputName) this.#usage.tellOutput(tokens);
    }
  }

  /** The call is over. `failed`: by its model server, so that what nothing was told of was not made. */
  settle(failed: boolean): void {
    const demands: Demand[] = [];
    for (const unit of this.#units) {
      const told = this.#told(unit) ?? (failed ? 0 : this.#reserved[unit]);
      const use = told - this.#used[unit];
      if (use <= 0) continue;
      this.#used[unit] = told;
      demands.push({ unit, use, reserve: 0 });
    }
    if (demands.length > 0) this.#owner.overdraw(demands);
  }

  /** What was told since the last time. What does not fit was made all the same, and counts. */
  #payTold(): Denial | undefined {
    const demands: Demand[] = [];
    for (const unit of this.#units) {
      const told = this.#told(unit) ?? 0;
      const use = told - this.#used[unit];
      if (use <= 0) continue;
      this.#used[unit] = told;
      demands.push({ unit, use, reserve: 0 });
    }
    if (demands.length === 0) return undefined;
    const denial = this.#owner.pay(demands);
    if (denial !== undefined) this.#owner.overdraw(demands);
    return denial;
  }

  #told(unit: TokenUnit): number | undefined {
    return unit === 'inputTokens' ? this.#usage.input : this.#usage.output;
  }

  #parameters(): ReadonlyMap<string, number> | undefined {
    const { input, output } = this.#config;
    const keys = new Map<string, number>();
    if (input !== undefined && 'parameter' in input) keys.set(latin1(input.parameter), NAMED_INPUT_SLOT);
    if (output !== undefined && 'parameter' in output) keys.set(latin1(output.parameter), NAMED_OUTPUT_SLOT);
    return keys.size === 0 ? undefined : keys;
  }
}

/** As `Measures` has the bytes of a key. */
function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function nameIn(source: TokenConfig['input']): string | undefined {
  return source !== undefined && 'metadata' in source ? source.metadata : undefined;
}

/** Nothing, for what is no number that can be counted. */
function wholeNumber(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
