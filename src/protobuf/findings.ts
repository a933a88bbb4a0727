/**
 * What a scan has found so far: values and targets, claims, or why the message is refused. The part of the wire scanner that
 * knows what fields mean; `scanner.ts` knows the wire.
 */
import type { FieldPlan, PlannedField } from './field-plan.ts';

/** Why a message was refused. */
export interface ScanRefusal {
  /** A captured field's name, or `message`. */
  readonly field: string;
  readonly why: string;
}

/** Most different targets of one message. */
export const MAX_TARGETS = 64;

export abstract class Findings {
  protected readonly plan: FieldPlan;
  protected readonly values: string[] = [];
  /** Number of the field that has made each claim in the message; 0: none yet. */
  protected readonly claims: number[];
  /** Values of the targets that have ended, `slots` after `slots`. */
  readonly #targets: string[];
  #refusal: ScanRefusal | undefined;

  constructor(plan: FieldPlan) {
    this.plan = plan;
    // Most plans have neither, and a scanner is made for every call.
    this.claims = plan.claims === 0 ? NO_CLAIMS : [];
    this.#targets = plan.repeated ? [] : NO_TARGETS;
  }

  /** How many targets the message has: one, unless its plan is `repeated`. Final after `finish`. */
  get targets(): number {
    return this.#targets.length === 0 ? 1 : this.#targets.length / this.plan.slots;
  }

  /** The value of a slot, empty when the field is absent or the plan has no such slot. Final after `finish`. */
  value(slot: number, target = 0): string {
    if (slot >= this.plan.slots) return '';
    const values = this.#targets.length === 0 ? this.values : this.#targets;
    return values[target * this.plan.slots + slot] ?? '';
  }

  get refusal(): ScanRefusal | undefined {
    return this.#refusal;
  }

  protected forget(): void {
    this.clearValues();
    for (let claim = 0; claim < this.plan.claims; claim++) this.claims[claim] = 0;
    if (this.plan.repeated) this.#targets.length = 0;
    this.#refusal = undefined;
  }

  protected clearValues(): void {
    for (let slot = 0; slot < this.plan.slots; slot++) this.values[slot] = '';
  }

  /** A message without elements names nothing; it has one target all the same, so that somebody decides on it. */
  protected complete(): void {
    if (this.plan.repeated && this.#targets.length === 0) this.clearValues();
  }

  /** Whether this field may come: it is the first with its claim, or the same field again where the last one wins. */
  protected claim(field: PlannedField, claim: number, number: number): boolean {
    const holder = this.claims[claim] ?? 0;
    this.claims[claim] = number;
    if (holder === 0 || (holder === number && field.kind !== 'message' && field.kind !== 'group')) return true;
    this.refuse(nameOf(field), holder === number ? TWICE : TWO_MEMBERS);
    return false;
  }

  /** Puts the values down as a target, unless an earlier one has the same. */
  protected endTarget(): void {
    const { slots } = this.plan;
    const targets = this.#targets;
    for (let at = 0; at < targets.length; at += slots) {
      let slot = 0;
      while (slot < slots && targets[at + slot] === this.values[slot]) slot += 1;
      if (slot === slots) return;
    }
    if (targets.length === MAX_TARGETS * slots) {
      this.refuse('message', 'names too many models');
      return;
    }
    for (let slot = 0; slot < slots; slot++) targets.push(this.values[slot] ?? '');
  }

  protected refuse(field: string, why: string, at = 0): number {
    this.#refusal ??= { field, why };
    return at;
  }
}

export function nameOf(field: PlannedField): string {
  return 'name' in field ? field.name : 'message';
}

/** Never written to. */
const NO_CLAIMS: number[] = [];
const NO_TARGETS: string[] = [];
const TWICE = 'a message that says which model stands twice';
const TWO_MEMBERS = 'two members of a oneof';
