import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sidecarContainer, sidecarVolumes } from '../../../src/kubernetes/sidecar.ts';
import { OPTIONS } from './options.ts';

describe('the injected sidecar', () => {
  it('satisfies the restricted Pod Security Standard', () => {
    expect(sidecarContainer(OPTIONS)).toMatchObject({
      restartPolicy: 'Always',
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      },
    });
    // The standard allows these volume types, and no host path.
    for (const { name: _, ...source } of sidecarVolumes(OPTIONS)) {
      expect(['configMap', 'secret', 'emptyDir']).toContain(Object.keys(source)[0]);
    }
  });

  it('mounts every volume it adds, each once, all but the audit log read-only', () => {
    const options = { ...OPTIONS, secrets: ['acme-tls', 'globex-tls'] };
    const { volumeMounts } = sidecarContainer(options) as {
      volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
    };
    expect(volumeMounts.map(({ name }) => name)).toEqual(sidecarVolumes(options).map(({ name }) => name));
    expect(new Set(volumeMounts.map(({ mountPath }) => mountPath)).size).toBe(5);
    expect(volumeMounts.filter(({ readOnly }) => readOnly !== true).map(({ mountPath }) => mountPath)).toEqual([
      '/var/lib/bulkhead/audit',
    ]);
  });

  it('has the SPIFFE Workload API by the CSI driver, and knows where, when it is told to', () => {
    const options = { ...OPTIONS, spiffeCsi: 'spire-agent.sock' };
    const { env, volumeMounts } = sidecarContainer(options) as {
      env: readonly object[];
      volumeMounts: readonly { name: string }[];
    };
    expect(env).toEqual([{ name: 'SPIFFE_ENDPOINT_SOCKET', value: 'unix:///run/spiffe/spire-agent.sock' }]);
    expect(volumeMounts).toContainEqual({ name: 'bulkhead-spiffe', mountPath: '/run/spiffe', readOnly: true });
    expect(volumeMounts.map(({ name }) => name)).toEqual(sidecarVolumes(options).map(({ name }) => name));
    // Of a kind that the restricted Pod Security Standard allows.
    expect(sidecarVolumes(options)).toContainEqual({
      name: 'bulkhead-spiffe',
      csi: { driver: 'csi.spiffe.io', readOnly: true },
    });
    expect(sidecarContainer(OPTIONS)).not.toHaveProperty('env');
  });

  it('has the volumes readable by a user who owns none of them', () => {
    const modes = sidecarVolumes({ ...OPTIONS }).map(
      ({ configMap, secret }) => (configMap ?? secret) as { defaultMode?: number } | undefined,
    );
    expect(modes.map((mode) => mode?.defaultMode)).toEqual([0o444, 0o444, 0o444, undefined]);
  });

  it('runs what the image has: paths, user and entry are those of the Dockerfile', () => {
    const dockerfile = readFileSync(new URL('../../../deploy/Dockerfile', import.meta.url), 'utf8');
    expect(dockerfile).toContain('ENTRYPOINT ["/usr/local/bin/node", "/opt/bulkhead/src/main.ts"]');
    expect(dockerfile).toContain('USER 65532:65532');
    expect(JSON.stringify(sidecarContainer(OPTIONS))).toContain(
      '"/usr/local/bin/node","/opt/bulkhead/src/cli/health.ts","readiness"',
    );
  });
});
