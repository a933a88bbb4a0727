import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

const HTTP = new URL('../../../src/kernel/http.ts', import.meta.url).href;

/** Whether Node has loaded its `fetch` in a process that has run this. */
function loadsFetch(program: string): boolean {
  const asks = `${program}; console.log(process.moduleLoadList.some((name) => name.includes('undici')))`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', asks], { encoding: 'utf8' }).trim() === 'true';
}

describe('node:http without its WebSockets', () => {
  it('loads nothing that is not used', () => {
    expect(loadsFetch(`await import('${HTTP}')`)).toBe(false);
  });

  it('has libraries that import it not load that either', () => {
    expect(loadsFetch(`(await import('${HTTP}')).loadNoWebSockets(); await import('node:http')`)).toBe(false);
  });
});
