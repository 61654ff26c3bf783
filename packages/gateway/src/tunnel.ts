import { request, type IncomingMessage, type OutgoingHttpHeaders, type RequestOptions, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { relay, type Forwarding } from './forward.ts';
import { SOCKET_BUFFER_BYTES } from './pool.ts';
import { HEADER_BYTES } from './server-options.ts';
import { notePassed } from './transfer-memory.ts';

/** A silent tunnel is kept; a peer that vanished without a word is found by TCP probes after this. */
const PROBE_MS = 60_000;

/**
 * WebSocket: forwards the handshake on a connection of its own and, once the other side has answered 101, copies bytes both ways
 * without looking at them. Any other answer is relayed as an ordinary reply and the connection closed: a raw
 * tunnel to a server that still speaks HTTP would let the client send it requests nobody authorised.
 * @param res writes to `socket`; used for everything but 101
 */
export function tunnel(req: IncomingMessage, res: ServerResponse, socket: Duplex, head: Buffer, job: Forwarding): void {
  const upstream = request({
    socketPath: job.link.socketPath,
    agent: false,
    highWaterMark: SOCKET_BUFFER_BYTES,
    allowHalfOpen: true,
    path: job.target,
    headers: job.headers as unknown as OutgoingHttpHeaders,
    maxHeaderSize: HEADER_BYTES,
  } as RequestOptions);
  const abandon = (): void => void upstream.destroy();
  socket.once('close', abandon);
  upstream.on('error', (error) => {
    if (!socket.destroyed) job.failed(error);
  });
  upstream.on('response', (reply) => relay(req, res, reply, job.rewrite, () => upstream.destroy()));
  upstream.on('upgrade', (reply, peer, peerHead) => {
    socket.removeListener('close', abandon);
    if (socket.destroyed) {
      peer.destroy();
      return;
    }
    res.detachSocket(socket as Socket);
    for (const end of [socket, peer]) {
      if (end instanceof Socket) end.setTimeout(0).setNoDelay(true).setKeepAlive(true, PROBE_MS);
    }
    socket.write(handshake(reply, job.rewrite.setCookie));
    if (peerHead.length > 0) socket.write(peerHead);
    if (head.length > 0) peer.write(head);
    join(socket, peer);
    join(peer, socket);
  });
  upstream.end();
}

/** Copies one direction. An end is passed on as an end (the other direction may still have data), a break as a break. */
function join(from: Duplex, to: Duplex): void {
  from.on('data', (chunk: Buffer) => notePassed(chunk.length));
  from.pipe(to);
  from.on('error', () => to.destroy());
  from.once('close', () => {
    // After an orderly end `to` flushes and closes by itself.
    if (!from.readableEnded) to.destroy();
  });
}

function handshake(reply: IncomingMessage, setCookie: string | null): string {
  let text = `HTTP/1.1 101 ${reply.statusMessage ?? 'Switching Protocols'}\r\n`;
  for (let i = 0; i < reply.rawHeaders.length; i += 2) text += `${reply.rawHeaders[i]}: ${reply.rawHeaders[i + 1]}\r\n`;
  if (setCookie !== null) text += `Set-Cookie: ${setCookie}\r\n`;
  return `${text}\r\n`;
}
