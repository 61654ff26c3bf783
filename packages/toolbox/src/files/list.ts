import type { BigIntStats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { badRequest } from '../errors.ts';
import { type Exchange, query } from '../http/exchange.ts';
import { JsonStream } from '../http/json-stream.ts';
import { fileInfo } from './file-info.ts';
import { absolute } from './paths.ts';

/** Files whose facts are asked for at once: enough to keep the thread pool busy. */
const AT_ONCE = 64;

/**
 * `GET /files`: a directory's entries sorted by name; with `depth` also what lies below, each directory before its contents.
 * Links are followed for their facts, never walked into; a link to nowhere is left out.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const root = absolute(query(exchange, 'path') || '.');
  const depth = depthOf(query(exchange, 'depth'));
  const names = await sortedNames(root);
  const stream = new JsonStream(exchange, '[', ']');
  await list(root, names, depth, stream);
  stream.end();
}

async function list(dir: string, names: readonly string[], depth: number, stream: JsonStream): Promise<void> {
  for (let from = 0; from < names.length && !stream.gone; from += AT_ONCE) {
    const batch = names.slice(from, from + AT_ONCE);
    const stats = await Promise.all(batch.map((name) => stat(join(dir, name), { bigint: true }).catch(() => null)));
    for (const [at, name] of batch.entries()) {
      const found: BigIntStats | null = stats[at]!;
      if (!found) continue;
      const path = join(dir, name);
      await stream.add(fileInfo(name, path, found));
      if (depth > 1 && found.isDirectory()) await descend(path, depth - 1, stream);
    }
  }
}

async function descend(dir: string, depth: number, stream: JsonStream): Promise<void> {
  const { lstat } = await import('node:fs/promises');
  const itself = await lstat(dir).catch(() => null);
  if (!itself?.isDirectory()) return;
  // A directory that may not be read is listed, its contents are not.
  const names = await sortedNames(dir).catch(() => []);
  await list(dir, names, depth, stream);
}

const sortedNames = async (dir: string): Promise<string[]> => (await readdir(dir)).sort();

function depthOf(text: string | undefined): number {
  if (text === undefined || text === '') return 1;
  const depth = /^\+?\d{1,9}$/.test(text) ? Number(text) : 0;
  if (depth < 1) throw badRequest(`invalid depth: ${text.slice(0, 50)}, a whole number of at least 1 is expected`);
  return depth;
}
