import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { optionalTexts, presentText, text } from '../http/fields.ts';
import { badBody, fromErrno, ToolboxError } from '../errors.ts';
import { absolute } from './paths.ts';

/** Largest file that is edited: it is held in memory twice. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/**
 * `POST /files/replace`: every occurrence of a literal text in each file. Wire: always 200, each file has its own outcome.
 * Files are written in place, so their mode, owner and links stay; bytes that are no UTF-8 are kept as they are.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const files = optionalTexts(body, 'files');
  if (!files) throw badBody("field 'files' is required");
  const pattern = Buffer.from(text(body, 'pattern'));
  const value = Buffer.from(presentText(body, 'newValue'));
  const results = [];
  for (const file of files) {
    try {
      await replaceIn(absolute(file), pattern, value);
      results.push({ file, success: true });
    } catch (error) {
      results.push({ file, success: false, error: fromErrno(error, file).message });
    }
  }
  sendJson(exchange, 200, results);
}

async function replaceIn(path: string, pattern: Buffer, value: Buffer): Promise<void> {
  const file = await open(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new ToolboxError(400, 'BAD_REQUEST', 'not a regular file');
    if (stat.size > MAX_FILE_BYTES) throw new ToolboxError(400, 'BAD_REQUEST', `file too large to edit: over ${MAX_FILE_BYTES / 1024 / 1024} MiB`);
    const before = await file.readFile();
    const after = replaceAll(before, pattern, value);
    if (after === before) return;
    // Longer text first grows the file: when the disk refuses, the old text is still all there to be put back.
    try {
      await writeAll(file, after);
    } catch (error) {
      await writeAll(file, before).then(() => file.truncate(before.length)).catch(() => {});
      throw error;
    }
    await file.truncate(after.length);
  } finally {
    await file.close();
  }
}

async function writeAll(file: { write(buffer: Buffer, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> }, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten;
}

/** @returns the very buffer given when the pattern does not occur */
function replaceAll(bytes: Buffer, pattern: Buffer, value: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let at = 0;
  for (let hit = bytes.indexOf(pattern); hit >= 0; hit = bytes.indexOf(pattern, at)) {
    pieces.push(bytes.subarray(at, hit), value);
    at = hit + pattern.length;
  }
  return at === 0 ? bytes : Buffer.concat([...pieces, bytes.subarray(at)]);
}
