import { closeSync, constants, openSync } from 'node:fs';
import net from 'node:net';
import { givePipeBack, takePipe } from '../process/pipes.ts';
import { fail } from '../errors.ts';

/**
 * One pipe on which all shells report: a line `<shell> <command> <exit code>` each, short enough to arrive whole. They open it for
 * each report, so no process they start inherits it.
 */
type Listener = (command: number, exitCode: number) => void;

const listeners = new Map<number, Listener>();
let opening: Promise<string> | null = null;

/** @returns the name by which shells open the pipe */
export async function statusPipe(): Promise<string> {
  return await (opening ??= open().catch((error: unknown) => {
    opening = null;
    throw error;
  }));
}

export function onStatus(shell: number, listener: Listener): void {
  listeners.set(shell, listener);
}

export function offStatus(shell: number): void {
  listeners.delete(shell);
}

async function open(): Promise<string> {
  const pipe = await takePipe();
  if (pipe === null) throw noPipes();
  // Open for both, so that it never ends.
  const fd = openSync(pipe.path, constants.O_RDWR | constants.O_NONBLOCK);
  closeSync(pipe.readFd);
  closeSync(pipe.writeFd);
  givePipeBack(pipe, false);
  let text = '';
  new net.Socket({ fd, readable: true, writable: false }).unref().on('error', () => undefined).on('data', (chunk) => {
    const lines = (text + chunk.toString('latin1')).split('\n');
    text = lines.pop()!.slice(-100);
    for (const line of lines) {
      const [shell, command, exitCode] = line.split(' ').map(Number);
      if (Number.isInteger(command) && Number.isInteger(exitCode)) listeners.get(shell!)?.(command!, exitCode!);
    }
  });
  return `/proc/${process.pid}/fd/${fd}`;
}

export const noPipes = (): Error => fail('INTERNAL_SERVER_ERROR', 'internal server error: named pipes cannot be made in this sandbox');
