import type { ToolboxLimits } from '@paddock/contract';
import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { optionalEnv, optionalText, optionalTexts } from '../http/fields.ts';
import { applyInit, claimEntrypoint, currentEnv } from './environment.ts';
import { version } from './info.ts';

/**
 * `POST /init`: what the sandbox is told at start. Answered as soon as the toolbox serves: the reply is the signal that it is ready.
 * The token is accepted and not kept: nothing here exports telemetry.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  optionalText(body, 'token');
  const env = optionalEnv(body, 'env');
  const entrypoint = optionalTexts(body, 'entrypoint');
  const limits = limitsIn(body['limits']);
  applyInit({ ...(env === undefined ? {} : { env }), ...(limits === null ? {} : { limits }) });
  const starts = entrypoint !== undefined && entrypoint.length > 0 && claimEntrypoint();
  const entrypointEnv = currentEnv();
  sendJson(exchange, 200, { message: 'Initialized', version });
  if (starts) await (await import('../sessions/entrypoint.ts')).startEntrypoint(entrypoint, entrypointEnv);
}

/** Only the runner sends it: anything else than three positive numbers is no limit. */
function limitsIn(value: unknown): ToolboxLimits | null {
  if (typeof value !== 'object' || value === null) return null;
  const { cpus, memoryBytes, diskBytes } = value as Record<string, unknown>;
  return [cpus, memoryBytes, diskBytes].every((number) => typeof number === 'number' && number > 0) ? value as ToolboxLimits : null;
}
