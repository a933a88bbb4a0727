/**
 * Where in a message a scan is: the message or group that it is in, and those around it.
 */
import type { PlanNode } from './field-plan.ts';
import { Findings } from './findings.ts';

/** Deepest nesting of groups and messages: below every parser's own limit (100 and more). */
export const MAX_NESTING = 64;

export abstract class Nesting extends Findings {
  /** Message position where the innermost message ends. */
  protected limit = 0;
  /** The innermost message's fields; undefined inside a group. */
  protected node: PlanNode | undefined;
  /** Field number of the innermost group; 0 inside a message. */
  protected group = 0;
  /** How many messages and groups are around the innermost one. What they are, outermost first: */
  protected depth = 0;
  readonly #outerNodes: (PlanNode | undefined)[] = [];
  readonly #outerLimits: number[] = [];
  readonly #outerGroups: number[] = [];

  protected outermost(limit: number): void {
    this.limit = limit;
    this.node = this.plan.root;
    this.group = 0;
    this.depth = 0;
  }

  protected enter(node: PlanNode | undefined, limit: number, group: number): void {
    if (this.depth === MAX_NESTING) {
      this.refuse('message', 'nested too deeply');
      return;
    }
    this.#outerNodes[this.depth] = this.node;
    this.#outerLimits[this.depth] = this.limit;
    this.#outerGroups[this.depth] = this.group;
    this.depth += 1;
    this.node = node;
    this.limit = limit;
    this.group = group;
  }

  protected leave(): void {
    this.depth -= 1;
    this.node = this.#outerNodes[this.depth];
    this.limit = this.#outerLimits[this.depth] ?? 0;
    this.group = this.#outerGroups[this.depth] ?? 0;
  }
}
