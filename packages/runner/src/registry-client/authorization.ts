/** How a registry wants to be asked: Basic, or a bearer token from its token service. */
import type { RegistryAuth } from '@paddock/contract';
import { readJson } from './bodies.ts';
import { RegistryError } from './errors.ts';
import type { Wanted } from './session.ts';
import { exchange, type Trust } from './transport.ts';

export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const MAX_TOKEN = 64 * 1024;

/** @param header value of WWW-Authenticate: one or more challenges */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: Array<{ scheme: string; parameters: Record<string, string> }> = [];
  const pattern = /\s*,?\s*(?:([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z0-9_-]+)(?=\s|,|$))/gy;
  for (let match = pattern.exec(header); match !== null && match[0] !== ''; match = pattern.exec(header)) {
    const [, name, quoted, plain, scheme] = match;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: Object.create(null) as Record<string, string> });
    else if (challenges.length > 0) challenges.at(-1)!.parameters[name!.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? plain!;
  }
  return challenges;
}

export function basic({ username, password }: RegistryAuth): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

export interface AuthorizationInput {
  /** Value of WWW-Authenticate of a 401. */
  readonly header: string;
  /** Host of the registry, for messages. */
  readonly host: string;
  readonly repository: string;
  readonly wanted: Wanted;
  /** Those for this very host, or null. */
  readonly auth: RegistryAuth | null;
  readonly trust: Trust;
  readonly silenceMs: number;
  readonly signal: AbortSignal;
}

/** @returns the value of Authorization to try again with; null: the registry offers no way that leads further */
export async function authorize(input: AuthorizationInput): Promise<string | null> {
  const challenges = parseChallenges(input.header);
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  if (bearer !== undefined) return token(bearer, input);
  return input.auth !== null && challenges.some(({ scheme }) => scheme === 'basic') ? basic(input.auth) : null;
}

/** distribution: token authentication. The challenge says for which repository, as a proxy may know it by another name; what may be done with it is what this client wants. */
async function token({ parameters }: Challenge, { host, repository, wanted, auth, trust, silenceMs, signal }: AuthorizationInput): Promise<string> {
  const url = URL.parse(parameters['realm'] ?? '');
  if (url === null || !/^https?:$/.test(url.protocol)) throw new RegistryError('invalid', `${host} asks for a token but names no service that has one`);
  if (parameters['service'] !== undefined) url.searchParams.set('service', parameters['service']);
  const [, asked = repository] = /^repository:([^\s:]+):/.exec(parameters['scope'] ?? '') ?? [];
  url.searchParams.set('scope', `repository:${asked}:${wanted.actions}`);
  if (wanted.from !== undefined) url.searchParams.append('scope', `repository:${wanted.from}:pull`);
  if (auth !== null) url.searchParams.set('account', auth.username);
  // The service is often another host; it sees the credentials because the registry they are for says so, over TLS like the registry itself.
  const { reply } = await exchange({ url, headers: auth === null ? {} : { authorization: basic(auth) }, signal, trust, silenceMs });
  const status = reply.statusCode!;
  if (status === 401 || status === 403 || status === 400 || status === 404) {
    reply.resume();
    throw new RegistryError('refused', auth === null ? `${host} wants credentials` : `${host} refuses the credentials of ${JSON.stringify(auth.username)}`);
  }
  if (status !== 200) {
    reply.resume();
    throw new RegistryError(status === 429 || status >= 500 ? 'unavailable' : 'invalid', `The token service of ${host} answered ${status}`);
  }
  const body = await readJson(reply, MAX_TOKEN, `The token service of ${host}`, signal);
  const { token: first, access_token: second } = body as { token?: unknown; access_token?: unknown };
  // Some send both, one of them empty.
  const value = first || second;
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) throw new RegistryError('invalid', `The token service of ${host} answered without a token`);
  return `Bearer ${value}`;
}
