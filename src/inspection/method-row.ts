/**
 * What Bulkhead must know of one method of a service that it reads.
 */
import type { FieldPlan } from '../protobuf/field-plan.ts';
import type { NamedFields } from './method-names.ts';
import type { TokenFields } from './token-usage.ts';

export interface MethodRow {
  /** Where its requests name the model; undefined when they name none. */
  readonly plan: FieldPlan | undefined;
  /** The requests name no model because the server has one: the method is about that. */
  readonly servedModel: boolean;
  /** More than one request message may come. */
  readonly requestStreaming: boolean;
  /** What it does or tells reaches beyond the models that the caller may use: only a role that names it has it. */
  readonly sensitive: boolean;
  /** What it may change on the server; empty when nothing, by its definition. */
  readonly changes: string;
  /** What of its messages stands in a namespace. */
  readonly names?: NamedFields;
  /** Where its messages tell of tokens; absent: it takes and gives none. */
  readonly tokens?: TokenFields;
}

/** Rows by method name. Total over the service: a method without a row is not let through. */
export type ServiceRows = ReadonlyMap<string, MethodRow>;

/** A row of a method that reads a model, or none at all. */
export function row(
  plan: FieldPlan | undefined,
  sensitive: boolean,
  changes: string,
  requestStreaming = false,
): MethodRow {
  return { plan, servedModel: false, requestStreaming, sensitive, changes };
}

/** A row of a method that is about the one model of its server. */
export function servedModelRow(changes: string): MethodRow {
  return { plan: undefined, servedModel: true, requestStreaming: false, sensitive: false, changes };
}
