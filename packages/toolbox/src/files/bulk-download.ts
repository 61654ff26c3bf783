import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { extname } from 'node:path';
import { badBody, envelope, fail, fromErrno, type ToolboxError } from '../errors.ts';
import { type Exchange, readJson } from '../http/exchange.ts';
import { optionalTexts } from '../http/fields.ts';
import { contentDisposition } from './disposition.ts';
import { absolute } from './paths.ts';
import { closeReadable, drained, openReadable, sendRange, type ReadableFile } from './readable-file.ts';

/**
 * `POST /files/bulk-download`: the files as parts of one multipart reply, in the order asked for. A file that cannot be
 * read becomes a part named `error` with the error envelope; a failure in the middle of one cuts the connection, so that the
 * client sees that the closing boundary is missing. Wire: a part's filename is the very text the client asked for.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const paths = optionalTexts(await readJson(exchange), 'paths');
  if (!paths || paths.length === 0) throw badBody("field 'paths' must name at least one file");
  const { response } = exchange;
  // Clients read the boundary from the header. It is new each time, so no file can contain it.
  const boundary = `DAYTONA-FILE-BOUNDARY-${randomBytes(16).toString('hex')}`;
  const end = `--${boundary}--\r\n`;
  const first: Part[] = [];
  try {
    for (const path of paths.slice(0, OPEN_AT_ONCE)) first.push(await openPart(path, boundary));
    const length = first.length === paths.length ? lengthOf(first, end) : null;
    response.writeHead(200, { 'Content-Type': `multipart/form-data; boundary=${boundary}`, ...(length === null ? {} : { 'Content-Length': length }) });
    for (const [index, path] of paths.entries()) {
      if (response.destroyed) return;
      // Taken out: from here on it is `send` that closes it.
      const part = index < OPEN_AT_ONCE ? first.shift()! : await openPart(path, boundary);
      if (!(await send(part, response))) return;
    }
    response.end(end);
  } finally {
    for (const { file } of first) if (file) await closeReadable(file);
  }
}

/**
 * Files opened before the reply begins. Their sizes make a reply of known length, which costs every hop much less than one in
 * chunks. Each holds its first 256 KiB in memory, so more than a few would cost more than they save.
 */
const OPEN_AT_ONCE = 8;

interface Part {
  readonly head: string;
  readonly file: ReadableFile | null;
}

async function openPart(path: string, boundary: string): Promise<Part> {
  try {
    const file = await openReadable(absolute(path));
    return { file, head: partHead(boundary, 'file', path, CONTENT_TYPES[extname(path).toLowerCase()] ?? OCTETS, file.size) };
  } catch (error) {
    return { file: null, head: errorPart(boundary, path, partError(error, path)) };
  }
}

/** Bytes of the whole reply, or null when a file does not know its size. */
function lengthOf(parts: readonly Part[], end: string): number | null {
  let length = Buffer.byteLength(end);
  for (const { head, file } of parts) {
    if (file?.size === null) return null;
    length += Buffer.byteLength(head) + (file ? file.size + LINE_END.length : 0);
  }
  return length;
}

const LINE_END = '\r\n';

/** @returns false when the client went away */
async function send({ head, file }: Part, response: ServerResponse): Promise<boolean> {
  if (!response.write(head)) await drained(response);
  if (!file) return true;
  try {
    if (!(await sendRange(file, response, 0, file.size))) return false;
    response.write(LINE_END);
    return true;
  } finally {
    await closeReadable(file);
  }
}

function partHead(boundary: string, name: string, path: string, type: string, length: number | null): string {
  const size = length === null ? '' : `Content-Length: ${length}\r\n`;
  return `--${boundary}\r\nContent-Disposition: ${contentDisposition(`form-data; name="${name}"`, path)}\r\nContent-Type: ${type}\r\n${size}\r\n`;
}

function errorPart(boundary: string, path: string, error: ToolboxError): string {
  const body = envelope(error, 'POST', path);
  return `${partHead(boundary, 'error', path, 'application/json', Buffer.byteLength(body))}${body}\r\n`;
}

/** Wire: of a part's errors only a missing file and a refused one keep their codes; the caller's other mistakes are INVALID_FILE_PATH. */
function partError(thrown: unknown, path: string): ToolboxError {
  const error = fromErrno(thrown, path);
  if (error.code === 'FILE_NOT_FOUND' || error.code === 'FILE_ACCESS_DENIED' || error.code === 'INVALID_FILE_PATH') return error;
  return fail(error.status < 500 ? 'INVALID_FILE_PATH' : 'FILE_READ_FAILED', error.message);
}

const OCTETS = 'application/octet-stream';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8', '.csv': 'text/csv; charset=utf-8', '.gif': 'image/gif', '.gz': 'application/gzip',
  '.htm': 'text/html; charset=utf-8', '.html': 'text/html; charset=utf-8', '.jpeg': 'image/jpeg', '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8', '.json': 'application/json', '.md': 'text/markdown; charset=utf-8', '.mp4': 'video/mp4',
  '.pdf': 'application/pdf', '.png': 'image/png', '.svg': 'image/svg+xml', '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm', '.webp': 'image/webp', '.xml': 'text/xml; charset=utf-8', '.zip': 'application/zip',
};
