import type { IncomingMessage, ServerOptions } from 'node:http';

export const HEADER_BYTES = 64 * 1024;

/**
 * Options of the HTTP server in front of the gateway.
 * - `requestTimeout` 0: uploads and streams may last for hours; only the header has a deadline.
 * - `keepAliveTimeout` 75 s: longer than the 60 s after which common load balancers drop an idle connection, so that it is
 *   always them who close and never us under a request in flight.
 * - `highWaterMark` 256 KiB: four full reads of libuv (64 KiB each) between backpressure stops; at the default of 64 KiB
 *   every single read stops the pipe.
 * - `maxHeaderSize` 64 KiB, as the toolbox: two 4,096-byte paths percent-encoded in one query exceed Node's 16 KiB.
 * - an `Upgrade` that is not a WebSocket (h2c of Java and curl clients) is ignored, the request served as a plain one.
 */
export const GATEWAY_SERVER_OPTIONS = {
  requestTimeout: 0,
  headersTimeout: 10_000,
  maxHeaderSize: HEADER_BYTES,
  keepAliveTimeout: 75_000,
  keepAlive: true,
  noDelay: true,
  highWaterMark: 256 * 1024,
  shouldUpgradeCallback: isWebSocketUpgrade,
} satisfies ServerOptions & { shouldUpgradeCallback: (req: IncomingMessage) => boolean };

export function isWebSocketUpgrade(req: IncomingMessage): boolean {
  return req.method === 'GET' && req.headers.upgrade?.toLowerCase() === 'websocket';
}
