/**
 * grpc-go's interop test service in cleartext HTTP/2 on loopback.
 */
import { accepts, Child } from './child.ts';
import { freePort } from './free-port.ts';
import { peerFile } from './peer-file.ts';

export interface InteropServer {
  readonly port: number;
  readonly child: Child;
}

export async function startInteropServer(): Promise<InteropServer> {
  const port = await freePort();
  const child = await Child.spawn('the interop server', {
    command: peerFile('bin/interop'),
    args: ['server', '-addr', `127.0.0.1:${port}`],
  });
  await child.until('listening', () => accepts(port));
  return { port, child };
}
