/**
 * What can be run and can hardly be meant, in the log of the process that runs it.
 */
import type { Logger } from 'pino';
import type { Finding } from '../config/finding.ts';

/** Warnings of one generation that are logged one by one: thousands of tenants may have the same one. */
export const MAX_LOGGED_WARNINGS = 50;

/** Logs a generation's warnings, the first of them one by one. */
export function logWarnings(warnings: readonly Finding[], log: Pick<Logger, 'warn'>): void {
  for (const { file, line, path, message, fix } of warnings.slice(0, MAX_LOGGED_WARNINGS)) {
    log.warn({ file, line, path, fix }, `configuration: ${message}`);
  }
  const more = warnings.length - MAX_LOGGED_WARNINGS;
  if (more > 0) log.warn({ count: more }, 'the configuration has further warnings; bulkhead check lists them');
}
