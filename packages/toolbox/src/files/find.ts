import { close as closeFd, constants, open as openFd, read as readFd, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Exchange, requiredQuery } from '../http/exchange.ts';
import { JsonStream } from '../http/json-stream.ts';
import { absolute, named } from './paths.ts';
import { LineScanner } from './line-scanner.ts';
import { walk } from './walk.ts';

const open = promisify(openFd);
const close = promisify(closeFd);
const read = promisify(readFd);

/** Read at a time. Most sources are smaller, so one read takes a whole file. */
const CHUNK_BYTES = 64 * 1024;

/** Files opened ahead of the one being searched: their first reads overlap. */
const AHEAD = 8;

/** Wire: a file with a NUL this early is binary and is passed over. */
const SNIFF_BYTES = 512;

/** `GET /files/find`: every line below a path that contains a text, taken literally. A root that is missing holds none. */
export async function handle(exchange: Exchange): Promise<void> {
  const root = requiredQuery(exchange, 'path');
  const pattern = Buffer.from(requiredQuery(exchange, 'pattern'));
  const start = absolute(root);
  const stream = new JsonStream(exchange, '[', ']');
  const found = await stat(start).catch(() => null);
  const queue: { name: string; opened: Promise<Opened | null> }[] = [];
  try {
    for await (const relative of filesOf(start, found)) {
      if (stream.gone) return;
      queue.push({ name: named(root, relative), opened: openFile(join(start, relative)) });
      if (queue.length >= AHEAD) await next();
    }
    while (queue.length > 0 && !stream.gone) await next();
  } finally {
    for (const { opened } of queue) void opened.then((file) => file && close(file.fd));
  }
  stream.end();

  async function next(): Promise<void> {
    const { name, opened } = queue.shift()!;
    const file = await opened;
    if (file) await searchFile(name, file, pattern, stream).finally(() => close(file.fd));
  }
}

async function* filesOf(start: string, found: Stats | null): AsyncGenerator<string> {
  if (found?.isFile()) yield '';
  if (!found?.isDirectory()) return;
  for await (const { relative, entry } of walk(start)) if (entry.isFile()) yield relative;
}

interface Opened {
  readonly fd: number;
  readonly first: Buffer;
}

/** @returns null for what cannot be read or is no text */
async function openFile(path: string): Promise<Opened | null> {
  let fd: number | null = null;
  try {
    fd = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await read(fd, buffer, 0, CHUNK_BYTES, null);
    const first = buffer.subarray(0, bytesRead);
    if (bytesRead > 0 && !first.subarray(0, SNIFF_BYTES).includes(0)) return { fd, first };
  } catch {
    // Unreadable files hold nothing for this caller.
  }
  if (fd !== null) await close(fd).catch(() => {});
  return null;
}

async function searchFile(file: string, opened: Opened, pattern: Buffer, stream: JsonStream): Promise<void> {
  const scanner = new LineScanner(pattern);
  let chunk = opened.first;
  while (!stream.gone) {
    for (const { line, content } of scanner.feed(chunk)) await stream.add({ file, line, content });
    if (scanner.stopped) return;
    const { bytesRead, buffer } = await read(opened.fd, Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null).catch(() => ({ bytesRead: 0, buffer: chunk }));
    if (bytesRead === 0) break;
    chunk = buffer.subarray(0, bytesRead);
  }
  for (const { line, content } of scanner.end()) await stream.add({ file, line, content });
}
