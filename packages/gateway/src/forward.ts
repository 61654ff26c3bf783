import { request, type IncomingMessage, type OutgoingHttpHeaders, type RequestOptions, type ServerResponse } from 'node:http';
import { replyHeaders, type HeaderList, type ReplyRewrite } from './headers.ts';
import { drain, refuse } from './reply.ts';
import type { SandboxLink } from './pool.ts';
import { HEADER_BYTES } from './server-options.ts';
import { notePassed } from './transfer-memory.ts';

/** One request that has been authorised and rewritten. */
export interface Forwarding {
  readonly link: SandboxLink;
  /** Path and query on the toolbox. */
  readonly target: string;
  readonly headers: HeaderList;
  readonly rewrite: ReplyRewrite;
  /** The client still waits for `100 Continue`. */
  readonly continuePending: boolean;
  /** Called when the toolbox could not be reached or answered nothing; the reply is not begun yet. */
  readonly failed: (error: NodeJS.ErrnoException) => void;
}

/** Requests that may be sent twice (RFC 9110 §9.2.2), as long as their body has not been used up. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);
/**
 * The toolbox accepts late when it restarts or has hundreds of connects waiting: the kernel then says EAGAIN. Nothing was sent, so
 * any request can wait; together about five seconds, longer than a toolbox takes to come back.
 */
const BACKLOG_RETRIES = 50;
const BACKLOG_WAIT_MS = 100;

/** Sends the request to the toolbox and streams both bodies, each at the pace of its reader. */
export function forward(req: IncomingMessage, res: ServerResponse, job: Forwarding, attempt = 0): void {
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
  let reply: IncomingMessage | null = null;
  let bodyBegun = false;
  const upstream = request({
    socketPath: job.link.socketPath,
    agent: job.link.agent,
    method: req.method,
    path: job.target,
    // Node takes the flat list of rawHeaders too; its types say only objects.
    headers: job.headers as unknown as OutgoingHttpHeaders,
    maxHeaderSize: HEADER_BYTES,
  } as RequestOptions);

  const abandon = (): void => {
    // Also runs after a normal end, when there is nothing left to break off.
    if (reply === null || !reply.complete || !upstream.writableFinished) upstream.destroy();
  };
  res.once('close', abandon);

  upstream.on('error', (error: NodeJS.ErrnoException) => {
    if (reply !== null) return; // The reply's own `close` handler decides what the client gets to see.
    res.removeListener('close', abandon);
    if (res.destroyed || req.destroyed && !req.complete) return;
    if (!bodyBegun && error.code === 'EAGAIN' && attempt < BACKLOG_RETRIES) {
      setTimeout(() => res.destroyed || forward(req, res, job, attempt + 1), BACKLOG_WAIT_MS);
      return;
    }
    // A kept connection that the toolbox closed just as we used it. At most as often as there are such connections.
    const stale = upstream.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
    if (stale && !hasBody && IDEMPOTENT.has(req.method ?? '') && attempt < BACKLOG_RETRIES) return forward(req, res, job, attempt + 1);
    if (bodyBegun) req.unpipe(upstream);
    job.failed(error);
  });
  upstream.on('information', (info) => {
    // 100 is ours to send and 101 cannot come here; of the rest only early hints mean anything to a client.
    const link = info.headers['link'];
    if (info.statusCode === 103 && link !== undefined && !res.headersSent && req.httpVersionMinor > 0) res.writeEarlyHints({ link });
  });
  upstream.on('upgrade', (_reply, socket) => {
    // 101 that nobody asked for.
    socket.destroy();
    job.failed(new Error('unexpected 101'));
  });
  upstream.on('response', (message) => {
    reply = message;
    relay(req, res, message, job.rewrite, () => {
      if (upstream.writableFinished) return;
      req.unpipe(upstream);
      upstream.destroy();
      drain(req);
    });
  });

  if (!hasBody) {
    upstream.end();
    return;
  }
  req.on('error', () => {}); // A client that goes away mid-upload: `close` of the response breaks off upstream.
  upstream.on('socket', (socket) => {
    // Only a connected socket may take body bytes: until then the request can still be sent another way.
    const begin = (): void => {
      bodyBegun = true;
      if (job.continuePending) res.writeContinue();
      if (req.rawTrailers.length > 0 || req.headers.trailer !== undefined) req.once('end', () => upstream.addTrailers(pairs(req.rawTrailers)));
      req.on('data', (chunk: Buffer) => notePassed(chunk.length));
      req.pipe(upstream);
      setImmediate(() => upstream.destroyed || upstream.flushHeaders());
    };
    if (socket.connecting) socket.once('connect', begin);
    else begin();
  });
}

/** Passes a reply on. @param ended called when all of it was read from the toolbox */
export function relay(req: IncomingMessage, res: ServerResponse, reply: IncomingMessage, rewrite: ReplyRewrite, ended: () => void): void {
  reply.on('error', () => {}); // Reported by `close` with `complete` false.
  reply.once('close', () => {
    if (!reply.complete && res.headersSent) breakOff(req, res);
  });
  if (res.destroyed) return;
  if (reply.headers.date !== undefined) res.sendDate = false;
  try {
    res.writeHead(reply.statusCode ?? 502, reply.statusMessage ?? '', replyHeaders(req, reply, rewrite));
  } catch {
    // A status or header values that Node refuses to write: the app's fault.
    reply.destroy();
    refuse(req, res, { status: 502, code: 'BAD_GATEWAY', message: 'bad gateway: the reply of the app is not valid HTTP' });
    return;
  }
  reply.once('end', () => {
    if (reply.rawTrailers.length > 0) res.addTrailers(pairs(reply.rawTrailers));
    res.end();
    ended();
  });
  reply.on('data', (chunk: Buffer) => notePassed(chunk.length));
  reply.pipe(res, { end: false });
  // Headers wait for the first body bytes to share a packet with them, but no longer than this turn: event streams open silently.
  setImmediate(() => res.writableEnded || res.destroyed || res.flushHeaders());
}

/** Ends a reply so that the client sees it is cut: HTTP/1.0 knows no framing, only a reset tells. */
function breakOff(req: IncomingMessage, res: ServerResponse): void {
  const socket = req.socket;
  if (req.httpVersionMinor === 0 && 'resetAndDestroy' in socket) socket.resetAndDestroy();
  res.destroy();
}

function pairs(raw: readonly string[]): Array<[string, string]> {
  const out: Array<[string, string]> = [];
  for (let i = 0; i < raw.length; i += 2) out.push([raw[i] as string, raw[i + 1] as string]);
  return out;
}
