/** Reads replies of bounded size. */
import type { IncomingMessage } from 'node:http';
import { RegistryError } from './errors.ts';
import { SILENCE_MS } from './transport.ts';

/** A small body takes no longer than this, however slowly it drips. */
const BODY_MS = 60_000;

export async function readBody(reply: IncomingMessage, limit: number, who: string, signal: AbortSignal, silenceMs = SILENCE_MS): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => reply.destroy(new RegistryError('unavailable', `${who} answers too slowly`)), BODY_MS);
  try {
    for await (const chunk of silenceBound(reply, who, silenceMs)) {
      size += chunk.length;
      if (size > limit) throw new RegistryError('invalid', `${who} answers with more than ${limit} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof RegistryError) throw error;
    throw new RegistryError('unavailable', `${who} broke off its answer`, error);
  } finally {
    clearTimeout(timer);
    reply.destroy();
  }
}

export async function readJson(reply: IncomingMessage, limit: number, who: string, signal: AbortSignal): Promise<object> {
  const body = await readBody(reply, limit, who, signal);
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // judged below
  }
  throw new RegistryError('invalid', `${who} answered with something that is no JSON object`);
}

/** The body, with an error when nothing comes for a while. */
export function silenceBound(reply: IncomingMessage, who: string, silenceMs: number): AsyncIterable<Buffer> {
  reply.setTimeout(silenceMs, () => reply.destroy(new RegistryError('unavailable', `${who} sent nothing for ${silenceMs / 1_000} seconds`)));
  return reply;
}
