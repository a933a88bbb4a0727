/**
 * `node:http` without what hangs on it. A module that imports it has all its exports looked at, and behind three of them Node loads its
 * `fetch`: 7 MB of memory in each thread, for WebSockets that nobody uses.
 */
const http = process.getBuiltinModule('node:http');

export const createServer = http.createServer;
export const request = http.request;

/** Has libraries that import `node:http` later not load it either. For the thread. */
export function loadNoWebSockets(): void {
  for (const name of ['WebSocket', 'CloseEvent', 'MessageEvent']) {
    const property = Object.getOwnPropertyDescriptor(http, name);
    if (property?.configurable === true) Object.defineProperty(http, name, HIDDEN);
  }
}

const HIDDEN: PropertyDescriptor = { value: undefined, configurable: true, enumerable: true };
