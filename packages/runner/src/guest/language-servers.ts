/** The language servers sandboxes have when their image brings none: pyright, and TypeScript's own, one static binary. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import type { GuestFile } from './files.ts';

interface Package {
  readonly name: string;
  /** The package whose dependency it is, when it is not one of ours. */
  readonly of?: string;
  /** Folder below `lsp/`, where the toolbox looks. */
  readonly to: string;
  /** Files a server reads; what else a package has stays out. */
  readonly wanted: RegExp;
  readonly programs: RegExp;
}

const PACKAGES: readonly Package[] = [
  // Without the stubs of third-party libraries: they are five times all else, and libraries that are installed are read themselves.
  { name: 'pyright', to: 'pyright', wanted: /^(LICENSE\.txt|package\.json|langserver\.index\.js|dist\/[^/]+\.js|dist\/typeshed-fallback\/(LICENSE|commit\.txt|stdlib\/.*))$/, programs: /^$/ },
  { name: '@typescript/typescript-linux-x64', of: 'typescript', to: 'typescript', wanted: /^(NOTICE\.txt|package\.json|lib\/.*)$/, programs: /^lib\/tsc$/ },
];

export function languageServerFiles(): GuestFile[] {
  return PACKAGES.flatMap(filesOf);
}

function filesOf({ name, of, to, wanted, programs }: Package): GuestFile[] {
  const require = createRequire(import.meta.url);
  const manifest = (of === undefined ? require : createRequire(require.resolve(`${of}/package.json`))).resolve(`${name}/package.json`);
  const dir = dirname(manifest);
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .filter((path) => wanted.test(path))
    .sort()
    .map((path) => ({ to: `lsp/${to}/${path}`, mode: programs.test(path) ? 0o755 : 0o644, from: { file: join(dir, path), release: `${name}@${version}` } }));
}
