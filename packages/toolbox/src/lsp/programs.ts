import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_MOUNT } from '@paddock/contract';
import type { Env } from '../environment/environment.ts';
import { ownNode } from '../process/node.ts';

/** A language server that can be started here. */
export interface Program {
  readonly command: readonly string[];
  /** It knows a project's symbols once it has said this in its log. */
  readonly settled?: RegExp;
  /** It looks at a project only after one of its files was opened. */
  readonly needsOpenFile?: boolean;
}

export type Language = 'python' | 'typescript' | 'javascript';
const LANGUAGES: ReadonlySet<string> = new Set<Language>(['python', 'typescript', 'javascript']);
export const isLanguage = (id: string): id is Language => LANGUAGES.has(id);

/** Where the servers lie that Paddock brings along. */
const BROUGHT = process.env['PADDOCK_LSP_DIR'] ?? `${GUEST_MOUNT}/lsp`;

/** Pyright and its descendants say this when they have looked for a project's files. */
const PYRIGHT_SETTLED = /Found \d+ source file|No source files found/;

type Candidate = (env: Env) => Program | null;

const onPath = (name: string, args: readonly string[], more: Omit<Program, 'command'> = {}): Candidate => (env) => {
  const file = find(name, env);
  return file === null ? null : { command: [file, ...args], ...more };
};

/** Runs on the toolbox's own Node: the image needs none. */
const broughtPyright: Candidate = () => {
  const script = join(BROUGHT, 'pyright/langserver.index.js');
  return existsSync(script) ? { command: [...ownNode(), script, '--stdio'], settled: PYRIGHT_SETTLED } : null;
};

/** One static binary: the image needs neither Node nor a C library. */
const broughtTypescript: Candidate = () => {
  const file = join(BROUGHT, 'typescript/lib/tsc');
  return existsSync(file) ? { command: [file, '--lsp', '--stdio'], needsOpenFile: true } : null;
};

const TYPESCRIPT: readonly Candidate[] = [onPath('typescript-language-server', ['--stdio'], { needsOpenFile: true }), broughtTypescript];

/** In order of preference: the image's own, then ours, then those that know no symbols of a whole project. */
const CANDIDATES: Readonly<Record<Language, readonly Candidate[]>> = {
  python: [
    onPath('pyright-langserver', ['--stdio'], { settled: PYRIGHT_SETTLED }),
    onPath('basedpyright-langserver', ['--stdio'], { settled: PYRIGHT_SETTLED }),
    onPath('jedi-language-server', []),
    broughtPyright,
    onPath('pylsp', []),
  ],
  typescript: TYPESCRIPT,
  javascript: TYPESCRIPT,
};

export function programsFor(language: Language, env: Env): readonly Program[] {
  return CANDIDATES[language].map((candidate) => candidate(env)).filter((program) => program !== null);
}

function find(name: string, env: Env): string | null {
  for (const dir of (env['PATH'] ?? '').split(':')) {
    if (!dir.startsWith('/')) continue;
    try {
      accessSync(join(dir, name), constants.X_OK);
      return join(dir, name);
    } catch {
      // Not in this directory.
    }
  }
  return null;
}
