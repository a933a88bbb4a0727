import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../e2e/harness/free-port.ts';
import { pinned, type Subject } from './subject.ts';

/**
 * HAProxy as a relay: TLS in, HTTP/2 out, no log, one thread. Twice its usual buffer and a window for a whole message: 1 MiB costs
 * it two thirds of what it does by default, and small calls the same; with buffers of 64 KiB those would cost a quarter more.
 */
export const haproxy: Subject = {
  name: 'haproxy',
  features: 'relay',
  tls: true,
  warmsUp: false,
  start: async ({ directory, backendPort }) => {
    const port = await freePort();
    const file = join(directory, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 8000
  tune.bufsize 32768
  tune.h2.max-concurrent-streams 1000
  tune.h2.initial-window-size 1048576
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend f
  bind 127.0.0.1:${port} ssl crt ${join(directory, 'server.both.pem')} alpn h2
  default_backend b
backend b
  server s1 127.0.0.1:${backendPort} proto h2
`,
    );
    return pinned({ name: 'haproxy', command: 'haproxy', args: ['-db', '-f', file], port });
  },
};
