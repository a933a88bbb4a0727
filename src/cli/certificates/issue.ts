/**
 * `bulkhead pki issue`: certificates of a server or of clients.
 */
import type { KeyAlgorithm } from '../../identity/issue.ts';
import type { TenantId } from '../../kernel/ids.ts';
import { PkiDirectory } from '../../pki/directory.ts';
import { issueLeafs, type LeafOrder, readRequestKey } from '../../pki/issuing.ts';
import { type Ledger, parseLeafName } from '../../pki/ledger.ts';
import { clientId, defaultLeafName, serverNames } from '../../pki/names.ts';
import { refused } from '../../pki/problem.ts';
import type { CliIo } from '../io.ts';
import type { CommonOptions } from '../pki-options.ts';
import { passphrasesOf } from './passphrases.ts';
import { issuedJson, issuedText, printJson } from './report.ts';

export interface IssueOptions extends CommonOptions {
  readonly tenant: TenantId;
  readonly server?: readonly string[];
  readonly ip?: readonly string[];
  readonly client?: readonly string[];
  readonly name?: string;
  readonly lifetime: number;
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly csr?: string;
  readonly keyPassphraseFile?: string;
}

/** Issues what the options ask for. */
export async function issue(options: IssueOptions, io: CliIo): Promise<void> {
  const directory = PkiDirectory.open(options.directory);
  const passphrases = passphrasesOf(options);
  const { ledger, issued } = await directory.changing(() => {
    const before = directory.readLedger(options.tenant);
    return {
      ledger: before,
      issued: issueLeafs(directory, before, ordersOf(before, options), passphrases, Date.now()),
    };
  });
  if (options.json === true) printJson(io, { issued: issued.map((leaf) => issuedJson(ledger.tenant, leaf)) });
  else for (const leaf of issued) io.out(issuedText(directory, ledger, leaf));
}

/** What is to be issued. Throws a PkiProblem for options that do not go together. */
function ordersOf(ledger: Ledger, options: IssueOptions): readonly LeafOrder[] {
  const { server, client = [], csr, name } = options;
  if ((server === undefined) === (client.length === 0)) {
    throw refused('either --server or --client says what the certificate is for', 'give one of the two');
  }
  if (client.length > 1 && (csr !== undefined || name !== undefined)) {
    throw refused('--csr and --name are for one certificate, and there are several clients', 'issue one at a time');
  }
  if (server === undefined && options.ip !== undefined) throw refused('a client has no --ip', 'leave it away');
  if (csr !== undefined && (options.keyPassphraseFile !== undefined || options.keyAlgorithm !== undefined)) {
    throw refused('with --csr no key is made', 'leave --key-algorithm and --key-passphrase-file away');
  }
  if (name !== undefined && parseLeafName(name) === undefined) {
    throw refused(`${name} is no name of a directory`, 'letters, digits, dots, hyphens and underscores, at most 128');
  }
  const common = {
    lifetimeMs: options.lifetime,
    keyAlgorithm: options.keyAlgorithm ?? ledger.keyAlgorithm,
    foreignKey: csr === undefined ? undefined : readRequestKey(csr),
  };
  if (server !== undefined) {
    const names = serverNames(ledger, server, options.ip ?? []);
    return [
      {
        ...common,
        ...names,
        use: 'server',
        spiffeId: undefined,
        name: name ?? defaultLeafName(names.dnsNames[0] ?? ''),
      },
    ];
  }
  const ids = new Set(client.map((text) => clientId(ledger, text)));
  return [...ids].map((spiffeId) => {
    return {
      ...common,
      use: 'client',
      spiffeId,
      dnsNames: [],
      ipAddresses: [],
      name: name ?? defaultLeafName(spiffeId),
    };
  });
}
