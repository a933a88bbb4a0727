// Installs what package-lock.json names and node_modules lacks, so that `npm run demo` and `npm test` work on a fresh clone,
// and then runs what it is told to run, with the Node that the repository pins:
//
//     node test/install-missing.mjs [SCRIPT [ARGUMENT...]]
//
// Run the script from here rather than after `&&`: a shell that has found `node` once keeps the machine's own, although a
// newer one has just been installed before it on the PATH.
//
// Plain JavaScript without dependencies: it runs before anything is installed, on whatever Node (>= 20) the machine has.
// npm writes node_modules/.package-lock.json after every install: a copy of the lock file without the root's entry and
// without what this platform does not need. So everything in it must agree with package-lock.json, and everything in
// package-lock.json that is not optional must be in it.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROGRESS_INTERVAL_MS = 3_000;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const missing = whatIsMissing();
if (missing !== undefined) {
  say(`installing dependencies: ${missing}`);
  await install();
  const still = whatIsMissing();
  if (still !== undefined) fail(`after the installation still: ${still}`);
}
const command = process.argv.slice(2);
if (command.length > 0) run(command);

/** Runs a script and ends as it ends. */
function run(args) {
  const pinned = join(root, 'node_modules', '.bin', 'node');
  const child = spawn(existsSync(pinned) ? pinned : process.execPath, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('error', (error) => fail(`node cannot be run: ${error.message}`));
  child.once('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

/** The first reason to install, or undefined when node_modules is what package-lock.json says. */
function whatIsMissing() {
  const wanted = packagesOf('package-lock.json');
  if (wanted === undefined) fail('package-lock.json is missing or not JSON');
  const installed = packagesOf(join('node_modules', '.package-lock.json'));
  if (installed === undefined) return 'node_modules is missing';
  for (const [path, entry] of Object.entries(installed)) {
    // Binaries for platforms that the lock file could not name.
    if (wanted[path] === undefined && entry.optional === true) continue;
    if (wanted[path] === undefined) return `${path} is installed but not in package-lock.json`;
    if (wanted[path].version !== entry.version || wanted[path].integrity !== entry.integrity) {
      return `${path} is ${entry.version}, package-lock.json has ${wanted[path].version}`;
    }
  }
  const lacking = neededOf(wanted).find((path) => installed[path] === undefined);
  return lacking === undefined ? undefined : `${lacking} is not installed`;
}

/** Paths that this platform needs: all that are not optional, and the Node that the repository pins for it. */
function neededOf(wanted) {
  const pinnedNode = `node_modules/node-${process.platform}-${process.arch}`;
  return Object.keys(wanted).filter((path) => path !== '' && (wanted[path].optional !== true || path === pinnedNode));
}

/**
 * Runs npm with its errors shown, and says every few seconds how far it is. `npm ci` would refuse a lock file that lacks an
 * optional package of another platform; `install --no-save` takes what the lock file has, checks its integrity, and leaves it
 * as it is.
 */
async function install() {
  const started = Date.now();
  const needed = neededOf(packagesOf('package-lock.json'));
  const npm = spawn('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--no-progress', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const progress = setInterval(() => {
    const there = needed.filter((path) => existsSync(join(root, path, 'package.json'))).length;
    say(`  ${seconds(started)} s: ${there} of ${needed.length} packages are in place`);
  }, PROGRESS_INTERVAL_MS);
  const [code, signal] = await new Promise((resolve) => {
    npm.once('error', (error) => fail(`npm cannot be run: ${error.message}`));
    npm.once('close', (...end) => resolve(end));
  });
  clearInterval(progress);
  if (code !== 0) fail(`npm install ended with ${code === null ? signal : `exit code ${code}`}`);
  say(`installed in ${seconds(started)} s`);
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function seconds(since) {
  return Math.round((Date.now() - since) / 1000);
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
