/**
 * What the configuration must know of the methods that are read: their names, and which of them name a model. Derived from the
 * table that the data plane uses, so that a role cannot name what a call would not find.
 */
import { INFERENCE_METHODS, INFERENCE_SERVICE } from '../inspection/method-table.ts';

/** The service whose methods a role may write short. */
export const READ_SERVICE = INFERENCE_SERVICE;

export const READ_METHODS: readonly string[] = [...INFERENCE_METHODS.keys()];

/** Methods that reach beyond the models that a caller may use: for administrators. */
export const SENSITIVE_METHODS: readonly string[] = READ_METHODS.filter(
  (method) => INFERENCE_METHODS.get(method)?.sensitive === true,
);

/** Whether a request of this method (short name) names a model, so that a role must name models too; `*` has some. */
export function readsModel(method: string): boolean {
  return method === '*' || INFERENCE_METHODS.get(method)?.plan !== undefined;
}
