import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { INFERENCE_METHODS, INFERENCE_SERVICE } from '../../../src/inspection/inference-methods.ts';
import { MAX_OPAQUE_ENTRIES, MAX_OPAQUE_METHOD_LENGTH, MethodTable } from '../../../src/inspection/method-table.ts';
import { MODEL_SLOT, VERSION_SLOT } from '../../../src/inspection/shape.ts';
import type { PlanNode } from '../../../src/protobuf/field-plan.ts';
import { loadRegistry } from '../../fakes/proto-registry.ts';

const service = loadRegistry('inference/grpc_inference_service.proto').getService(INFERENCE_SERVICE);
if (service === undefined) throw new Error('the proto has no service');
const methods = new Map(service.methods.map((method) => [method.name, method]));

function requestOf(method: string): DescMessage {
  const found = methods.get(method);
  if (found === undefined) throw new Error(`no method ${method}`);
  return found.input;
}

describe('the method table', () => {
  it('has a row for every method of the proto, and no other', () => {
    expect([...INFERENCE_METHODS.keys()].sort()).toEqual([...methods.keys()].sort());
    expect(INFERENCE_METHODS.size).toBe(20);
  });

  it('knows which requests are streams', () => {
    for (const [name, row] of INFERENCE_METHODS) {
      const kind = methods.get(name)?.methodKind;
      const stream = kind === 'client_streaming' || kind === 'bidi_streaming';
      expect({ name, stream: row.requestStreaming }).toEqual({ name, stream });
    }
  });

  it('reads a model wherever the request names one, by the number that the proto gives it', () => {
    for (const [name, row] of INFERENCE_METHODS) {
      const { fields } = requestOf(name);
      const ofModel = /^Model|^RepositoryModel/.test(name);
      const model = fields.find((field) => field.name === 'model_name' || (ofModel && field.name === 'name'));
      const version = fields.find((field) => field.name === 'model_version' || (ofModel && field.name === 'version'));
      const captured: Record<number, string> = {};
      for (const [number, planned] of (row.plan?.root.fields ?? []).entries())
        if (planned.kind === 'captured') captured[number] = `${planned.slot} ${planned.name}`;
      const expected: Record<number, string> = {};
      if (model !== undefined) expected[model.number] = `${MODEL_SLOT} ${model.name}`;
      if (version !== undefined) expected[version.number] = `${VERSION_SLOT} ${version.name}`;
      expect({ name, captured }).toEqual({ name, captured: expected });
    }
  });

  it('plans every field of a request that it reads with the wire type that the proto gives it, all the way down', () => {
    for (const [name, row] of INFERENCE_METHODS)
      if (row.plan !== undefined)
        expect({ name, plan: describePlan(row.plan.root) }).toEqual({ name, plan: describeType(requestOf(name)) });
  });

  it('says of every method that changes something beyond one model that it is sensitive', () => {
    const sensitive = [...INFERENCE_METHODS].filter(([, row]) => row.sensitive).map(([name]) => name);
    expect(sensitive.sort()).toEqual(
      [
        'CudaSharedMemoryRegister',
        'CudaSharedMemoryStatus',
        'CudaSharedMemoryUnregister',
        'LogSettings',
        'RepositoryIndex',
        'RepositoryModelLoad',
        'RepositoryModelUnload',
        'SystemSharedMemoryRegister',
        'SystemSharedMemoryStatus',
        'SystemSharedMemoryUnregister',
        'TraceSetting',
      ].sort(),
    );
  });
});

