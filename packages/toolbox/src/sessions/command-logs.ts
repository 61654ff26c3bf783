import { fail } from '../errors.ts';
import { type Exchange, query } from '../http/exchange.ts';
import type { UpgradeExchange } from '../http/upgrade.ts';
import { asksForSplit, outputForm } from './client.ts';
import { ENTRYPOINT_ID, entrypoint } from './entrypoint.ts';
import type { Log } from './log.ts';
import { LogLost } from './log-reader.ts';
import { replyJson, replyText } from './log-reply.ts';
import { streamToReply, streamToSocket } from './log-stream.ts';
import { findCommand } from './sessions.ts';

/** `GET …/command/{commandId}/logs` and `GET /process/session/entrypoint/logs`, as one reply or, with `follow=true`, as a stream. */
export async function handle(exchange: Exchange): Promise<void> {
  const log = logOf(exchange);
  // Wire: followers by plain HTTP have always been given the combined text, whatever their version.
  if (follows(exchange)) return await streamToReply(exchange, log, asksForSplit(exchange.request));
  const form = formOf(exchange);
  try {
    if (form === 'split') await replyJson(exchange, log, 200, {}, form);
    else await replyText(exchange, log, form);
  } catch (error) {
    if (error instanceof LogLost) throw lost();
    throw error;
  }
}

/** The same paths as a WebSocket, with and without `follow=true`. */
export async function upgrade(exchange: UpgradeExchange): Promise<void> {
  await streamToSocket(exchange, logOf(exchange), follows(exchange), formOf(exchange) !== 'combined');
}

type Request = Pick<UpgradeExchange, 'request' | 'search' | 'params'>;

function logOf({ params: [sessionId, commandId] }: Request): Log {
  const { log } = sessionId === undefined ? entrypoint().command : findCommand(sessionId, commandId!);
  if (log.disposed) throw lost();
  return log;
}

const lost = (): Error => fail('NOT_FOUND', 'not found: the log of this command is not kept any longer');

/** Wire: the entrypoint's log always keeps its markers. */
function formOf({ request, params }: Request): ReturnType<typeof outputForm> {
  const form = outputForm(request);
  return form === 'combined' && (params[0] ?? ENTRYPOINT_ID) === ENTRYPOINT_ID ? 'marked' : form;
}

const follows = (exchange: Request): boolean => ['true', '1'].includes(query(exchange, 'follow') ?? '');
