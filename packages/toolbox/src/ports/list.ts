import { RESERVED_PORTS } from '@paddock/contract';
import { type Exchange, sendJson } from '../http/exchange.ts';
import { listeningPorts } from './listening.ts';

/** `GET /port`: ports somebody listens on; Paddock's own are not the user's. */
export async function handle(exchange: Exchange): Promise<void> {
  sendJson(exchange, 200, { ports: (await listeningPorts()).filter((port) => !RESERVED_PORTS.has(port)) });
}
