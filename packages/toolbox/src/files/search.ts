import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Exchange, requiredQuery } from '../http/exchange.ts';
import { JsonStream } from '../http/json-stream.ts';
import { glob } from './glob.ts';
import { absolute, named } from './paths.ts';
import { walk } from './walk.ts';

/** `GET /files/search`: files and directories whose base name matches a glob. A root that is missing holds none. */
export async function handle(exchange: Exchange): Promise<void> {
  const root = requiredQuery(exchange, 'path');
  const pattern = glob(requiredQuery(exchange, 'pattern'));
  const start = absolute(root);
  const stream = new JsonStream(exchange, '{"files":[', ']}');
  const found = await stat(start).catch(() => null);
  if (found && !found.isDirectory() && pattern.test(basename(start))) await stream.add(named(root, ''));
  if (found?.isDirectory()) {
    for await (const { relative, entry } of walk(start)) {
      if (stream.gone) return;
      if (pattern.test(entry.name)) await stream.add(named(root, relative));
    }
  }
  stream.end();
}
