/**
 * The program's own log: JSON lines on standard error, one object each. What is logged are named fields, never formatted
 * strings, and never a credential: the serialisers below let of an error only through what is listed here.
 */
import { type DestinationStream, destination, type Logger, pino } from 'pino';

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** Where lines go; standard error when absent. */
  readonly stream?: DestinationStream;
}

/** Makes the process's logger. Lines are written at once, so that a crash loses none. */
export function createLogger(options: LoggerOptions): Logger {
  const stream = options.stream ?? destination({ fd: 2, sync: true });
  return pino(
    {
      level: options.level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorFields, error: errorFields },
    },
    stream,
  );
}

/** Of an error its name, message, code, stack and causes; not its other properties, where libraries keep requests. */
function errorFields(value: unknown, depth = 0): unknown {
  if (!(value instanceof Error)) return value;
  const code = 'code' in value ? value.code : undefined;
  return {
    type: value.name,
    message: value.message,
    ...(code === undefined ? {} : { code }),
    stack: value.stack,
    ...(value.cause === undefined || depth >= MAX_CAUSES ? {} : { cause: errorFields(value.cause, depth + 1) }),
  };
}

const MAX_CAUSES = 5;
