import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Exchange, sendJson } from '../http/exchange.ts';
import { fileInfo } from './file-info.ts';
import { pathParameter } from './paths.ts';

/** `GET /files/info`: one file; a symbolic link is followed. */
export async function handle(exchange: Exchange): Promise<void> {
  const path = pathParameter(exchange);
  sendJson(exchange, 200, fileInfo(basename(path) || '/', path, await stat(path, { bigint: true })));
}
