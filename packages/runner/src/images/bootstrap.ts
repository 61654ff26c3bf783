/** Makes a Debian root file system with mmdebstrap. */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MS, bindMount, mount, unmountAll } from '../sys/index.ts';
import { ProgressReader, type Progress } from './progress.ts';
import type { Recipe } from './recipe.ts';

export interface BootstrapInput {
  readonly recipe: Recipe;
  readonly suite: string;
  /** null: mmdebstrap's own default */
  readonly mirror: string | null;
  /** Empty directory that becomes the root file system. */
  readonly root: string;
  /** For mmdebstrap's own files. */
  readonly scratch: string;
  readonly onProgress: (progress: Progress) => void;
  /** Gets each line that is printed. */
  readonly onLine: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Lines of output that explain a failure. */
const TAIL_LINES = 12;

/**
 * In a PID namespace of its own that ends with this process, and a mount namespace: a build leaves no process and no mount
 * behind, however it or the runner ends.
 */
const CONTAINED = ['--pdeathsig', 'KILL', '--', 'unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private', '--'];

/** Of the runner's environment only what a download may need. */
const KEPT_ENV = ['PATH', 'http_proxy', 'https_proxy', 'no_proxy'];

export async function bootstrap(input: BootstrapInput): Promise<void> {
  mkdirSync(input.scratch, { recursive: true, mode: 0o755 });
  // Packages' scripts write to /dev/null inside: the pool forbids device nodes, this view of the directory does not.
  bindMount(input.root, input.root);
  try {
    mount(null, input.root, null, MS.BIND | MS.REMOUNT);
    await run(input);
  } finally {
    unmountAll(input.root);
  }
  // Device nodes were for the packages' scripts; a sandbox gets a /dev of its own.
  const dev = join(input.root, 'dev');
  rmSync(dev, { recursive: true });
  mkdirSync(dev, { mode: 0o755 });
}

function run(input: BootstrapInput): Promise<void> {
  const env: NodeJS.ProcessEnv = { LC_ALL: 'C.UTF-8', TMPDIR: input.scratch };
  for (const name of KEPT_ENV) if (process.env[name] !== undefined) env[name] = process.env[name];
  const child = spawn('setpriv', [...CONTAINED, 'mmdebstrap', ...mmdebstrapArgs(input)], {
    env, stdio: ['ignore', 'pipe', 'pipe'], signal: input.signal, killSignal: 'SIGKILL',
  });
  const progress = new ProgressReader();
  const tail: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      input.onLine(line);
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      const report = progress.read(line);
      if (report !== null) input.onProgress(report);
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(explain(code, tail)))));
  });
}

function mmdebstrapArgs({ recipe, suite, mirror, root }: BootstrapInput): string[] {
  return [
    '--mode=root',
    '--variant=minbase',
    '--format=directory',
    '--verbose',
    ...recipe.dpkgOptions.map((option) => `--dpkgopt=${option}`),
    ...recipe.aptOptions.map((option) => `--aptopt=${option}`),
    `--include=${recipe.packages.join(',')}`,
    `--customize-hook=sh ${quoted(recipe.setupFile)} "$1"`,
    suite,
    root,
    ...(mirror === null ? [] : [mirror]),
  ];
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function explain(code: number | null, tail: readonly string[]): string {
  if (code === 127) return 'mmdebstrap is not installed.';
  const errors = tail.filter((line) => /^(?:E:|Err:)/.test(line));
  return `mmdebstrap failed (${code ?? 'killed'}): ${(errors.length > 0 ? errors : tail).join(' | ').slice(-2000)}`;
}
