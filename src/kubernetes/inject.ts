/**
 * Adds the sidecar to every pod of a manifest and leaves the rest of its bytes alone. Pure: text in, text out.
 *
 * All or nothing: one pod that cannot be injected refuses the manifest, since a model server that somebody believes to be
 * behind the sidecar and is not is worse than an error.
 */
import { type Document, isMap, parseAllDocuments } from 'yaml';
import type { Result } from '../kernel/result.ts';
import { err, ok } from '../kernel/result.ts';
import { applyEdits, type Edit, pairOf, prependToList } from './manifest-edit.ts';
import { SIDECAR_NAME, type SidecarOptions, sidecarContainer, sidecarVolumes } from './sidecar.ts';
import { findPods, isRecord, type PodPlace } from './workloads.ts';

/** Annotation of the pod (template): `"false"` leaves it alone, `"true"` is the same as its absence. */
export const INJECT_ANNOTATION = 'bulkhead/inject';

export interface Injection {
  readonly text: string;
  /** What was done to each pod, in the order of the text. */
  readonly pods: readonly { readonly name: string; readonly outcome: 'injected' | 'present' | 'opted-out' }[];
  /** What the operator should know, though it is no error. */
  readonly warnings: readonly string[];
}

/** Injects into YAML (one document or several) or JSON. The error lists every problem. A second run changes nothing. */
export function inject(text: string, options: SidecarOptions): Result<Injection, readonly string[]> {
  // Kubernetes reads YAML 1.1: `yes` is true there, and merge keys count.
  const documents = parseAllDocuments(text, { version: '1.1', merge: true });
  if ('empty' in documents) return err(['the input is empty']);
  const broken = documents.flatMap((document) => document.errors.map(({ message }) => message.trimEnd()));
  if (broken.length > 0) return err(broken);

  const problems: string[] = [];
  const warnings: string[] = [];
  const pods: Injection['pods'][number][] = [];
  const edits: Edit[] = [];
  for (const document of documents) {
    const found = findIn(document);
    problems.push(...found.problems);
    warnings.push(...found.warnings);
    for (const pod of found.pods) {
      const decision = decide(pod, options);
      problems.push(...decision.problems.map((why) => `${pod.name}: ${why}`));
      pods.push({ name: pod.name, outcome: decision.outcome });
      if (decision.outcome !== 'injected' || decision.problems.length > 0) continue;
      warnings.push(...warningsOf(pod).map((what) => `${pod.name}: ${what}`));
      const added = editsFor(text, pod, options);
      if (added === undefined) problems.push(`${pod.name}: initContainers or volumes are not lists`);
      else edits.push(...added);
    }
  }
  if (problems.length > 0) return err(problems);
  return ok({ text: applyEdits(text, edits), pods, warnings });
}

function findIn(document: Document.Parsed): ReturnType<typeof findPods> {
  try {
    return findPods(document);
  } catch (cause) {
    // `toJS` throws on an alias without an anchor and on aliases that multiply without bound.
    return { pods: [], warnings: [], problems: [cause instanceof Error ? cause.message : String(cause)] };
  }
}

interface Decision {
  readonly outcome: Injection['pods'][number]['outcome'];
  readonly problems: readonly string[];
}

function decide(pod: PodPlace, options: SidecarOptions): Decision {
  const wish = annotationOf(pod.metadata);
  if (wish === false || wish === 'false') return { outcome: 'opted-out', problems: [] };
  if (wish !== undefined && wish !== true && wish !== 'true') {
    const problem = `annotation ${INJECT_ANNOTATION} is ${JSON.stringify(wish)}, not "true" or "false"`;
    return { outcome: 'opted-out', problems: [problem] };
  }
  const ours = entriesOf(pod, 'initContainers').find(({ name }) => name === SIDECAR_NAME);
  if (ours?.['restartPolicy'] === 'Always') return { outcome: 'present', problems: [] };
  return { outcome: 'injected', problems: obstaclesOf(pod, options) };
}

/** Every reason why the pod cannot have the sidecar. */
function obstaclesOf(pod: PodPlace, options: SidecarOptions): string[] {
  const obstacles: string[] = [];
  const { podSpec, spec } = pod;
  if (podSpec['hostNetwork'] === true) {
    obstacles.push(
      'it uses the host network, where every process of the node could reach the model server and the admin port',
    );
  }
  if (isRecord(podSpec['os']) && podSpec['os']['name'] === 'windows') obstacles.push('it runs on Windows');
  if (entriesOf(pod, 'containers').length === 0) obstacles.push('it has no containers');
  const containers = [...entriesOf(pod, 'containers'), ...entriesOf(pod, 'initContainers')];
  if (containers.some(({ name }) => name === SIDECAR_NAME)) {
    obstacles.push(`it has a container named ${SIDECAR_NAME} that is not the sidecar`);
  }
  for (const { name, port } of containers.flatMap(portsOf)) {
    if (port === options.port || port === options.adminPort)
      obstacles.push(`container ${name} has port ${port}, which the sidecar needs`);
  }
  const taken = new Set(entriesOf(pod, 'volumes').map(({ name }) => name));
  for (const { name } of sidecarVolumes(options)) if (taken.has(name)) obstacles.push(`it has a volume named ${name}`);
  for (const key of ['initContainers', 'volumes']) {
    const isWritten = isMap(spec.value) && pairOf(spec.value, key) !== undefined;
    if (podSpec[key] !== undefined && !isWritten)
      obstacles.push(`its ${key} come from a YAML merge key, which an addition would hide: write them out`);
  }
  return obstacles;
}

function warningsOf(pod: PodPlace): string[] {
  const warnings: string[] = [];
  for (const { name, port } of entriesOf(pod, 'containers').flatMap(portsOf)) {
    warnings.push(
      `container ${name} has port ${port}: bind it to 127.0.0.1, or a NetworkPolicy has to keep callers from going around the sidecar`,
    );
  }
  if (pod.podSpec['shareProcessNamespace'] === true) {
    warnings.push('its containers share process namespaces: one that runs as root can read the sidecar’s secrets');
  }
  return warnings;
}

function editsFor(text: string, pod: PodPlace, options: SidecarOptions): readonly Edit[] | undefined {
  const container = prependToList(text, pod.spec, 'initContainers', [sidecarContainer(options)]);
  const volumes = prependToList(text, pod.spec, 'volumes', sidecarVolumes(options));
  return container === undefined || volumes === undefined ? undefined : [container, volumes];
}

function annotationOf(metadata: unknown): unknown {
  const annotations = isRecord(metadata) ? metadata['annotations'] : undefined;
  return isRecord(annotations) ? annotations[INJECT_ANNOTATION] : undefined;
}

function entriesOf({ podSpec }: PodPlace, key: string): readonly Readonly<Record<string, unknown>>[] {
  const list = podSpec[key];
  return Array.isArray(list) ? list.filter(isRecord) : [];
}

/** The ports that a container declares, with the container's name for messages. */
function portsOf(
  container: Readonly<Record<string, unknown>>,
): readonly { readonly name: string; readonly port: number }[] {
  const name = typeof container['name'] === 'string' ? container['name'] : '(no name)';
  const ports = Array.isArray(container['ports']) ? container['ports'].filter(isRecord) : [];
  return ports.flatMap(({ containerPort }) =>
    typeof containerPort === 'number' ? [{ name, port: containerPort }] : [],
  );
}
