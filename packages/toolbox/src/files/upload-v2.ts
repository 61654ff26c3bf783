import { basename } from 'node:path';
import { type Exchange, sendJson } from '../http/exchange.ts';
import { pathParameter } from './paths.ts';
import { receiveFile } from './receive.ts';

/** `POST /files/upload-v2`: one file as part `file` or as raw body; also the target of signed upload URLs. */
export async function handle(exchange: Exchange): Promise<void> {
  const path = pathParameter(exchange);
  await receiveFile(exchange, path, 0o755);
  sendJson(exchange, 200, { name: basename(path), path, type: 'file' });
}
