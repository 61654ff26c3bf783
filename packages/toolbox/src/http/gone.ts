import { type Exchange, onGone } from './exchange.ts';

/** Aborted when the client goes away before its reply is complete. */
export function untilGone(exchange: Exchange): AbortSignal {
  const controller = new AbortController();
  onGone(exchange, () => controller.abort());
  return controller.signal;
}
