import { type Exchange, sendEmpty } from '../http/exchange.ts';
import { pathParameter } from './paths.ts';
import { receiveFile } from './receive.ts';

/** `POST /files/upload`: the form of clients before upload-v2; an empty reply, and parents closed to others. */
export async function handle(exchange: Exchange): Promise<void> {
  await receiveFile(exchange, pathParameter(exchange), 0o750);
  sendEmpty(exchange, 200);
}
