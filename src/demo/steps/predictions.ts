/**
 * What works: each tenant's own model, and the one that both may use.
 */
import { batchRequest, type Prediction, readPredictions } from '../inference-batch.ts';
import { newClientTrace } from '../inference-client.ts';
import { digestOf, PROVENANCE, provenanceOf, SAMPLES, type Sample } from '../models/samples.ts';
import { captionDigits, renderDigits } from '../render/digit.ts';
import { renderTable } from '../render/table.ts';
import type { Stage } from '../stage.ts';
import { check, expectOutcome, type Step } from '../step.ts';
import { toldCheck } from './model-server-log.ts';

/** Which held-out digits are drawn: by position among the samples of their class, `[truth, nth]`. */
const DRAWN = [
  [3, 0],
  [1, 0],
  [4, 0],
  [1, 1],
  [5, 0],
] as const;

/** The stage is set: real processes, with the models that the repository says they have. */
export const setting: Step = {
  title: 'Two tenants, one model server, one sidecar between them',
  proves:
    'Each organisation brought its own CA, token issuer and API keys; the model server knows nothing of any of them.',
  async run(stage, ink) {
    const ready = await fetch(`http://127.0.0.1:${stage.adminPort}/readyz`);
    await ready.body?.cancel();
    const served = modelsServed(stage);
    const expected = PROVENANCE.map((model) => model.name).toSorted();
    const wrong = PROVENANCE.filter((model) => digestOf(model) !== model.sha256);
    return {
      lines: renderTable(
        [
          { title: 'model', align: 'left' },
          { title: 'held out right', align: 'right' },
          { title: 'trained on', align: 'left' },
          { title: 'for', align: 'left' },
        ],
        PROVENANCE.map((model) => [
          model.name,
          `${model.heldOut.correct}/${model.heldOut.samples}`,
          model.data.title.replace(/ \(.*|, .*/, ''),
          { digits: 'acme', 'wine-cultivar': 'globex', 'breast-cancer': 'acme and globex' }[model.name],
        ]),
        ink,
      ),
      checks: [
        check('model files are the ones in provenance.json', 'SHA-256 agrees', wrong.length === 0, 'SHA-256 agrees'),
        check(
          `model server, pid ${stage.modelServer.pid}, has loaded`,
          served.join(', '),
          served.join() === expected.join(),
          expected.join(', '),
        ),
        check(`sidecar, pid ${stage.sidecar.pid}, /readyz`, String(ready.status), ready.status === 200, '200'),
      ],
    };
  },
};

/** acme reads digits; the call's trace is shown later. */
export const digits: Step = {
  title: 'acme reads handwritten digits, with a token',
  proves: 'mTLS, token, role and quota all agreed, and the model saw a verified identity instead of a credential.',
  async run(stage, ink) {
    const drawn = DRAWN.map(([truth, nth]) => sampleOf('digits', truth, nth));
    const trace = newClientTrace();
    const outcome = await stage.acme.withToken.infer({ ...batchRequest('digits', drawn), id: 'acme-digits' }, trace);
    const predictions = readPredictions(outcome.response);
    const all = readPredictions((await stage.acme.withToken.infer(batchRequest('digits', SAMPLES.digits))).response);
    const right = all.filter((prediction, row) => prediction.label === SAMPLES.digits[row]?.truth).length;
    stage.notes.tracedCall = trace;
    return {
      lines: [
        ...renderDigits(drawn.map((sample) => sample.features)).map(ink.accent),
        captionDigits(drawn.map((sample, row) => caption(sample, predictions[row]))),
        ink.dim('prediction, its confidence, and in brackets what the writer meant'),
      ],
      checks: [
        expectOutcome(`ModelInfer digits, ${stage.acme.credentials.subject}`, outcome, 'OK'),
        check(
          'all 20 held-out digits of the repository',
          `${right} of ${all.length} right`,
          right >= 19,
          'at least 19 of 20 right',
        ),
        await toldCheck(stage, 'acme-digits', 'acme', `token:${stage.acme.credentials.subject}`),
      ],
    };
  },
};

/** globex classifies wine. */
export const wine: Step = {
  title: 'globex tells wines apart, with an API key',
  proves: 'Another tenant, another kind of credential, another model, over the same port and the same model server.',
  async run(stage, ink) {
    const samples = SAMPLES['wine-cultivar'];
    const outcome = await stage.globex.withApiKey.infer({
      ...batchRequest('wine-cultivar', samples),
      id: 'globex-wine',
    });
    const predictions = readPredictions(outcome.response);
    const right = predictions.filter((prediction, row) => prediction.label === samples[row]?.truth).length;
    const { labels } = provenanceOf('wine-cultivar');
    const rows = samples.map((sample, row) => [
      sample.features
        .slice(0, 3)
        .map((value) => value.toFixed(2))
        .join('  '),
      labels[sample.truth] ?? '',
      labels[predictions[row]?.label ?? -1] ?? '?',
      percent(predictions[row]),
    ]);
    return {
      lines: renderTable(
        [
          { title: 'alcohol  malic acid  ash  …', align: 'left' },
          { title: 'truth', align: 'left' },
          { title: 'prediction', align: 'left' },
          { title: 'confidence', align: 'right' },
        ],
        rows,
        ink,
      ),
      checks: [
        expectOutcome(`ModelInfer wine-cultivar, key ${stage.globex.credentials.apiKeyId}`, outcome, 'OK'),
        check(
          'held-out wines',
          `${right} of ${samples.length} right`,
          right >= samples.length - 1,
          'at most one wrong',
        ),
        await toldCheck(stage, 'globex-wine', 'globex', `key:${stage.globex.credentials.apiKeyId}`),
      ],
    };
  },
};

/** Both may use the third. */
export const shared: Step = {
  title: 'Both use the model that both may use',
  proves: 'Sharing is one line in each tenant’s file, and the two are still told apart on every call.',
  async run(stage) {
    const samples = SAMPLES['breast-cancer'];
    const request = batchRequest('breast-cancer', samples);
    const acme = await stage.acme.withApiKey.infer({ ...request, id: 'acme-shared' });
    const globex = await stage.globex.withApiKey.infer({ ...request, id: 'globex-shared' });
    const [a, b] = [readPredictions(acme.response), readPredictions(globex.response)];
    const right = a.filter((prediction, row) => prediction.label === samples[row]?.truth).length;
    const same = a.length === samples.length && JSON.stringify(a) === JSON.stringify(b);
    return {
      lines: [],
      checks: [
        expectOutcome('ModelInfer breast-cancer, acme', acme, 'OK'),
        await toldCheck(stage, 'acme-shared', 'acme', `key:${stage.acme.credentials.apiKeyId}`),
        expectOutcome('ModelInfer breast-cancer, globex', globex, 'OK'),
        await toldCheck(stage, 'globex-shared', 'globex', `key:${stage.globex.credentials.apiKeyId}`),
        check(
          'same rows, same answers',
          same ? `identical, ${right} of ${a.length} right` : 'they differ',
          same && right >= a.length - 1,
          'identical',
        ),
      ],
    };
  },
};

/** The models that the model server said it has loaded. */
function modelsServed(stage: Stage): readonly string[] {
  const models = stage.modelServer.lines.find((line) => line['event'] === 'ready')?.['models'];
  return Array.isArray(models) ? models.map(String).toSorted() : [];
}

function sampleOf(model: 'digits', truth: number, nth: number): Sample {
  const sample = SAMPLES[model].filter((one) => one.truth === truth)[nth];
  if (sample === undefined) throw new Error(`held-out.json has no sample ${nth} of ${truth}`);
  return sample;
}

function caption(sample: Sample, prediction: Prediction | undefined): string {
  return `${prediction?.label ?? '?'} ${percent(prediction)} (${sample.truth})`;
}

function percent(prediction: Prediction | undefined): string {
  return prediction === undefined ? '' : `${(prediction.confidence * 100).toFixed(1)} %`;
}
