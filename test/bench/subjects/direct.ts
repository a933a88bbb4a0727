import type { Subject } from './subject.ts';

/** No proxy at all: the backend, called in cleartext. What the others add is measured from here. */
export const direct: Subject = {
  name: 'direct',
  features: 'relay',
  tls: false,
  warmsUp: false,
  start: (ground) => Promise.resolve({ port: ground.backendPort, pids: [], stop: () => Promise.resolve() }),
};
