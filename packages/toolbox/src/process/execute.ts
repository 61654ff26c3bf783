import { resolve } from 'node:path';
import { workDir } from '../environment/places.ts';
import { badBody } from '../errors.ts';
import { type Exchange, onGone, readJson, sendJson } from '../http/exchange.ts';
import { optionalText, text } from '../http/fields.ts';
import { sendResult, unfinished } from './reply.ts';
import { commandEnv, timeoutOf } from './request.ts';
import { run } from './run.ts';
import { userShell } from './shell.ts';

/**
 * `POST /process/execute`. Wire: the command is the shell's standard input, so there is no length limit and several lines
 * work. A command that fails, or cannot start, is still a 200: `exitCode` tells, -1 when there was none.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const command = text(body, 'command');
  if (command.trim() === '') throw badBody("field 'command' is required");
  const cwd = optionalText(body, 'cwd');
  if (cwd?.includes('\0')) throw badBody("field 'cwd' contains a NUL character");
  const timeoutMs = timeoutOf(body);
  const env = commandEnv(body);
  const outcome = await run(
    { file: userShell(env), args: [], stdin: `${command}\n`, cwd: resolve(workDir, cwd ?? ''), env, timeoutMs },
    (listener) => onGone(exchange, listener),
  );
  if (outcome.kind === 'ended') return await sendResult(exchange, outcome.exitCode ?? -1, outcome.output);
  if (outcome.kind === 'not-started') return sendJson(exchange, 200, { exitCode: -1, result: outcome.reason });
  throw await unfinished(outcome, timeoutMs);
}
