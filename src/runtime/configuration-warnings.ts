/**
 * What can be run and can hardly be meant, in the log of the process that runs it.
 */
import { isDeepStrictEqual } from 'node:util';
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

/** Whether two loads say the same. What has not changed is the same object: of a million, none is looked into. */
export function areSame(before: readonly Finding[], after: readonly Finding[]): boolean {
  return (
    before.length === after.length &&
    before.every((finding, index) => finding === after[index] || isDeepStrictEqual(finding, after[index]))
  );
}
