import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_MOUNT } from '@paddock/contract';
import type { Env } from '../environment/environment.ts';

/**
 * How JavaScript and TypeScript sources are run. JavaScript: by the sandbox's own `node` when its PATH has one, so that the
 * packages installed for it load; otherwise, and TypeScript always, by the Node this toolbox runs on.
 */
interface Program {
  readonly file: string;
  readonly args: readonly string[];
  readonly stdin: string;
}

export function javascript(code: string, argv: readonly string[], env: Env): Program {
  const own = onPath('node', env) ? ['node'] : ownNode();
  return { file: own[0]!, args: [...own.slice(1), '-', ...argv], stdin: prepare(code) };
}

/** Types are stripped and enums, namespaces and parameter properties transformed by Node itself: nothing is downloaded. */
export function typescript(code: string, argv: readonly string[]): Program {
  const [file, ...args] = ownNode() as [string, ...string[]];
  return { file, args: [...args, '--experimental-transform-types', '--disable-warning=ExperimentalWarning', '-', ...argv], stdin: prepare(code) };
}

/** The command that started this process up to its flags: a loader with its library path may stand before the binary. */
export function ownNode(): string[] {
  const words = readFileSync('/proc/self/cmdline', 'utf8').split('\0').slice(0, -1);
  return words.slice(0, words.length - (process.argv.length - 1) - process.execArgv.length);
}

/** A `node` a program can start like any other, where the guest runtime offers one. */
const LAUNCHER = `${GUEST_MOUNT}/bin/node`;

/**
 * Puts a prologue on the source's first line, so that line numbers stay right. It removes the `-` from the arguments, gives ES
 * modules the `require` that CommonJS has, and names a Node that can be started when the running one needs its loader.
 */
function prepare(code: string): string {
  const source = code.startsWith('#!') ? `//${code}` : code;
  const strict = /^\s*(['"])use strict\1/.test(source) ? "'use strict';" : '';
  const prologue = [
    'process.argv.splice(1,1);',
    "globalThis.require??=process.getBuiltinModule?.('node:module').createRequire(process.cwd()+'/');",
    `if(!/node[^/]*$/.test(process.execPath)){process.execPath=process.argv[0]=${JSON.stringify(LAUNCHER)}}`,
  ];
  return `${strict}${prologue.join('')}${source}`;
}

function onPath(name: string, env: Env): boolean {
  return (env['PATH'] ?? '').split(':').some((dir) => {
    try {
      accessSync(join(dir || '.', name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
