import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { PaddockConfig, SandboxState } from '@paddock/contract';

/** The part of the instance's settings that the gateway reads. */
export type GatewayConfig = Pick<PaddockConfig, 'previewDomain' | 'previewProtocol' | 'publicUrl' | 'trustedProxies'>;

/** What routing and authorising one request needs to know about a sandbox. */
export interface RoutedSandbox {
  /** UUID, lower case. */
  readonly id: string;
  readonly organizationId: string;
  readonly state: SandboxState;
  /** Previews of ports that are not reserved need no credential. */
  readonly public: boolean;
  /** Standard preview token; rotates at each start from stopped. */
  readonly authToken: string;
  /** Key of signed file URLs (its UTF-8 text is the HMAC key); null until one was asked for. */
  readonly signingKey: string | null;
}

/** A recognised API key or user. The gateway only hands it back to `canAccess`. */
export interface GatewayPrincipal {
  readonly organizationId: string | null;
}

export interface SignedPreview {
  readonly sandboxId: string;
  /**
   * The token's time is over. It opens nothing any more, but a browser that used it in time keeps its cookie for the rest
   * of the cookie's hour, as long as the backend still knows the token. Revoked tokens are unknown (`null`) at once.
   */
  readonly expired: boolean;
}

/**
 * What the gateway asks of the control plane. Everything here is called once or more for each request, so answers come
 * from memory when they can; a plain value spares the promise. A rejected promise becomes 503.
 */
export interface GatewayBackend {
  /**
   * The sandbox as it is at this moment, or null when there is none (also: destroyed).
   * The backend caches and drops its entry as soon as a change is committed (state, public, authToken, signingKey).
   */
  sandbox(id: string): Promise<RoutedSandbox | null> | RoutedSandbox | null;
  /**
   * @param bearer text after `Bearer `: an API key of ours, or anything an app in a sandbox uses
   * @param organizationId value of X-Daytona-Organization-ID
   * @returns null when it is not a credential of ours (answers may be cached briefly, also the negative ones)
   */
  authenticate(bearer: string, organizationId: string | undefined): Promise<GatewayPrincipal | null> | GatewayPrincipal | null;
  canAccess(principal: GatewayPrincipal, sandbox: RoutedSandbox): Promise<boolean> | boolean;
  /** @param token host label, lower case @param port the port it must be bound to */
  signedPreview(token: string, port: number): Promise<SignedPreview | null> | SignedPreview | null;
  /** Something used the sandbox just now. At most one call a second and sandbox; must not throw. */
  touch(sandboxId: string): void;
  /**
   * Calls the listener after a change of anything `sandbox(id)` answers, so that pooled connections of a sandbox that
   * stopped are closed. @returns unsubscribe
   */
  onSandboxChanged(listener: (sandboxId: string) => void): () => void;
  /** HMAC key of the preview cookie, 32 random bytes generated at install; equal in all replicas. */
  readonly cookieKey: Uint8Array;
  /** One call for each request that failed for a reason other than the client's. */
  report?(failure: GatewayFailure): void;
}

export interface GatewayFailure {
  readonly sandboxId: string;
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  readonly durationMs: number;
}

/**
 * The data path. One HTTP server serves API and gateway: `matches` decides which of them a request is for.
 *
 * ```ts
 * const server = createServer(GATEWAY_SERVER_OPTIONS, (req, res) => gateway.matches(req) ? gateway.handle(req, res) : api(req, res));
 * server.on('checkContinue', (req, res) => { if (gateway.matches(req)) gateway.checkContinue(req, res); else { res.writeContinue(); api(req, res); } });
 * server.on('upgrade', (req, socket, head) => gateway.matches(req) ? gateway.upgrade(req, socket, head) : …);
 * ```
 */
export interface Gateway {
  /** Preview host (well-formed or not), or a path below /toolbox/ or /api/toolbox/{id}/toolbox/. */
  matches(req: IncomingMessage): boolean;
  handle(req: IncomingMessage, res: ServerResponse): void;
  /** For the server's `checkContinue` event: the body is only asked for once the request is authorised. */
  checkContinue(req: IncomingMessage, res: ServerResponse): void;
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends open tunnels and streams, closes pools, stops timers, unsubscribes. */
  close(): void;
}
