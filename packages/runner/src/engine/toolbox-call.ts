/** The one thing the runner says to a toolbox. */
import { request } from 'node:http';
import type { ToolboxInit } from '@paddock/contract';

/** Replies to `/init` are a few bytes; more is not a toolbox. */
const MAX_REPLY_BYTES = 64 * 1024;

/**
 * `POST /init`. May be sent before the toolbox runs: the connection then waits in the socket's backlog, and the reply says
 * that the toolbox serves.
 * @returns the toolbox's version, where it tells
 */
export function initToolbox(socketPath: string, init: ToolboxInit, signal: AbortSignal): Promise<string | null> {
  const body = JSON.stringify(init);
  return new Promise((resolve, reject) => {
    const call = request({
      socketPath, signal, method: 'POST', path: '/init', agent: false,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    });
    call.once('error', reject);
    call.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MAX_REPLY_BYTES) response.destroy(new Error('The reply to /init is too long'));
      });
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode !== 200) return reject(new Error(`/init answered ${response.statusCode}: ${text.slice(0, 500)}`));
        resolve(versionIn(text));
      });
    });
    call.end(body);
  });
}

function versionIn(text: string): string | null {
  try {
    const reply = JSON.parse(text) as { version?: unknown };
    return typeof reply.version === 'string' ? reply.version : null;
  } catch {
    return null; // an older toolbox answers without a body
  }
}
