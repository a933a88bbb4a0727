/**
 * Waits for the first whole TLS record of a connection, which as a rule is the client's hello. Nothing of TLS is made for a client that
 * never sends it: a socket that says nothing, or not enough, costs little more than the kernel's part of it.
 */
import type { Socket } from 'node:net';

const HEADER_OCTETS = 5;
const HANDSHAKE = 22;
/** RFC 8446 §5.1: a record of plain text has no more. */
const MAX_RECORD_OCTETS = 16_384;

/**
 * Calls `ready` once, when a record is there or what is there is none (OpenSSL then says what is wrong with it). What was read is given
 * back to the socket, which brings no more until somebody reads. Not called when the socket closes before that.
 */
export function awaitFirstRecord(socket: Socket, ready: () => void): void {
  let read: Buffer = Buffer.alloc(0);
  const readable = (): void => {
    const chunk: unknown = socket.read();
    if (!Buffer.isBuffer(chunk)) return;
    read = read.length === 0 ? chunk : Buffer.concat([read, chunk]);
    if (isIncomplete(read)) return;
    socket.off('readable', readable);
    socket.unshift(read);
    ready();
  };
  socket.on('readable', readable);
}

function isIncomplete(read: Buffer): boolean {
  if (read[0] !== HANDSHAKE) return false;
  if (read.length < HEADER_OCTETS) return true;
  const length = read.readUInt16BE(3);
  return length <= MAX_RECORD_OCTETS && read.length < HEADER_OCTETS + length;
}
