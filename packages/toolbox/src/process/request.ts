import { currentEnv, type Env } from '../environment/environment.ts';
import { badBody } from '../errors.ts';
import { type Body, optionalEnv, optionalNumber } from '../http/fields.ts';

/** Environment of a command: the sandbox's, over which the request's own variables win. */
export function commandEnv(body: Body): Env {
  const own = optionalEnv(body, 'envs');
  return own === undefined ? currentEnv() : { ...currentEnv(), ...own };
}

/** `timeout` in seconds; missing or 0 means none. @returns milliseconds or null */
export function timeoutOf(body: Body): number | null {
  const seconds = optionalNumber(body, 'timeout') ?? 0;
  if (seconds < 0) throw badBody("field 'timeout' must not be negative");
  return seconds === 0 ? null : seconds * 1000;
}
