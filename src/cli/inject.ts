/**
 * `bulkhead inject`: puts the sidecar into Kubernetes manifests.
 */
import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { type Command, InvalidArgumentError } from 'commander';
import { INJECT_ANNOTATION, inject } from '../kubernetes/inject.ts';
import type { SidecarOptions } from '../kubernetes/sidecar.ts';
import type { CliIo } from './io.ts';
import { packageVersion } from './version.ts';

interface InjectOptions extends Omit<SidecarOptions, 'secrets' | 'spiffeCsi'> {
  readonly filename: string;
  /** True: with the socket's usual name. */
  readonly spiffeCsi?: string | true;
  readonly secret?: readonly string[];
}

/** As SPIRE's Helm charts name it. */
const DEFAULT_SOCKET = 'spire-agent.sock';
const DEFAULT_SECRET = 'bulkhead-secrets';

/** Adds `inject` to the program. */
export function registerInject(program: Command, io: CliIo): void {
  program
    .command('inject')
    .description('add the sidecar to the pods of a Kubernetes manifest, and print it')
    .requiredOption('-f, --filename <file>', 'manifest in YAML or JSON; - for standard input')
    .option('--image <image>', 'image of the sidecar', imageName, `bulkhead:${packageVersion()}`)
    .option('--config-map <name>', 'ConfigMap with bulkhead.yaml', resourceName, 'bulkhead')
    .option('--tenants-config-map <name>', 'ConfigMap with one file per tenant', resourceName, 'bulkhead-tenants')
    .option(
      '--secret <name>',
      `Secret, mounted at /etc/bulkhead/secrets/NAME; may be repeated (default: "${DEFAULT_SECRET}")`,
      (name: string, before: readonly string[] | undefined) => [...(before ?? []), resourceName(name)],
    )
    .option(
      '--spiffe-csi [socket]',
      `mount the SPIFFE Workload API by the CSI driver csi.spiffe.io; name of its socket there (default: "${DEFAULT_SOCKET}")`,
      fileName,
    )
    .option('--port <port>', "port that tenants connect to, as in the main file's listen.address", portNumber, 8443)
    .option('--admin-port <port>', "admin port, as in the main file's admin.address", portNumber, 9901)
    .option('--cpu <quantity>', 'CPU request', quantity, '250m')
    .option('--memory <quantity>', 'memory request and limit', quantity, '512Mi')
    .option('--audit-size <quantity>', 'limit of the audit volume; above audit.maxSize', quantity, '2Gi')
    .addHelpText(
      'after',
      `
Knows Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, ReplicationController, DeploymentConfig and List;
other objects pass through. The sidecar is a native one (Kubernetes 1.29 or later). Nothing else in the text changes, and
a second run changes nothing. Either every pod gets it or nothing is printed; the annotation ${INJECT_ANNOTATION}: "false"
on a pod (template) leaves it out.

The main file is /etc/bulkhead/main/bulkhead.yaml; it should say
  admin.address 127.0.0.1:9901, tenants /etc/bulkhead/tenants, audit.directory /var/lib/bulkhead/audit

Examples:
  $ bulkhead inject -f triton.yaml | kubectl apply -f -
  $ kubectl get deployment triton -o yaml | bulkhead inject -f - --secret acme-tls --secret globex-tls`,
    )
    .action((options: InjectOptions) => injectFile(options, io));
}

async function injectFile(options: InjectOptions, io: CliIo): Promise<void> {
  const { filename, secret, spiffeCsi, ...rest } = options;
  let source: string;
  try {
    source = filename === '-' ? await readText(process.stdin) : await readFile(filename, 'utf8');
  } catch (cause) {
    io.err(`cannot read ${filename}: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    io.exit(1);
    return;
  }
  const injected = inject(source, {
    ...rest,
    secrets: secret ?? [DEFAULT_SECRET],
    ...(spiffeCsi === undefined ? {} : { spiffeCsi: spiffeCsi === true ? DEFAULT_SOCKET : spiffeCsi }),
  });
  if (!injected.ok) {
    for (const problem of injected.error) io.err(`error: ${problem}\n`);
    io.err('Nothing was printed: either every pod gets the sidecar or none.\n');
    io.exit(1);
    return;
  }
  const { text, pods, warnings } = injected.value;
  io.out(text);
  for (const warning of warnings) io.err(`warning: ${warning}\n`);
  for (const { name, outcome } of pods) io.err(`${name}: ${OUTCOMES[outcome]}\n`);
  if (pods.length === 0) io.err('warning: no pod was found; the manifest is printed as it was\n');
}

const OUTCOMES = {
  injected: 'sidecar added',
  present: 'has the sidecar already; unchanged',
  'opted-out': `left out by its annotation ${INJECT_ANNOTATION}`,
} as const;

/** RFC 1123 subdomain, as names of ConfigMaps and Secrets are. */
function resourceName(text: string): string {
  if (/^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text)) return text;
  throw new InvalidArgumentError('Not a name of a Kubernetes object.');
}

function fileName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)) return text;
  throw new InvalidArgumentError('Not the name of a file.');
}

function imageName(text: string): string {
  if (/^[\w][\w./:@+-]{0,511}$/.test(text)) return text;
  throw new InvalidArgumentError('Not the name of an image.');
}

function portNumber(text: string): number {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  if (port >= 1024 && port <= 65_535) return port;
  throw new InvalidArgumentError('Not a port from 1024 to 65535 (the sidecar may not bind lower ones).');
}

function quantity(text: string): string {
  if (/^\d{1,12}(\.\d{1,3})?(m|[kMGT]|[KMGT]i)?$/.test(text)) return text;
  throw new InvalidArgumentError('Not a Kubernetes quantity, such as 250m or 512Mi.');
}
