import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BlobError, type Blobs } from '../../blobs/blobs.ts';
import type { CredentialIssuer } from '../credentials.ts';
import { S3Error } from './errors.ts';
import { collectUploads } from './multipart.ts';
import { readRequest } from './request.ts';
import { route } from './routes.ts';
import type { Exchange } from './service.ts';
import { authenticate, isSigned } from './signature.ts';
import { Turns } from './turns.ts';
import { document, XmlError } from '../xml.ts';

export interface S3ServerOptions {
  readonly blobs: Blobs;
  readonly issuer: () => Promise<CredentialIssuer>;
  /** The one bucket. */
  readonly bucket: string;
  readonly region: string;
  /** Hosts (with port, if any) under which clients may have signed although the request came with another: behind a proxy. */
  readonly signedHosts?: (req: IncomingMessage) => readonly string[];
  /** One call an operation. */
  readonly report?: (event: S3Event) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface S3Event {
  readonly requestId: string;
  /** Null: the request was not understood. */
  readonly operation: string | null;
  readonly status: number;
  /** S3's code of the error. */
  readonly code: string | null;
  readonly durationMs: number;
  /** What is ours to look into: a defect, or the disk. */
  readonly error: unknown;
}

export interface S3Server {
  /** `host`: signed and for the bucket's own host name, to be asked before anyone else. `path`: signed. Null: not for S3. */
  claims(req: IncomingMessage): 'host' | 'path' | null;
  /** @param expectsContinue the client waits for `100 Continue` before it sends its body */
  handle(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): void;
  close(): void;
}

/** wire (ours, stated in the documentation): an upload that got no part for a day is given up. */
const ABANDONED_MS = 24 * 3600_000;
const COLLECT_EVERY_MS = 3600_000;
/** How long the rest of a body is read and thrown away after an early reply: a client that is still sending sees the reply only afterwards. */
const DRAIN_MS = 30_000;

export function createS3Server(options: S3ServerOptions): S3Server {
  const { blobs, bucket, region, now = Date.now } = options;
  const hostPrefix = `${bucket}.`;
  const turns = new Turns();
  const collect = () => void collectUploads(blobs, new Date(now() - ABANDONED_MS)).catch((error: unknown) => options.report?.({ requestId: '', operation: 'CollectUploads', status: 500, code: 'InternalError', durationMs: 0, error }));
  const collector = setInterval(collect, COLLECT_EVERY_MS);
  collector.unref();
  collect();

  const namesBucket = (req: IncomingMessage) => (req.headers.host ?? '').toLowerCase().startsWith(hostPrefix);

  async function serve(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean, progress: Progress): Promise<void> {
    const request = readRequest(req, namesBucket(req) ? bucket : null);
    const authenticated = authenticate(request, await options.issuer(), options.signedHosts?.(req) ?? [], now());
    const { name, run } = route(request, bucket);
    progress.operation = name;
    const exchange: Exchange = {
      request, res, authenticated, blobs, bucket, region,
      continueBody: () => {
        if (expectsContinue) res.writeContinue();
        progress.bodyAwaited = false;
      },
    };
    await turns.run(authenticated.grant.prefix, async () => run(exchange));
  }

  return {
    claims: (req) => (!isSigned(req.headers.authorization, req.url ?? '') ? null : namesBucket(req) ? 'host' : 'path'),

    handle(req, res, expectsContinue) {
      const startedAt = performance.now();
      const requestId = randomBytes(8).toString('hex').toUpperCase();
      const progress: Progress = { operation: null, bodyAwaited: expectsContinue };
      const report = (status: number, code: string | null, error: unknown) => options.report?.({ requestId, operation: progress.operation, status, code, durationMs: performance.now() - startedAt, error });
      req.on('error', () => undefined); // whoever reads the body is told by its stream
      res.on('error', () => undefined);
      res.setHeader('x-amz-request-id', requestId);
      res.setHeader('server', 'Paddock');
      if (req.headers.origin !== undefined) allowOrigin(res, req.headers.origin);
      serve(req, res, expectsContinue, progress).then(
        () => report(res.statusCode, null, null),
        (error: unknown) => {
          const refusal = toS3Error(error);
          if (!res.headersSent) refuse(req, res, refusal, requestId, progress.bodyAwaited);
          else res.destroy(); // in the middle of a body: only a cut tells that it is not whole
          const gone = req.destroyed || res.destroyed;
          report(refusal.status, refusal.code, refusal.status >= 500 && refusal !== error && !gone ? error : null);
        },
      );
    },

    close: () => clearInterval(collector),
  };
}

interface Progress {
  operation: string | null;
  /** The client waits for `100 Continue`. */
  bodyAwaited: boolean;
}

function toS3Error(error: unknown): S3Error {
  if (error instanceof S3Error) return error;
  if (error instanceof XmlError) return new S3Error('MalformedXML');
  if (error instanceof BlobError && error.code === 'STORE_FULL') return new S3Error('SlowDown');
  if (error instanceof BlobError && error.code === 'BAD_DIGEST') return new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.');
  if (error instanceof BlobError && error.code === 'TOO_MANY_PIECES') return new S3Error('InvalidRequest', 'The object would consist of more than 10,000 pieces: copy its parts with ranges, or upload it anew.');
  if (error instanceof BlobError && error.code === 'BLOB_EXISTS') return new S3Error('PreconditionFailed', undefined, { Condition: 'If-None-Match' });
  if ((error as NodeJS.ErrnoException | null)?.code === 'ECONNRESET') return new S3Error('IncompleteBody');
  return new S3Error('InternalError');
}

function refuse(req: IncomingMessage, res: ServerResponse, { code, message, status, details }: S3Error, requestId: string, bodyAwaited: boolean): void {
  // A client that was not told to go on may send its body or may not: nobody could tell it from the next request. Other bodies are drained.
  if (bodyAwaited) res.setHeader('connection', 'close');
  if (code === 'InvalidRange') res.setHeader('content-range', `bytes */${details['ActualObjectSize']}`);
  if (status === 304) {
    res.writeHead(304).end();
  } else {
    const resource = (req.url ?? '').split('?', 1)[0] ?? '';
    const body = document('Error', { Code: code, Message: message, Resource: resource, RequestId: requestId, HostId: 'paddock', ...details }, false);
    res.writeHead(status, { 'content-type': 'application/xml', 'content-length': Buffer.byteLength(body) });
    res.end(req.method === 'HEAD' ? undefined : body);
  }
  drain(req);
}

function drain(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return;
  const timer = setTimeout(() => req.socket.destroy(), DRAIN_MS);
  timer.unref();
  req.once('close', () => clearTimeout(timer));
  req.resume();
}

/** Pages may use it with credentials they were given; there are no cookies. */
function allowOrigin(res: ServerResponse, origin: string): void {
  res.setHeader('access-control-allow-origin', origin);
  res.setHeader('vary', 'Origin');
  res.setHeader('access-control-expose-headers', 'ETag, Content-Range, x-amz-request-id, x-amz-checksum-crc32, x-amz-checksum-crc32c, x-amz-checksum-crc64nvme, x-amz-checksum-sha1, x-amz-checksum-sha256');
}
