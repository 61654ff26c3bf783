/** What a route of the runner's interface is. */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface Call {
  /** The variable part of the path, checked; '' where there is none. */
  readonly id: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

export interface Route {
  readonly method: string;
  /** Its first group is the variable part. */
  readonly path: RegExp;
  /** Checks the variable part; a sandbox id unless given. */
  readonly parse?: (text: string) => string;
  /** Name in the log; routes without one only read. */
  readonly operation?: string;
  /** Of a reply with a body; 200 unless given. */
  readonly status?: number;
  /** @returns the body, or undefined for 204; null: the reply is under way */
  readonly run: (call: Call) => Promise<unknown> | unknown;
}
