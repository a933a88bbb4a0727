/**
 * The committed models' provenance, and rows of their held-out data: rows that no training has seen.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export type ModelName = 'digits' | 'wine-cultivar' | 'breast-cancer';

export interface ModelProvenance {
  readonly name: ModelName;
  readonly does: string;
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  /** The class names, by label. */
  readonly labels: readonly string[];
  readonly heldOut: { readonly samples: number; readonly correct: number; readonly accuracy: number };
  readonly data: { readonly title: string; readonly source: string; readonly licence: string };
}

export interface Sample {
  /** The true label. */
  readonly truth: number;
  readonly features: readonly number[];
}

// Boundary: both files are written by test/train/train_models.py, and held to these types by a test.
export const PROVENANCE = readJson('provenance.json') as readonly ModelProvenance[];
export const SAMPLES = readJson('held-out.json') as Readonly<Record<ModelName, readonly Sample[]>>;

/** The provenance of a model. */
export function provenanceOf(name: ModelName): ModelProvenance {
  const found = PROVENANCE.find((model) => model.name === name);
  if (found === undefined) throw new Error(`no provenance for ${name}`);
  return found;
}

/** SHA-256 (hex) of a model's file as it lies there. */
export function digestOf(model: ModelProvenance): string {
  return createHash('sha256')
    .update(readFileSync(new URL(model.file, import.meta.url)))
    .digest('hex');
}

/** Name of each model's input. */
export const INPUT_NAMES: Readonly<Record<ModelName, string>> = {
  digits: 'pixels',
  'wine-cultivar': 'analysis',
  'breast-cancer': 'nuclei',
};

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
}
