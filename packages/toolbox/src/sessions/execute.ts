import { badBody, fail } from '../errors.ts';
import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { optionalBoolean, text } from '../http/fields.ts';
import { outputForm } from './client.ts';
import { LogLost } from './log-reader.ts';
import { replyJson } from './log-reply.ts';
import { session } from './sessions.ts';

/**
 * `POST /process/session/{sessionId}/exec`. Wire: 202 with the id alone when it runs in the background, else 200 with its outcome; there is no
 * time limit, and the command goes on when the client goes away.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const id = exchange.params[0]!;
  const body = await readJson(exchange);
  const command = text(body, 'command');
  if (command.includes('\0')) throw badBody("field 'command' contains a NUL character");
  const runsAsync = (optionalBoolean(body, 'runAsync') ?? false) || (optionalBoolean(body, 'async') ?? false);
  const started = await session(id).execute(command, runsAsync, !optionalBoolean(body, 'suppressInputEcho'));
  if (runsAsync) return sendJson(exchange, 202, { cmdId: started.id });
  await started.ended;
  try {
    await replyJson(exchange, started.log, 200, { cmdId: started.id, exitCode: started.exitCode }, outputForm(exchange.request));
  } catch (error) {
    if (error instanceof LogLost) throw fail('SESSION_ENDED', `gone: session '${id}' was deleted while the command ran`);
    throw error;
  }
}