describe('a path', () => {
  const infer = `/${INFERENCE_SERVICE}/ModelInfer`;

  it('finds the same entry each time', () => {
    const table = new MethodTable([]);
    const entry = table.find(infer);
    expect(entry).toMatchObject({
      path: infer,
      service: INFERENCE_SERVICE,
      method: 'ModelInfer',
      fullName: `${INFERENCE_SERVICE}/ModelInfer`,
      readsModel: true,
      requestStreaming: false,
      sensitive: false,
    });
    expect(table.find(infer)).toBe(entry);
    expect(new MethodTable([]).find(infer)).not.toBe(entry);
  });

  it.each([
    `/${INFERENCE_SERVICE}/modelInfer`,
    `/${INFERENCE_SERVICE}/ModelInfer2`,
    `/${INFERENCE_SERVICE}/ModelInfer/`,
    `/${INFERENCE_SERVICE}/`,
    `//${INFERENCE_SERVICE}/ModelInfer`,
    `/inference.GRPCInferenceservice/ModelInfer`,
    '/constructor/toString',
    '/test.Opaque/A%41',
    '',
  ])('%j is unknown', (path) => {
    expect(new MethodTable(['test.Opaque']).find(path)).toBeUndefined();
  });

  it('of a listed service finds an entry that reads nothing', () => {
    const table = new MethodTable(['test.Opaque']);
    const entry = table.find('/test.Opaque/Anything');
    expect(entry).toMatchObject({ readsModel: false, plan: undefined, requestStreaming: true });
    expect(table.find('/test.Opaque/Anything')).toBe(entry);
    expect(new MethodTable([]).find('/test.Opaque/Anything')).toBeUndefined();
  });

  it('of the inference service is read even where somebody lists it as opaque', () => {
    const table = new MethodTable([INFERENCE_SERVICE]);
    expect(table.find(infer)?.readsModel).toBe(true);
    expect(table.find(`/${INFERENCE_SERVICE}/Invented`)).toBeUndefined();
  });

  it('is remembered for as many opaque methods as the bound, and still served above', () => {
    const table = new MethodTable(['test.Opaque']);
    const path = (i: number) => `/test.Opaque/M${i}`;
    for (let i = 0; i < MAX_OPAQUE_ENTRIES; i++) table.find(path(i));
    expect(table.find(path(MAX_OPAQUE_ENTRIES - 1))).toBe(table.find(path(MAX_OPAQUE_ENTRIES - 1)));
    expect(table.find(path(MAX_OPAQUE_ENTRIES))).toBeDefined();
    expect(table.find(path(MAX_OPAQUE_ENTRIES))).not.toBe(table.find(path(MAX_OPAQUE_ENTRIES)));
    expect(table.find(infer)).toBe(table.find(infer));
  });

  it('of an opaque method may be as long as the bound', () => {
    const table = new MethodTable(['test.Opaque']);
    expect(table.find(`/test.Opaque/${'m'.repeat(MAX_OPAQUE_METHOD_LENGTH)}`)).toBeDefined();
    expect(table.find(`/test.Opaque/${'m'.repeat(MAX_OPAQUE_METHOD_LENGTH + 1)}`)).toBeUndefined();
  });
});

/** A plan and a type in the same words. */
type Described = { readonly [field: number]: string | Described };

function describePlan(node: PlanNode): Described {
  const described: Record<number, string | Described> = {};
  for (const [number, field] of node.fields.entries()) {
    if (field.kind === 'message') described[number] = describePlan(field.node);
    else if (field.kind === 'number')
      described[number] = `wire type ${field.wireType}${field.repeated ? ', list' : ''}`;
    else if (field.kind === 'scoped-integer') described[number] = 'wire type 0';
    else if (field.kind === 'measured') described[number] = `wire type 0${field.repeated ? ', list' : ''}`;
    else if (field.kind !== 'unknown') described[number] = 'length-delimited';
  }
  return described;
}

function describeType(type: DescMessage): Described {
  const described: Record<number, string | Described> = {};
  for (const field of type.fields) described[field.number] = describeField(field);
  return described;
}

function describeField(field: DescField): string | Described {
  if (field.fieldKind === 'map') {
    if (field.mapKind !== 'message' || field.mapKey !== ScalarType.STRING) throw new Error('another kind of map');
    return { 1: 'length-delimited', 2: describeType(field.message) };
  }
  if (field.message !== undefined) return describeType(field.message);
  if (field.scalar === undefined) return `wire type 0${field.fieldKind === 'list' ? ', list' : ''}`;
  const fixed: Partial<Record<ScalarType, number>> = {
    [ScalarType.DOUBLE]: 1,
    [ScalarType.FIXED64]: 1,
    [ScalarType.SFIXED64]: 1,
    [ScalarType.FLOAT]: 5,
    [ScalarType.FIXED32]: 5,
    [ScalarType.SFIXED32]: 5,
  };
  if (field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES) return 'length-delimited';
  return `wire type ${fixed[field.scalar] ?? 0}${field.fieldKind === 'list' ? ', list' : ''}`;
}
