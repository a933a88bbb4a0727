/**
 * The demo's story, in order.
 */
import type { Step } from './step.ts';
import { burst, largeTensor } from './steps/limits.ts';
import { digits, setting, shared, wine } from './steps/predictions.ts';
import { audit, trace, usage } from './steps/record.ts';
import { noCertificate, otherModel, otherToken } from './steps/refusals.ts';

export const SCENARIO: readonly Step[] = [
  setting,
  digits,
  wine,
  shared,
  otherModel,
  otherToken,
  noCertificate,
  burst,
  largeTensor,
  trace,
  usage,
  audit,
];
