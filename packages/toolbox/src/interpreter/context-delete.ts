import { type Exchange, sendJson } from '../http/exchange.ts';
import { deleteContext } from './contexts.ts';

/** `DELETE /process/interpreter/context/{id}`. */
export function handle(exchange: Exchange): void {
  deleteContext(exchange.params[0]!);
  sendJson(exchange, 200, { message: 'Context deleted' });
}
