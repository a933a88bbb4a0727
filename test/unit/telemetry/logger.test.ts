import { expect, it } from 'vitest';
import { createLogger } from '../../../src/telemetry/logger.ts';

function logged(run: (log: ReturnType<typeof createLogger>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  run(createLogger({ level: 'info', stream: { write: (line) => lines.push(line) } }));
  return lines.map((line) => JSON.parse(line));
}

it('writes one JSON object a line, with a time, a level and named fields', () => {
  const [line] = logged((log) => log.info({ tenants: 2, port: 8443 }, 'serving'));
  expect(line).toMatchObject({ level: 'info', msg: 'serving', tenants: 2, port: 8443, pid: process.pid });
  expect(line?.['time']).toMatch(/^\d{4}-\d\d-\d\dT/);
});

it('leaves out what is below its level', () => {
  expect(logged((log) => log.debug('detail'))).toHaveLength(0);
});

it('tells of an error its type, message, code and causes, and nothing that hangs on it', () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const error = Object.assign(new TypeError('upstream is away', { cause }), {
    request: { headers: { authorization: 'Bearer eyJhbGciOi' } },
  });
  const [line] = logged((log) => log.error({ err: error }, 'failed'));
  expect(line?.['err']).toMatchObject({
    type: 'TypeError',
    message: 'upstream is away',
    cause: { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
  });
  expect(JSON.stringify(line)).not.toContain('eyJhbGciOi');
});

it('ends at five causes, also when an error is its own cause', () => {
  const error = new Error('loop');
  error.cause = error;
  const [line] = logged((log) => log.error({ err: error }, 'failed'));
  expect(JSON.stringify(line).split('"loop"')).toHaveLength(7);
});
