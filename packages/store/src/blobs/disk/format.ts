import type { FileHandle } from 'node:fs/promises';
import { BlobError, type BlobInfo } from '../blobs.ts';

/**
 * A blob's file: its content from offset 0, then a footer (JSON, its length in four bytes, four bytes of magic). Content and footer are
 * one file and so one rename, and the footer is found without reading the content.
 */
export interface Footer {
  readonly size: number;
  readonly etag: string;
  /** Milliseconds since 1970. */
  readonly modified: number;
  readonly type: string | null;
  readonly meta: Readonly<Record<string, string>>;
  /** The content is not here but in the files of this directory below `pieces`. */
  readonly pieces?: string;
}

const MAGIC = Buffer.from('PdB1');
const TAIL = 8;
/** Nearly every footer fits, so that a head is one read. */
const FIRST_READ = 1024;
const MAX_FOOTER = 64 * 1024;

export function encodeFooter(footer: Footer): Buffer {
  const json = Buffer.from(JSON.stringify(footer));
  if (json.length > MAX_FOOTER) throw new BlobError('STORE_FAILED', `Metadata of at most ${MAX_FOOTER} bytes can be kept with a blob`);
  const tail = Buffer.alloc(TAIL);
  tail.writeUInt32BE(json.length);
  MAGIC.copy(tail, 4);
  return Buffer.concat([json, tail]);
}

/** @param whole files up to this size are read completely and come back as `content` */
export async function readFooter(file: FileHandle, whole = 0): Promise<{ footer: Footer; content: Buffer | null }> {
  const { size } = await file.stat();
  const first = await readAt(file, Math.max(0, size - Math.max(FIRST_READ, whole)), size);
  if (first.length < TAIL || !first.subarray(-4).equals(MAGIC)) throw damaged();
  const length = first.readUInt32BE(first.length - TAIL);
  if (length > MAX_FOOTER || length + TAIL > size) throw damaged();
  const end = length + TAIL <= first.length ? first : await readAt(file, size - TAIL - length, size);
  let footer: Footer;
  try {
    footer = JSON.parse(end.toString('utf8', end.length - TAIL - length, end.length - TAIL)) as Footer;
  } catch {
    throw damaged();
  }
  return { footer, content: footer.pieces === undefined && first.length === size ? first.subarray(0, footer.size) : null };
}

export function toInfo(key: string, { size, etag, modified, type, meta }: Footer): BlobInfo {
  return { key, size, etag, modifiedAt: new Date(modified), contentType: type, metadata: meta };
}

async function readAt(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(end - start);
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, start + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function damaged(): BlobError {
  return new BlobError('STORE_FAILED', 'The file of a blob is damaged');
}
