/** Makes a root file system from Debian's packages with mmdebstrap. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { MS, bindMount, mount, unmountAll } from '../sys/index.ts';
import type { Recipe } from './slim.ts';

export interface Progress {
  /** 0..1 */
  readonly fraction: number;
  readonly text: string;
}

export interface BootstrapInput {
  readonly recipe: Recipe;
  /** Empty directory; holds the file system afterwards, also a failed one. */
  readonly target: string;
  /** null: mmdebstrap's own default for the suite. */
  readonly mirror: string | null;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

/** Messages of mmdebstrap, and how far along they are: shares of the time of a bootstrap on the reference machine. */
const MILESTONES: ReadonlyArray<readonly [RegExp, number, string]> = [
  [/running apt-get update/i, 0.03, 'reading package lists'],
  [/downloading packages with apt/i, 0.12, 'downloading packages'],
  [/extracting archives/i, 0.3, 'unpacking the base system'],
  [/installing essential packages/i, 0.36, 'installing the base system'],
  [/downloading .*inside/i, 0.45, 'downloading tools'],
  [/installing remaining packages/i, 0.5, 'installing tools'],
  [/running --customize-hook/i, 0.85, 'adding the sandbox user'],
  [/compileall/i, 0.88, 'compiling Python'],
  [/cleaning package lists/i, 0.97, 'cleaning up'],
];

/** Lines of output kept for the message of a failure. */
const TAIL_LINES = 8;

export async function bootstrap(input: BootstrapInput): Promise<void> {
  const { recipe, target, mirror, signal, onProgress } = input;
  // Maintainer scripts write to /dev/null inside: the pool forbids device nodes, this view of the directory does not.
  bindMount(target, target);
  try {
    mount(null, target, null, MS.BIND | MS.REMOUNT);
    await run([
      '--variant=minbase', '--mode=root', '--format=directory',
      `--include=${recipe.packages.join(',')}`,
      '--aptopt=APT::Install-Recommends "false"',
      ...['doc', 'man', 'info', 'lintian'].map((dir) => `--dpkgopt=path-exclude=/usr/share/${dir}/*`),
      '--dpkgopt=path-include=/usr/share/doc/*/copyright',
      '--dpkgopt=path-exclude=/usr/share/locale/*',
      ...recipe.customize.map((script) => `--customize-hook=${script}`),
      recipe.suite, target, ...(mirror === null ? [] : [mirror]),
    ], signal, onProgress);
  } finally {
    unmountAll(target);
  }
}

function run(args: readonly string[], signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    // setpriv: an orphan would go on writing into a directory that the next start removes.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'mmdebstrap', ...args], { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    const tail: string[] = [];
    let fraction = 0;
    const read = (line: string): void => {
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      const milestone = MILESTONES.find(([pattern]) => pattern.test(line));
      if (milestone === undefined || milestone[1] <= fraction) return;
      fraction = milestone[1];
      onProgress({ fraction, text: milestone[2] });
    };
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', read);
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`mmdebstrap failed (${code ?? 'killed'}): ${tail.filter((line) => !line.startsWith('I:')).join(' | ') || tail.join(' | ')}`));
    });
  });
}
