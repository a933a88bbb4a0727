/**
 * Loads a configuration that takes certificates from the SPIFFE Workload API: once to know what it takes, and once more with what the
 * API gives.
 */
import type { Finding } from '../config/finding.ts';
import type { Generation } from '../config/generation.ts';
import type { ConfigurationLoader } from '../config/load.ts';
import { err, type Result } from '../kernel/result.ts';
import type { Workload } from './workload.ts';

/** As the loader's `load`; resolves when what the configuration takes is there, or is known not to be. */
export async function loadWithWorkload(
  loader: ConfigurationLoader,
  workload: Workload,
  mainFile: string,
  previous: Generation | undefined,
  suspects?: ReadonlySet<string>,
): Promise<Result<Generation, readonly Finding[]>> {
  const loaded = await loader.load(mainFile, previous, suspects);
  if (!loaded.ok) return loaded;
  const provided = await workload.provide(loaded.value.workloadApi, loader.workloadNames);
  if (!provided.ok) {
    const place = { file: mainFile, line: 0, column: 0, path: 'spiffe.workloadApi', severity: 'error' } as const;
    return err([{ ...place, ...provided.error }]);
  }
  return loader.awaitsWorkload || provided.value
    ? await loader.load(mainFile, previous, new Set(loader.workloadNames))
    : loaded;
}
