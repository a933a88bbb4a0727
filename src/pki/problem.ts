/**
 * What keeps a command on a PKI directory from being done, as its user needs it: which file, what is wrong, what would be
 * right. It is thrown from wherever a file turns out bad and caught once, by the command line.
 */
export class PkiProblem extends Error {
  override readonly name = 'PkiProblem';
  /** What would be right. */
  readonly fix: string;
  /** `damaged`: the directory or a file of it is not what it must be. `refused`: what was asked for cannot be done. */
  readonly kind: 'damaged' | 'refused';

  constructor(kind: 'damaged' | 'refused', message: string, fix: string) {
    super(message);
    this.kind = kind;
    this.fix = fix;
  }
}

/** What was asked for cannot be done. */
export function refused(message: string, fix: string): PkiProblem {
  return new PkiProblem('refused', message, fix);
}

/** A file is not what it must be. */
export function damaged(path: string, what: string, fix: string): PkiProblem {
  return new PkiProblem('damaged', `${path} ${what}`, fix);
}
