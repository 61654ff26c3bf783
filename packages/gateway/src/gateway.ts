import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Layout } from '@paddock/contract';
import { authorize } from './authorize.ts';
import { createClientAddress } from './client-address.ts';
import { corsOrigin, isPreflight, preflightHeaders } from './cors.ts';
import { forward, type Forwarding } from './forward.ts';
import { locationRewriter, requestHeaders } from './headers.ts';
import { LinkPool, mayRun } from './pool.ts';
import { drain, refuse, type Refusal } from './reply.ts';
import { createRouter } from './route.ts';
import { isWebSocketUpgrade } from './server-options.ts';
import { tunnel } from './tunnel.ts';
import type { Gateway, GatewayBackend, GatewayConfig, RoutedSandbox } from './types.ts';

/** A refusal, or a request ready to be sent. */
type Admission = { readonly ok: true; readonly job: Forwarding } | { readonly ok: false; readonly refusal: Refusal };

/** Errors of the dial that mean: nobody listens there. */
const NOBODY_LISTENS: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED']);

export function createGateway(config: GatewayConfig, layout: Layout, backend: GatewayBackend): Gateway {
  const router = createRouter(config);
  const clientAddress = createClientAddress(config);
  const pool = new LinkPool(layout, backend);
  const tunnels = new Set<Duplex>();

  /** @param upgraded the socket of a WebSocket handshake; it, and not the response object, then lives as long as the exchange */
  async function admit(req: IncomingMessage, res: ServerResponse, upgraded: Duplex | null, continuePending: boolean): Promise<Admission> {
    const found = router.route(req);
    if (!found.ok) return no(found.status, found.status === 400 ? 'BAD_REQUEST' : 'NOT_FOUND', found.message);
    const route = found.route;
    const who = await authorize(req, route, backend, config);
    if (!who.ok) return no(who.status, who.code, who.message);
    const sandbox = who.sandbox;
    if (!mayRun(sandbox.state)) return { ok: false, refusal: notStarted(sandbox) };
    const exchange = upgraded ?? res;
    if (exchange.destroyed) return no(400, 'BAD_REQUEST', 'bad request: the client went away');
    const isUse = String(req.headers['x-daytona-skip-last-activity-update']).toLowerCase() !== 'true';
    const link = pool.acquire(sandbox.id, isUse);
    if (link === null) return no(503, 'SERVICE_UNAVAILABLE', 'service unavailable: too many open requests for this sandbox');
    exchange.once('close', () => pool.release(link, isUse));
    const beganMs = Date.now();
    return {
      ok: true,
      job: {
        link,
        target: who.query === '' ? route.path : `${route.path}?${who.query}`,
        headers: requestHeaders(req, who.bearerConsumed, clientAddress(req), upgraded !== null),
        rewrite: { corsOrigin: corsOrigin(req), setCookie: who.setCookie, location: locationRewriter(route.prefix, route.appPort) },
        continuePending,
        failed: (error) => {
          const isDown = sandbox.state !== 'started' && NOBODY_LISTENS.has(error.code ?? '');
          const refusal = isDown ? notStarted(sandbox) : unreachable(sandbox);
          if (!isDown) backend.report?.({ sandboxId: sandbox.id, status: refusal.status, code: refusal.code, reason: error.code ?? error.message, durationMs: Date.now() - beganMs });
          refuse(req, res, refusal);
        },
      },
    };
  }

  function start(req: IncomingMessage, res: ServerResponse, continuePending: boolean): void {
    if (isPreflight(req)) {
      res.writeHead(204, preflightHeaders(req, req.headers.origin ?? '')).end();
      drain(req);
      return;
    }
    admit(req, res, null, continuePending).then((admission) => {
      if (res.destroyed) return;
      if (admission.ok) forward(req, res, admission.job);
      else refuse(req, res, admission.refusal);
    }).catch((error: unknown) => refuse(req, res, brokenDown(error)));
  }

  /** Whatever fails here is ours (database away, defect): say so without details. */
  function brokenDown(error: unknown): Refusal {
    backend.report?.({ sandboxId: '', status: 503, code: 'SERVICE_UNAVAILABLE', reason: error instanceof Error ? error.message : String(error), durationMs: 0 });
    return { status: 503, code: 'SERVICE_UNAVAILABLE', message: 'service unavailable: the request could not be checked, try again' };
  }

  return {
    matches: router.matches,
    handle: (req, res) => start(req, res, false),
    checkContinue: (req, res) => start(req, res, true),

    upgrade(req, socket, head) {
      tunnels.add(socket);
      socket.once('close', () => tunnels.delete(socket));
      socket.on('error', () => {}); // A vanished client; `close` follows and ends the other side.
      // Replies other than 101 go out through an ordinary response object, one to a connection.
      const res = new ServerResponse(req);
      res.shouldKeepAlive = false;
      res.assignSocket(socket as Socket);
      socket.on('drain', () => res.emit('drain'));
      res.once('finish', () => socket.end());
      if (!isWebSocketUpgrade(req) || req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0) {
        refuse(req, res, { status: 400, code: 'BAD_REQUEST', message: 'bad request: only WebSocket upgrades (GET, no body) are supported' });
        return;
      }
      admit(req, res, socket, false).then((admission) => {
        if (socket.destroyed) return;
        if (admission.ok) tunnel(req, res, socket, head, admission.job);
        else refuse(req, res, admission.refusal);
      }).catch((error: unknown) => refuse(req, res, brokenDown(error)));
    },

    close() {
      pool.close();
      for (const socket of tunnels) socket.destroy();
    },
  };
}

function no(status: number, code: string, message: string): Admission {
  return { ok: false, refusal: { status, code, message } };
}

function notStarted(sandbox: RoutedSandbox): Refusal {
  return { status: 400, code: 'BAD_REQUEST', message: `bad request: sandbox ${sandbox.id} is ${sandbox.state}. Is the Sandbox started?` };
}

function unreachable(sandbox: RoutedSandbox): Refusal {
  return { status: 502, code: 'BAD_GATEWAY', message: `bad gateway: sandbox ${sandbox.id} does not answer. Is the Sandbox started?` };
}
