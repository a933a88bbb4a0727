/**
 * `:path` of a gRPC call. What a server would make of `%2F`, `//` or a dot segment is not for us to guess: a path that is not
 * canonical is refused before anything is looked up under it.
 */
import type { MethodPath } from '../kernel/ids.ts';

export interface ParsedPath {
  readonly path: MethodPath;
  /** `package.Service/Method`: what traces, roles and records call the method. */
  readonly fullName: string;
}

/**
 * Parses `^/[A-Za-z0-9_.]+/[A-Za-z0-9_]+$`, byte-exact; an empty segment of the package (`.`, `..`, `a..b`) is not canonical
 * either. Undefined when it does not match.
 */
export function parseMethodPath(path: string): ParsedPath | undefined {
  const slash = path.indexOf('/', 1);
  if (slash < 2 || path.charCodeAt(0) !== SLASH || slash === path.length - 1) return undefined;
  if (!isServiceName(path, 1, slash)) return undefined;
  for (let i = slash + 1; i < path.length; i++) if (!isWordCode(path.charCodeAt(i))) return undefined;
  return { path: path as MethodPath, fullName: path.slice(1) };
}

function isServiceName(path: string, start: number, end: number): boolean {
  let previous = DOT;
  for (let i = start; i < end; i++) {
    const code = path.charCodeAt(i);
    if (code === DOT ? previous === DOT : !isWordCode(code)) return false;
    previous = code;
  }
  return previous !== DOT;
}

function isWordCode(code: number): boolean {
  const lower = code | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === UNDERSCORE;
}

const SLASH = 0x2f;
const DOT = 0x2e;
const UNDERSCORE = 0x5f;
