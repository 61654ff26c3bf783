import { fail } from '../errors.ts';
import { isFromInside } from '../http/serve.ts';
import type { UpgradeExchange } from '../http/upgrade.ts';
import { serve } from './server.ts';

/**
 * `GET /ssh` with `Upgrade: ssh`: behind the 101 the connection speaks SSH. Whoever comes here has been authenticated by the host's
 * gateway, so programs of the sandbox, which come by loopback, are told that there is no such route.
 */
export function upgrade(exchange: UpgradeExchange): void {
  if (isFromInside(exchange.request.socket)) throw fail('NOT_FOUND', `not found: ${exchange.path}`);
  serve(exchange.leave());
}
