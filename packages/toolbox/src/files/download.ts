import { basename } from 'node:path';
import { badRequest } from '../errors.ts';
import type { Exchange } from '../http/exchange.ts';
import { contentDisposition } from './disposition.ts';
import { pathParameter } from './paths.ts';
import { closeReadable, openReadable, sendRange, type ReadableFile } from './readable-file.ts';

/** `GET /files/download`: one file, or one range of it. */
export async function handle(exchange: Exchange): Promise<void> {
  const path = pathParameter(exchange);
  const file = await openReadable(path).catch((error: { code?: string }) => {
    throw error.code === 'INVALID_FILE_PATH' ? badRequest((error as Error).message) : error;
  });
  try {
    const { response, request, method } = exchange;
    const headers: Record<string, string | number> = {
      'Content-Disposition': contentDisposition('attachment', basename(path)),
      'Content-Type': 'application/octet-stream',
      'Content-Description': 'File Transfer',
      'Content-Transfer-Encoding': 'binary',
      'Last-Modified': file.modified.toUTCString(),
      'Accept-Ranges': 'bytes',
      Expires: '0',
      'Cache-Control': 'must-revalidate',
      Pragma: 'public',
    };
    const range = rangeOf(request.headers.range, request.headers['if-range']?.toString(), file);
    if (range === 'unsatisfiable') {
      response.writeHead(416, { 'Content-Range': `bytes */${file.size}`, 'Content-Length': 0 });
      response.end();
      return;
    }
    const from = range?.from ?? 0;
    const length = range ? range.to - range.from + 1 : file.size;
    if (length !== null) headers['Content-Length'] = length;
    if (range) headers['Content-Range'] = `bytes ${range.from}-${range.to}/${file.size}`;
    response.writeHead(range ? 206 : 200, headers);
    if (method === 'HEAD' || (await sendRange(file, response, from, length))) response.end();
  } finally {
    await closeReadable(file);
  }
}

interface Range {
  readonly from: number;
  /** Last byte, included. */
  readonly to: number;
}

/** The one range asked for; null when the whole file is to be sent, as for several ranges at once, which a server may refuse so. */
function rangeOf(header: string | undefined, condition: string | undefined, file: ReadableFile): Range | 'unsatisfiable' | null {
  const match = header === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(header.trim());
  if (!match || file.size === null || (match[1] === '' && match[2] === '')) return null;
  if (condition !== undefined && condition !== file.modified.toUTCString()) return null;
  const last = file.size - 1;
  if (match[1] === '') {
    const suffix = Number(match[2]);
    return suffix === 0 || file.size === 0 ? 'unsatisfiable' : { from: Math.max(0, file.size - suffix), to: last };
  }
  const from = Number(match[1]);
  const to = match[2] === '' ? last : Math.min(Number(match[2]), last);
  if (match[2] !== '' && Number(match[2]) < from) return null;
  return from > last ? 'unsatisfiable' : { from, to };
}
