import { badRequest } from '../errors.ts';

/** What a multipart body consists of, in order: each part begins, brings data in pieces, and ends. */
export type MultipartEvent =
  | { readonly type: 'part'; readonly name: string; readonly filename: string | null }
  | { readonly type: 'data'; readonly data: Buffer }
  | { readonly type: 'end' };

/** A part's headers are a few lines; more is an attack or a mistake. */
const MAX_HEADER_BYTES = 16 * 1024;

const CRLF = Buffer.from('\r\n');
const HEADERS_END = Buffer.from('\r\n\r\n');
/** Blanks a boundary line may be padded with before it counts as malformed. */
const MAX_PADDING_BYTES = 200;
const DASHES = Buffer.from('--');

/** The boundary of a multipart content type, or null when it is another type. */
export function boundaryOf(contentType: string | undefined): string | null {
  if (contentType === undefined || !/^\s*multipart\//i.test(contentType)) return null;
  const match = /;\s*boundary=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i.exec(contentType);
  const boundary = match?.[1]?.replace(/\\(.)/g, '$1') ?? match?.[2];
  if (!boundary || boundary.length > 200) throw badRequest('the multipart body has no valid boundary');
  return boundary;
}

/**
 * Splits a multipart stream as it arrives. Data is passed on as slices of the chunks it came in; what is held back between
 * two chunks is at most a delimiter, or the headers of a part.
 */
export class MultipartScanner {
  readonly #delimiter: Buffer;
  /** Unread bytes of earlier chunks. Begins as a line end, so that the first boundary looks like all others. */
  #rest: Buffer = CRLF;
  #state: 'preamble' | 'boundary' | 'headers' | 'body' | 'done' = 'preamble';

  constructor(boundary: string) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`);
  }

  /** The closing boundary was seen: what follows is of no interest. */
  get done(): boolean {
    return this.#state === 'done';
  }

  *feed(chunk: Buffer): Generator<MultipartEvent> {
    if (this.#state === 'done') return;
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = bytes.subarray(0, 0);
    for (;;) {
      switch (this.#state) {
        case 'preamble':
        case 'body': {
          const inBody = this.#state === 'body';
          const at = bytes.indexOf(this.#delimiter);
          if (at < 0) {
            const safe = this.#safeLength(bytes);
            if (inBody && safe > 0) yield { type: 'data', data: bytes.subarray(0, safe) };
            this.#rest = bytes.subarray(safe);
            return;
          }
          if (inBody) {
            if (at > 0) yield { type: 'data', data: bytes.subarray(0, at) };
            yield { type: 'end' };
          }
          bytes = bytes.subarray(at + this.#delimiter.length);
          this.#state = 'boundary';
          break;
        }
        case 'boundary': {
          if (bytes.length < 2) return void (this.#rest = bytes);
          if (bytes.subarray(0, 2).equals(DASHES)) return void (this.#state = 'done');
          const end = bytes.indexOf(CRLF);
          if (end < 0 && bytes.length <= MAX_PADDING_BYTES) return void (this.#rest = bytes);
          // Only blanks may stand between a boundary and its line end.
          if (end < 0 || bytes.subarray(0, end).some((byte) => byte !== 0x20 && byte !== 0x09)) throw badRequest('malformed multipart body: text after a boundary');
          // The line end stays: headers that are empty end with it at once.
          bytes = bytes.subarray(end);
          this.#state = 'headers';
          break;
        }
        case 'headers': {
          const end = bytes.indexOf(HEADERS_END);
          if (end < 0 && bytes.length <= MAX_HEADER_BYTES) return void (this.#rest = bytes);
          if (end < 0 || end > MAX_HEADER_BYTES) throw badRequest('malformed multipart body: the headers of a part are too long');
          yield partOf(bytes.toString('utf8', 0, end));
          bytes = bytes.subarray(end + HEADERS_END.length);
          this.#state = 'body';
        }
      }
    }
  }

  /** How many bytes cannot be the beginning of a delimiter that the next chunk completes. */
  #safeLength(bytes: Buffer): number {
    const from = Math.max(0, bytes.length - this.#delimiter.length + 1);
    for (let at = bytes.indexOf(0x0d, from); at >= 0; at = bytes.indexOf(0x0d, at + 1)) {
      if (this.#delimiter.subarray(0, bytes.length - at).equals(bytes.subarray(at))) return at;
    }
    return bytes.length;
  }
}

function partOf(headers: string): MultipartEvent {
  const line = headers.split('\r\n').find((header) => /^content-disposition\s*:/i.test(header)) ?? '';
  const name = parameter(line, 'name');
  if (name === null) throw badRequest('malformed multipart body: a part without a name');
  return { type: 'part', name, filename: parameter(line, 'filename') };
}

function parameter(line: string, name: string): string | null {
  const match = new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;"]+))`, 'i').exec(line);
  return match?.[1]?.replace(/\\(.)/g, '$1') ?? match?.[2] ?? null;
}
