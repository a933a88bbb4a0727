/**
 * What injection adds to a pod: one native sidecar (an init container that keeps running, Kubernetes 1.29 or later) and the
 * volumes that it reads and writes.
 */

/** What the injected sidecar is made of. Names are checked where they are parsed. */
export interface SidecarOptions {
  readonly image: string;
  /** ConfigMap whose key `bulkhead.yaml` is the main file. */
  readonly configMap: string;
  /** ConfigMap with one key per tenant's file. */
  readonly tenantsConfigMap: string;
  /** Secrets with certificates and keys, each mounted at `/etc/bulkhead/secrets/NAME`. */
  readonly secrets: readonly string[];
  /** Where tenants connect to: the port of `listen.address`. */
  readonly port: number;
  /** The port of `admin.address`, on loopback. */
  readonly adminPort: number;
  /** CPU request; there is no CPU limit, because being throttled in the middle of a call helps nobody. */
  readonly cpu: string;
  /** Memory request and limit. */
  readonly memory: string;
  /** Name of the SPIFFE Workload API's socket in the volume of the SPIFFE CSI driver; absent: it is not mounted. */
  readonly spiffeCsi?: string;
  /** Limit of the volume that holds the audit log: above `audit.maxSize`, or the kubelet evicts the pod. */
  readonly auditSize: string;
}

/** The name of the container, by which a second injection recognises the first. */
export const SIDECAR_NAME = 'bulkhead';

/** The user and group of the image; nobody else's on the node. */
const SIDECAR_ID = 65_532;

/** Where the SPIFFE CSI driver's volume is mounted. */
const SPIFFE = '/run/spiffe';

const NODE = '/usr/local/bin/node';
const HOME = '/opt/bulkhead';

/** The sidecar's container, as Kubernetes takes it. */
export function sidecarContainer(options: SidecarOptions): object {
  return {
    name: SIDECAR_NAME,
    image: options.image,
    imagePullPolicy: 'IfNotPresent',
    restartPolicy: 'Always',
    args: ['run', '--config', '/etc/bulkhead/main/bulkhead.yaml'],
    ...(options.spiffeCsi === undefined
      ? {}
      : { env: [{ name: 'SPIFFE_ENDPOINT_SOCKET', value: `unix://${SPIFFE}/${options.spiffeCsi}` }] }),
    ports: [{ name: 'bulkhead', containerPort: options.port, protocol: 'TCP' }],
    startupProbe: { exec: probe('readiness', options), periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 60 },
    readinessProbe: { exec: probe('readiness', options), periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 2 },
    livenessProbe: { exec: probe('liveness', options), periodSeconds: 20, timeoutSeconds: 5, failureThreshold: 3 },
    resources: {
      requests: { cpu: options.cpu, memory: options.memory },
      limits: { memory: options.memory },
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: SIDECAR_ID,
      runAsNonRoot: true,
      runAsUser: SIDECAR_ID,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: 'bulkhead-config', mountPath: '/etc/bulkhead/main', readOnly: true },
      { name: 'bulkhead-tenants', mountPath: '/etc/bulkhead/tenants', readOnly: true },
      ...options.secrets.map((name, index) => ({
        name: secretVolume(index),
        mountPath: `/etc/bulkhead/secrets/${name}`,
        readOnly: true,
      })),
      ...(options.spiffeCsi === undefined ? [] : [{ name: 'bulkhead-spiffe', mountPath: SPIFFE, readOnly: true }]),
      { name: 'bulkhead-audit', mountPath: '/var/lib/bulkhead/audit' },
    ],
  };
}

/** The volumes that the container mounts. */
export function sidecarVolumes(options: SidecarOptions): readonly NamedVolume[] {
  return [
    { name: 'bulkhead-config', ...configMap(options.configMap) },
    { name: 'bulkhead-tenants', ...configMap(options.tenantsConfigMap) },
    ...options.secrets.map((secretName, index) => ({
      name: secretVolume(index),
      secret: { secretName, defaultMode: READABLE },
    })),
    ...(options.spiffeCsi === undefined
      ? []
      : [{ name: 'bulkhead-spiffe', csi: { driver: 'csi.spiffe.io', readOnly: true } }]),
    { name: 'bulkhead-audit', emptyDir: { sizeLimit: options.auditSize } },
  ];
}

/** A volume: its name, and one member for what it is. */
export interface NamedVolume {
  readonly name: string;
  readonly [source: string]: unknown;
}

/**
 * 0444. The files belong to root and the sidecar is not root, and it must not change the pod's `fsGroup`; only the sidecar
 * mounts them.
 */
const READABLE = 0o444;

function configMap(name: string): object {
  return { configMap: { name, defaultMode: READABLE } };
}

function secretVolume(index: number): string {
  return `bulkhead-secret-${index}`;
}

/**
 * The admin port has no authentication and binds loopback, where the kubelet cannot reach it: it probes the pod's address. So
 * the probe runs in the container. The file is run directly, not through the whole command line, to start in tens of
 * milliseconds.
 */
function probe(service: 'readiness' | 'liveness', { adminPort }: SidecarOptions): object {
  return { command: [NODE, `${HOME}/src/cli/health.ts`, service, '--admin', `127.0.0.1:${adminPort}`] };
}
