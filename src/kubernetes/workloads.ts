/**
 * Finds the pods in a manifest: where each kind of workload keeps its pod template, and what lies on the way.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, type Pair, type ParsedNode, type YAMLMap } from 'yaml';
import { pairOf } from './manifest-edit.ts';

/** One pod or pod template of a manifest. */
export interface PodPlace {
  /** `Deployment hello`, for messages. */
  readonly name: string;
  /** The pair `spec: …` of the pod or template. */
  readonly spec: Pair<ParsedNode, ParsedNode | null>;
  /** The same as data, with merge keys and aliases resolved. */
  readonly metadata: unknown;
  readonly podSpec: Readonly<Record<string, unknown>>;
}

/** What was found in one document. */
export interface Found {
  readonly pods: readonly PodPlace[];
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Path from a workload to what has `metadata` and `spec` of the pod. */
const TEMPLATES: ReadonlyMap<string, readonly string[]> = new Map([
  ['Pod', []],
  ['Deployment', ['spec', 'template']],
  ['StatefulSet', ['spec', 'template']],
  ['DaemonSet', ['spec', 'template']],
  ['ReplicaSet', ['spec', 'template']],
  ['ReplicationController', ['spec', 'template']],
  ['DeploymentConfig', ['spec', 'template']],
  ['Job', ['spec', 'template']],
  ['CronJob', ['spec', 'jobTemplate', 'spec', 'template']],
]);

/** Finds the pods of one document; an empty document has none. */
export function findPods(document: Document.Parsed): Found {
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) return NOTHING;
  return findIn(contents, document, 'the document');
}

const NOTHING: Found = { pods: [], problems: [], warnings: [] };

function findIn(node: unknown, document: Document, where: string): Found {
  if (!isMap(node)) return problem(`${where} is not a Kubernetes object`);
  const data = asRecord(node.toJS(document));
  const { kind, metadata } = data;
  if (typeof kind !== 'string' || typeof data['apiVersion'] !== 'string') {
    return problem(`${where} has no apiVersion and kind, so it is not a Kubernetes object`);
  }
  if (kind === 'List') return findInList(node, document);
  const name = `${kind} ${nameOf(metadata)}`;
  const path = TEMPLATES.get(kind);
  if (path === undefined)
    return isRecord(podSpecOf(data))
      ? warning(`${name} is left as it is: its kind is not known, but it has a pod template`)
      : NOTHING;
  return findTemplate({ node, document, name, path });
}

function findInList(list: YAMLMap, document: Document): Found {
  const items = pairOf(list, 'items')?.value;
  if (items === undefined || items === null) return NOTHING;
  if (!isSeq(items)) return problem('the List has items that are not a list');
  const found = items.items.map((item, index) =>
    isAlias(item)
      ? problem(`item ${index} of the List is a YAML alias: write it out`)
      : findIn(item, document, `item ${index} of the List`),
  );
  return {
    pods: found.flatMap(({ pods }) => pods),
    problems: found.flatMap(({ problems }) => problems),
    warnings: found.flatMap(({ warnings }) => warnings),
  };
}

interface Workload {
  readonly node: YAMLMap;
  readonly document: Document;
  readonly name: string;
  readonly path: readonly string[];
}

function findTemplate({ node, document, name, path }: Workload): Found {
  let holder = node;
  for (const [depth, key] of path.entries()) {
    const value = pairOf(holder, key)?.value;
    const written = path.slice(0, depth + 1).join('.');
    if (isAlias(value)) return problem(`${name}: ${written} is a YAML alias: write it out`);
    if (!isMap(value)) return problem(`${name}: ${written} is not there`);
    holder = value;
  }
  const spec = pairOf(holder, 'spec');
  const written = [...path, 'spec'].join('.');
  if (isAlias(spec?.value)) return problem(`${name}: ${written} is a YAML alias: write it out`);
  if (spec === undefined || !isMap(spec.value)) return problem(`${name}: ${written} is not there`);
  const data = asRecord(holder.toJS(document));
  return { ...NOTHING, pods: [{ name, spec, metadata: data['metadata'], podSpec: asRecord(data['spec']) }] };
}

/** Whether something is an object and not a list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return isRecord(value) ? value : {};
}

function podSpecOf(workload: Readonly<Record<string, unknown>>): unknown {
  const spec = asRecord(asRecord(asRecord(workload['spec'])['template'])['spec']);
  return Array.isArray(spec['containers']) ? spec : undefined;
}

function nameOf(metadata: unknown): string {
  const { name, generateName } = asRecord(metadata);
  return typeof name === 'string' ? name : typeof generateName === 'string' ? `${generateName}*` : '(no name)';
}

function problem(text: string): Found {
  return { ...NOTHING, problems: [text] };
}

function warning(text: string): Found {
  return { ...NOTHING, warnings: [text] };
}
