import type { WebSocket } from 'ws';
import type { Exchange } from '../http/exchange.ts';
import type { UpgradeExchange } from '../http/upgrade.ts';
import type { Log } from './log.ts';
import { LogLost, type LogReader } from './log-reader.ts';
import { frames, MAX_FRAME_BYTES } from './records.ts';

/**
 * Sends a log from its first byte to its last, as it grows or as it is. One frame is on its way at a time, so a slow reader costs one
 * frame of memory; how long the command waits for it is the log's affair.
 */

/** Clients send nothing but pings and the close. */
const MAX_CLIENT_MESSAGE_BYTES = 1024;

const NORMAL = 1000;
const TOO_SLOW = 1008;
const LOST = 1011;

/** Wire: binary frames, closed with 1000 at the end. */
export async function streamToSocket(exchange: UpgradeExchange, log: Log, follow: boolean, marked: boolean): Promise<void> {
  const socket = await exchange.accept(MAX_CLIENT_MESSAGE_BYTES);
  const reader = log.reader(follow);
  let tooSlow = false;
  reader.onAbandon(() => {
    if (socket.readyState !== socket.OPEN) return;
    tooSlow = true;
    // The frame that it does not take stands before any word of ours.
    socket.close(TOO_SLOW, 'the reader is too slow');
    setTimeout(() => socket.terminate(), 1000).unref();
  });
  socket.once('close', () => reader.abandon());
  // Nothing is expected; left unread, messages would keep a close from being seen.
  socket.on('message', () => undefined);
  const code = await pump(reader, marked, (frame) => sendFrame(socket, frame));
  if (!tooSlow) socket.close(code);
}

/** Plain HTTP: chunks of one body, which ends where the log ends. */
export async function streamToReply(exchange: Exchange, log: Log, marked: boolean): Promise<void> {
  const { response } = exchange;
  const reader = log.reader(true);
  reader.onAbandon(() => response.destroy());
  response.once('close', () => reader.abandon());
  response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' });
  // The client learns that it is connected before anything is printed.
  response.flushHeaders();
  const code = await pump(reader, marked, (frame) => new Promise((resolve) => response.write(frame, (error) => resolve(!error))));
  if (code === NORMAL) response.end();
  else response.destroy();
}

const sendFrame = (socket: WebSocket, frame: Buffer): Promise<boolean> =>
  new Promise((resolve) => socket.send(frame, { binary: true, compress: false }, (error) => resolve(!error)));

/** @param send settles when the frame has been handed to the kernel; false ends it */
async function pump(reader: LogReader, marked: boolean, send: (frame: Buffer) => Promise<boolean>): Promise<number> {
  const scratch = Buffer.allocUnsafeSlow(MAX_FRAME_BYTES);
  try {
    for (let records = await reader.next(); records !== null; records = await reader.next()) {
      for (const frame of frames(records, marked, scratch)) {
        if (!(await send(frame))) return LOST;
      }
    }
    return NORMAL;
  } catch (error) {
    if (error instanceof LogLost) return LOST;
    throw error;
  } finally {
    reader.close();
  }
}
