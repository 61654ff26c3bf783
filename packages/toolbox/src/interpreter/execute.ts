import { MAX_JSON_BYTES } from '../http/exchange.ts';
import { optionalEnv, optionalNumber, optionalText } from '../http/fields.ts';
import { Outlet } from '../http/outlet.ts';
import { becameBusy } from '../http/quiet.ts';
import type { UpgradeExchange } from '../http/upgrade.ts';
import { contextEndedByRestart } from '../sessions/orphans.ts';
import { RunClient } from './client.ts';
import type { Context, Job } from './context.ts';
import { findContext } from './contexts.ts';

/** Wire: seconds when the client names none; 0 is no limit. */
const DEFAULT_TIMEOUT_S = 600;

const STATE_LOST = 'the toolbox was restarted and the state of this context is lost; create a new one';

/** `GET /process/interpreter/execute`: one socket, one run. The first message says what; early failures are told by the close frame alone. */
export async function upgrade(exchange: UpgradeExchange): Promise<void> {
  const socket = await exchange.accept(MAX_JSON_BYTES);
  let context: Context | undefined;
  const outlet = new Outlet(socket, exchange.request.socket, () => context?.balance(client));
  const client = new RunClient(outlet);
  socket.once('message', (data) => {
    becameBusy();
    const request = parse(data as Buffer);
    if ('ended' in request) {
      // Wire: a context that is not active closes with 1008. The frame names the reason for clients that read frames only.
      client.error({ name: 'ContextLost', value: STATE_LOST, traceback: '' });
      return outlet.close(1008, STATE_LOST);
    }
    if ('refusal' in request) return outlet.close(...request.refusal);
    context = request.context;
    context.submit({ ...request.job, client });
  });
}

type Parsed = { readonly context: Context; readonly job: Omit<Job, 'client'> } | { readonly refusal: readonly [code: number, reason: string] } | { readonly ended: true };

function parse(data: Buffer): Parsed {
  let body: Readonly<Record<string, unknown>>;
  let fields: { code: string; id: string | undefined; timeout: number; envs: Readonly<Record<string, string>> };
  try {
    body = JSON.parse(data.toString('utf8')) as Record<string, unknown>;
    if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new Error('a JSON object is expected');
    fields = {
      code: optionalText(body, 'code') ?? '', id: optionalText(body, 'contextId'),
      timeout: optionalNumber(body, 'timeout') ?? DEFAULT_TIMEOUT_S, envs: optionalEnv(body, 'envs') ?? {},
    };
  } catch (error) {
    return { refusal: [1002, `invalid request: ${(error as Error).message}`] };
  }
  const { code, id, timeout, envs } = fields;
  if (code === '') return { refusal: [1008, 'code is required'] };
  if (timeout < 0) return { refusal: [1008, 'timeout must not be negative'] };
  const context = findContext(id);
  if (context === undefined && id !== undefined && contextEndedByRestart(id)) return { ended: true };
  if (context === undefined) return { refusal: [1008, `context not found: ${id}`] };
  return { context, job: { code, envs, timeoutMs: timeout === 0 ? null : timeout * 1000 } };
}

