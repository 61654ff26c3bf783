import net from 'node:net';
import { badRequest } from '../errors.ts';
import { type Exchange, sendJson } from '../http/exchange.ts';
import { listeningPorts } from './listening.ts';

/** Wire: only these may be asked for. */
const LOWEST = 3000;
const HIGHEST = 9999;

/** Wire: how long a connection attempt may take where the kernel's table shows nothing. */
const DIAL_MS = 50;

/** `GET /port/{port}/in-use`: whether something takes connections on the port. */
export async function handle(exchange: Exchange): Promise<void> {
  const text = exchange.params[0]!;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < LOWEST || port > HIGHEST) throw badRequest(`invalid port: ${text.slice(0, 50)}, a number from ${LOWEST} to ${HIGHEST} is expected`);
  const isInUse = (await listeningPorts()).includes(port) || (await dials(port));
  sendJson(exchange, 200, { isInUse });
}

function dials(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: 'localhost', timeout: DIAL_MS });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => done(true));
    socket.once('timeout', () => done(false));
    socket.once('error', () => done(false));
  });
}
