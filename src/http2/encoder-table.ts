/**
 * The encoder's two tables as one: static fields have their HPACK index (1 to 61), dynamic ones 61 plus their serial number.
 * Found by name and then by value, so that a lookup costs two hashes whatever the table holds.
 */
import { FIELD_OVERHEAD_BYTES, FieldTable, type HeaderField } from './field-table.ts';
import { STATIC_FIELDS, staticTable } from './static-table.ts';

export class EncoderTable {
  readonly #fields = new FieldTable(0, (field, serial) => this.#forget(field, serial));
  readonly #names = new Map<string, DynamicName>();

  get capacityBytes(): number {
    return this.#fields.capacityBytes;
  }

  get version(): number {
    return this.#fields.version;
  }

  resize(bytes: number): void {
    this.#fields.resize(bytes);
  }

  /** True while `index` means the field that it meant when it was found. */
  holds(index: number): boolean {
    return index <= STATIC_FIELDS || this.#fields.holds(index - STATIC_FIELDS);
  }

  /** What the peer calls the field now. */
  wireIndex(index: number): number {
    return index <= STATIC_FIELDS ? index : STATIC_FIELDS + 1 + this.#fields.newest - (index - STATIC_FIELDS);
  }

  /** The index of the field, or 0. */
  find(name: string, value: string): number {
    const dynamic = this.#names.get(name);
    const serial = dynamic?.serials.get(value);
    if (dynamic !== undefined && serial !== undefined) {
      dynamic.additionsWithoutUse = 0;
      return STATIC_FIELDS + serial;
    }
    return staticNames.get(name)?.values.get(value) ?? 0;
  }

  /** The index of some field with this name, or 0. */
  findName(name: string): number {
    const fixed = staticNames.get(name);
    if (fixed !== undefined) return fixed.index;
    const dynamic = this.#names.get(name);
    return dynamic === undefined || !this.#fields.holds(dynamic.newest) ? 0 : STATIC_FIELDS + dynamic.newest;
  }

  /** Whether the field is worth its place: fits, is not made anew per call, and its name's fields were used again so far. */
  shouldAdd(name: string, value: string): boolean {
    if (value.length > MAX_INDEXED_VALUE_BYTES || madeAnewPerCall.has(name)) return false;
    if (name.length + value.length + FIELD_OVERHEAD_BYTES > this.#fields.capacityBytes) return false;
    const dynamic = this.#names.get(name);
    if (dynamic === undefined || dynamic.additionsWithoutUse < MAX_ADDITIONS_WITHOUT_USE) return true;
    // A name can change its behaviour: it gets another chance now and then.
    return ++dynamic.refusals % RETRY_AFTER_REFUSALS === 0;
  }

  add(name: string, value: string): void {
    let dynamic = this.#names.get(name);
    // The entry must be there before the eviction that `add` may do, and survive it.
    if (dynamic === undefined) {
      if (this.#names.size >= MAX_NAMES) this.#dropIdleNames();
      dynamic = { serials: new Map(), newest: 0, additionsWithoutUse: 0, refusals: 0 };
      this.#names.set(name, dynamic);
    }
    if (!this.#fields.add({ name, value, traits: 0 })) return;
    dynamic.newest = this.#fields.newest;
    dynamic.serials.set(value, dynamic.newest);
    dynamic.additionsWithoutUse++;
  }

  #forget(field: HeaderField, serial: number): void {
    const dynamic = this.#names.get(field.name);
    if (dynamic !== undefined && dynamic.serials.get(field.value) === serial) dynamic.serials.delete(field.value);
  }

  /** Names are kept after their fields, for what was learnt of them, but not without end. */
  #dropIdleNames(): void {
    for (const [name, dynamic] of this.#names) if (dynamic.serials.size === 0) this.#names.delete(name);
  }
}

interface DynamicName {
  readonly serials: Map<string, number>;
  newest: number;
  /** How many of its fields were added since one was last used again. */
  additionsWithoutUse: number;
  refusals: number;
}

/** A longer value would push most of the table out. */
const MAX_INDEXED_VALUE_BYTES = 2048;
const MAX_ADDITIONS_WITHOUT_USE = 16;
const RETRY_AFTER_REFUSALS = 64;
const MAX_NAMES = 512;

/** Names whose values are not seen twice. */
const madeAnewPerCall: ReadonlySet<string> = new Set([
  'content-length',
  'grpc-timeout',
  'traceparent',
  'tracestate',
  'grpc-trace-bin',
  'x-request-id',
  'x-b3-spanid',
  'x-b3-traceid',
  'b3',
  'date',
  'age',
]);

const staticNames: ReadonlyMap<string, { readonly index: number; readonly values: ReadonlyMap<string, number> }> =
  indexStaticTable();

function indexStaticTable(): Map<string, { index: number; values: Map<string, number> }> {
  const names = new Map<string, { index: number; values: Map<string, number> }>();
  for (const [offset, [name, value]] of staticTable.entries()) {
    const index = offset + 1;
    const known = names.get(name);
    if (known === undefined) names.set(name, { index, values: new Map([[value, index]]) });
    else known.values.set(value, index);
  }
  return names;
}
