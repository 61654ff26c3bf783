import { existingDirectory } from '../environment/places.ts';
import { badBody, badRequest } from '../errors.ts';
import { query } from '../http/exchange.ts';
import { type Body, optionalEnv, optionalNumber, optionalText, text } from '../http/fields.ts';
import { ENVS_PROTOCOL } from '../http/upgrade.ts';
import type { PtyRequest } from './session.ts';

/** Wire: larger terminals are refused; an absent or zero size is the classic one. */
const MAX_SIZE = 1000;
const DEFAULT_COLS = 80;
const DEFAULT_ROWS = 24;

/** Body of `POST /process/pty`: id, cwd?, envs?, cols?, rows?, lazyStart?. */
export function ptyRequestOf(body: Body): PtyRequest {
  return {
    id: text(body, 'id'),
    cwd: existingDirectory(optionalText(body, 'cwd')),
    envs: optionalEnv(body, 'envs') ?? {},
    cols: size(optionalNumber(body, 'cols'), 'cols') || DEFAULT_COLS,
    rows: size(optionalNumber(body, 'rows'), 'rows') || DEFAULT_ROWS,
    lazyStart: body['lazyStart'] === true,
  };
}

/** Query of `create-connect`: id, cwd?, cols?, rows?. Wire: variables come as base64url JSON in a subprotocol token. */
export function ptyRequestOfQuery(search: string, offered: readonly string[]): PtyRequest {
  const number = (name: string): number | undefined => {
    const value = query({ search }, name);
    if (value === undefined || value === '') return undefined;
    if (!/^-?\d{1,9}$/.test(value)) throw badRequest(`query parameter '${name}' must be an integer`);
    return Number(value);
  };
  return ptyRequestOf({ id: query({ search }, 'id'), cwd: query({ search }, 'cwd'), cols: number('cols'), rows: number('rows'), envs: envsIn(offered) });
}

/** Body of a resize: both sizes are required. */
export function sizeOf(body: Body): { readonly cols: number; readonly rows: number } {
  const [cols, rows] = ['cols', 'rows'].map((name) => {
    const value = size(optionalNumber(body, name), name);
    if (value === 0) throw badBody(`field '${name}' is required and at least 1`);
    return value;
  }) as [number, number];
  return { cols, rows };
}

function size(value: number | undefined, name: string): number {
  if (value === undefined) return 0;
  if (!Number.isInteger(value) || value < 0 || value > MAX_SIZE) throw badBody(`field '${name}' must be an integer up to ${MAX_SIZE}`);
  return value;
}

function envsIn(offered: readonly string[]): unknown {
  const token = offered.find((item) => item.startsWith(ENVS_PROTOCOL));
  if (token === undefined) return undefined;
  try {
    return JSON.parse(Buffer.from(token.slice(ENVS_PROTOCOL.length), 'base64url').toString('utf8'));
  } catch {
    throw badRequest(`the ${ENVS_PROTOCOL} subprotocol must carry a JSON map as base64url`);
  }
}
