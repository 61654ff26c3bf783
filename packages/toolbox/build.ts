import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));

/**
 * Bundles the toolbox into one CommonJS file, `<outDir>/toolbox.cjs`.
 *
 * Parts behind `import()` stay in the file but are evaluated at first use, so the start pays for the server alone.
 * Python sources are embedded as text. Nothing is external except Node's own modules: the file runs in any image. Beside it lies
 * what cannot be in it: `koffi.node`, by which terminals make system calls, and `terminal.html`, the page of the web terminal,
 * and `ssh.cjs`, a library whose text would cost every sandbox start and memory.
 */
export async function buildToolbox(outDir: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(here, '../../package.json'), 'utf8')) as { version: string };
  const outfile = join(outDir, 'toolbox.cjs');
  await build({
    entryPoints: [join(here, 'src/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    treeShaking: true,
    // Modules behind import() are bundled whole with all they import: of the contract only this page concerns the toolbox.
    alias: { '@paddock/contract': join(here, '../contract/src/toolbox-api.ts') },
    loader: { '.py': 'text' },
    // `ws` must not look for its optional native parts in directories of the sandbox's user.
    define: { PADDOCK_VERSION: JSON.stringify(version), 'process.env.WS_NO_BUFFER_UTIL': '"1"', 'process.env.WS_NO_UTF_8_VALIDATE': '"1"' },
    logLevel: 'warning',
  });
  await copyFile(koffiBinary(), join(outDir, 'koffi.node'));
  await writeFile(join(outDir, 'terminal.html'), await terminalPage());
  await buildSsh(join(outDir, 'ssh.cjs'));
  return outfile;
}

function koffiBinary(): string {
  const koffi = createRequire(import.meta.url).resolve('koffi');
  return createRequire(koffi).resolve(`@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`);
}

/**
 * The server half of `ssh2`. Its optional native parts are left out: they would be looked for in directories of the sandbox's user.
 * Identifiers stay: it compares the names of its classes.
 */
async function buildSsh(outfile: string): Promise<void> {
  const absent: Plugin = {
    name: 'absent',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^cpu-features$|\.node$/ }, ({ path }) => ({ path, namespace: 'absent' }));
      onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({ contents: `throw new Error(${JSON.stringify(`no ${path}`)})` }));
    },
  };
  const entry = createRequire(import.meta.url).resolve('ssh2/lib/server.js');
  await build({ entryPoints: [entry], outfile, bundle: true, platform: 'node', target: 'node24', format: 'cjs', minifySyntax: true, minifyWhitespace: true, legalComments: 'none', plugins: [absent], logLevel: 'warning' });
}

/** One file with everything in it: a page that loads nothing needs no routes. */
async function terminalPage(): Promise<string> {
  const source = join(here, 'src/terminal');
  const { outputFiles } = await build({ entryPoints: [join(source, 'page.js')], bundle: true, write: false, format: 'iife', minify: true, target: 'es2022', legalComments: 'none' });
  const style = await readFile(createRequire(import.meta.url).resolve('@xterm/xterm/css/xterm.css'), 'utf8');
  const page = await readFile(join(source, 'page.html'), 'utf8');
  return page.replace('/*STYLE*/', () => style).replace('/*SCRIPT*/', () => outputFiles[0]!.text);
}
