import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../e2e/harness/free-port.ts';
import { pinned, type Subject } from './subject.ts';

/** nginx as a relay (`grpc_pass`), one worker, connections to the backend kept. */
export const nginx: Subject = {
  name: 'nginx',
  features: 'relay',
  tls: true,
  warmsUp: false,
  start: async (ground) => {
    const port = await freePort();
    const directory = mkdtempSync(join(ground.directory, 'nginx-'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `  ${name}_temp_path ${join(directory, name)};`,
    );
    const file = join(directory, 'nginx.conf');
    writeFileSync(
      file,
      `user root;
worker_processes 1;
daemon off;
pid ${join(directory, 'pid')};
error_log ${join(directory, 'errors')};
events { worker_connections 8000; }
http {
  access_log off;
${temporary.join('\n')}
  upstream backend {
    server 127.0.0.1:${ground.backendPort};
    keepalive 600;
    keepalive_requests 1000000000;
    keepalive_time 1d;
  }
  server {
    listen 127.0.0.1:${port} ssl http2 backlog=4096;
    ssl_certificate ${join(ground.directory, 'server.pem')};
    ssl_certificate_key ${join(ground.directory, 'server.key')};
    ssl_protocols TLSv1.2 TLSv1.3;
    http2_max_concurrent_streams 1000;
    keepalive_requests 1000000000;
    keepalive_time 1d;
    keepalive_timeout 300s;
    client_max_body_size 0;
    location / { grpc_pass grpc://backend; }
  }
}
`,
    );
    const args = ['-c', file, '-p', directory, '-e', join(directory, 'errors')];
    return pinned({ name: 'nginx', command: 'nginx', args, port });
  },
};
