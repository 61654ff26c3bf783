import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Env } from '../environment/environment.ts';
import { workDir } from '../environment/places.ts';
import { errnoOf, fail } from '../errors.ts';
import { takePipe } from '../process/pipes.ts';
import { shellExitCode } from '../process/run.ts';
import { Log } from './log.ts';
import { ENTRYPOINT_NOTE, leftEntrypoint } from './orphans.ts';
import { OutputPipe } from './output-pipe.ts';
import { isAlive, statOf } from './process-tree.ts';
import { STDERR, STDOUT, type Stream } from './records.ts';
import { type Note, scratchPath } from './scratch.ts';
import { type SessionView, viewOf } from './session.ts';
import { noPipes } from './status-pipe.ts';

/** Wire: the reserved session of the snapshot's entrypoint, and its single command. */
export const ENTRYPOINT_ID = 'entrypoint';
const COMMAND_ID = 'entrypoint_command';

/** Exit code of an entrypoint that ended under a later toolbox than the one that started it: only a parent is told the true one. */
const UNKNOWN_EXIT_CODE = -1;

/** How often such an entrypoint, nobody's child any more, is looked for once its output has ended. */
const LOOK_MS = 1000;

/** What a shell reports for a program that is not there, and for one that cannot be run. */
const NOT_FOUND = 127;
const NOT_RUN = 126;

const STREAMS: readonly (readonly [Stream, string])[] = [[STDOUT, 'entrypoint-1'], [STDERR, 'entrypoint-2']];

interface EntrypointNote extends Note {
  readonly command: string;
}

/**
 * The entrypoint: started once in the work dir, never ended by the toolbox; its own end does not end the sandbox. It holds its output
 * pipes open for reading too, so that it survives a toolbox that dies: it waits when they are full, and the next toolbox goes on reading.
 */
class Entrypoint {
  readonly command: { readonly id: string; readonly text: string; exitCode: number | null; readonly log: Log };
  #open = 0;

  constructor(text: string) {
    this.command = { id: COMMAND_ID, text, exitCode: null, log: new Log('entrypoint') };
  }

  view(): SessionView {
    return { sessionId: ENTRYPOINT_ID, commands: [viewOf(this.command)] };
  }

  async start(argv: readonly string[], env: Env): Promise<void> {
    const paths: string[] = [];
    for (const [, name] of STREAMS) {
      const pipe = await takePipe();
      if (pipe === null) throw noPipes();
      closeSync(pipe.readFd);
      closeSync(pipe.writeFd);
      // Out of the pool's directory, which a later toolbox empties.
      renameSync(pipe.path, scratchPath(name));
      paths.push(scratchPath(name));
    }
    const fds = paths.map((path) => openSync(path, constants.O_RDWR));
    try {
      this.#read(paths);
      const child = spawn(argv[0]!, argv.slice(1), { cwd: workDir, env, detached: true, stdio: ['ignore', ...fds] });
      this.#watch(child);
      if (child.pid === undefined) return;
      const note: EntrypointNote = { sessionId: ENTRYPOINT_ID, pid: child.pid, startTicks: statOf(child.pid)?.startTicks ?? '', command: this.command.text };
      writeFileSync(scratchPath(ENTRYPOINT_NOTE), JSON.stringify(note));
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  }

  /** Goes on with what an earlier toolbox started. */
  adopt(note: EntrypointNote, dir: string): void {
    this.say('the toolbox was restarted: what the entrypoint printed before is not kept');
    const paths = STREAMS.map(([, name]) => {
      renameSync(join(dir, name), scratchPath(name));
      return scratchPath(name);
    });
    this.#read(paths);
    writeFileSync(scratchPath(ENTRYPOINT_NOTE), JSON.stringify(note));
    const look = setInterval(() => {
      if (isAlive(note.pid, note.startTicks)) return;
      clearInterval(look);
      this.#ended(UNKNOWN_EXIT_CODE);
    }, LOOK_MS).unref();
  }

  say(text: string): void {
    this.command.log.append(STDERR, Buffer.alloc(0), Buffer.from(`${text}\n`));
  }

  fails(error: unknown): void {
    this.say(`the entrypoint did not start: ${(error as Error).message}`);
    this.#ended(errnoOf(error) === 'ENOENT' ? NOT_FOUND : NOT_RUN);
  }

  #read(paths: readonly string[]): void {
    STREAMS.forEach(([stream], at) => {
      const readFd = openSync(paths[at]!, constants.O_RDONLY | constants.O_NONBLOCK);
      this.#open++;
      new OutputPipe({ readFd }, this.command.log, stream, () => {
        this.#open--;
        this.#closeIfOver();
      });
    });
  }

  #watch(child: ChildProcess): void {
    child.once('error', (error) => this.fails(error));
    child.once('exit', (code, signal) => this.#ended(shellExitCode(code, signal)));
    child.unref();
  }

  #ended(exitCode: number): void {
    this.command.exitCode = exitCode;
    rmSync(scratchPath(ENTRYPOINT_NOTE), { force: true });
    this.#closeIfOver();
  }

  #closeIfOver(): void {
    if (this.#open === 0 && this.command.exitCode !== null) this.command.log.close();
  }
}

let current: Entrypoint | null = leftEntrypoint === null ? null : takeOver(leftEntrypoint);

/** Throws 404 when the sandbox has none. */
export function entrypoint(): Entrypoint {
  if (current === null) throw fail('PROCESS_NOT_FOUND', 'not found: this sandbox has no entrypoint session');
  return current;
}

export async function startEntrypoint(argv: readonly string[], env: Env): Promise<void> {
  const started = (current = new Entrypoint(argv.map(quoted).join(' ')));
  try {
    await started.start(argv, env);
  } catch (error) {
    started.fails(error);
  }
}

function takeOver(dir: string): Entrypoint | null {
  try {
    const note = JSON.parse(readFileSync(join(dir, ENTRYPOINT_NOTE), 'utf8')) as EntrypointNote;
    const left = new Entrypoint(note.command);
    left.adopt(note, dir);
    return left;
  } catch (error) {
    console.error(JSON.stringify({ level: 'error', message: `the entrypoint in ${basename(dir)} cannot be taken over`, reason: (error as Error).message }));
    return null;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
