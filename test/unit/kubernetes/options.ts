import type { SidecarOptions } from '../../../src/kubernetes/sidecar.ts';

export const OPTIONS: SidecarOptions = {
  image: 'bulkhead:0.1.0',
  configMap: 'bulkhead',
  tenantsConfigMap: 'bulkhead-tenants',
  secrets: ['bulkhead-secrets'],
  port: 8443,
  adminPort: 9901,
  cpu: '250m',
  memory: '512Mi',
  auditSize: '2Gi',
};
