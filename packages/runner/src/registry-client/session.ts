/** Requests about one repository at one place: authorized as it wants it, what may pass tried again. */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PaddockConfig, RegistryAuth } from '@paddock/contract';
import { authorize } from './authorization.ts';
import { readBody } from './bodies.ts';
import { RegistryError } from './errors.ts';
import { DOCKER_HUB, normalHost, sameHost, type Reference } from './reference.ts';
import { SILENCE_MS, exchange, isLocalHost, type Trust } from './transport.ts';

export type RegistrySettings = Pick<PaddockConfig['registries'], 'insecure' | 'mirrors'>;

/** Where content of a host is asked for. */
export interface Source {
  readonly origin: string;
  readonly auth: RegistryAuth | null;
  readonly trust: Trust;
  /** As in messages. */
  readonly name: string;
}

export interface Asked {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT';
  /** Below the repository, or a URL that the registry named. */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

export interface SessionInput {
  readonly source: Source;
  readonly repository: string;
  /** What a token is asked for, by repository. */
  readonly wanted?: Wanted;
  /** Origin → value of Authorization that worked; shared by those who talk about one repository. */
  readonly authorizations: Map<string, string>;
  readonly silenceMs?: number;
  readonly signal: AbortSignal;
}

export interface Wanted {
  readonly actions: 'pull' | 'pull,push';
  /** Another repository that blobs are taken over from. */
  readonly from?: string | undefined;
}

/** Attempts at one request, with pauses that double from the first: 7.5 s in all, unless the registry says when to come back. */
export const ATTEMPTS = 5;
export const FIRST_PAUSE_MS = 500;
/** A registry that wants to be left alone for longer is told of as unavailable. */
const LONGEST_PAUSE_MS = 60_000;

export class Session {
  readonly #input: SessionInput;

  constructor(input: SessionInput) {
    this.#input = input;
  }

  get source(): Source {
    return this.#input.source;
  }

  /** A reply with one of the statuses. @throws RegistryError for every other one */
  async persistently(asked: Asked, statuses: ReadonlySet<number>, what: string, attempts: number): Promise<IncomingMessage> {
    const { source, signal } = this.#input;
    for (let attempt = 1; ; attempt += 1) {
      let pauseMs = FIRST_PAUSE_MS * 2 ** (attempt - 1);
      try {
        const reply = await this.ask(asked);
        if (statuses.has(reply.statusCode!)) return reply;
        pauseMs = Math.max(pauseMs, retryAfterMs(reply.headers['retry-after']) ?? 0);
        throw await failureOf(reply, source.name, what, source.auth, signal);
      } catch (error) {
        signal.throwIfAborted();
        const passing = error instanceof RegistryError && error.failure === 'unavailable';
        if (!passing || attempt >= attempts || pauseMs > LONGEST_PAUSE_MS) throw error;
      }
      await this.pause(pauseMs);
    }
  }

  /** Whatever it answers. Of other origins nothing is asked with credentials. */
  async ask({ method = 'GET', path, headers = {}, body }: Asked): Promise<IncomingMessage> {
    const { source: { origin, trust, auth, name }, repository, wanted = { actions: 'pull' }, authorizations, silenceMs = SILENCE_MS, signal } = this.#input;
    const url = path instanceof URL ? path : new URL(`${origin}/v2/${repository}/${path}`);
    const own = url.origin === origin;
    const send = async (authorization: string | undefined): Promise<IncomingMessage> => {
      const sent = authorization === undefined || !own ? headers : { ...headers, authorization };
      return (await exchange({ url, method, headers: sent, ...(body === undefined ? {} : { body }), signal, trust, silenceMs })).reply;
    };
    const reply = await send(authorizations.get(origin));
    const challenge = reply.headers['www-authenticate'];
    if (reply.statusCode !== 401 || challenge === undefined || !own) return reply;
    reply.resume();
    const authorization = await authorize({ header: challenge, host: name, repository, wanted, auth, trust, silenceMs, signal });
    if (authorization === null) return reply;
    authorizations.set(origin, authorization);
    return send(authorization);
  }

  async pause(ms: number): Promise<void> {
    const { signal } = this.#input;
    await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** @returns mirrors first, the host itself last */
export function sourcesOf({ host }: Reference, auth: RegistryAuth | null, { insecure, mirrors }: RegistrySettings): readonly Source[] {
  const own = auth !== null && sameHost(auth.host, host) ? auth : null;
  const plain = isLocalHost(host) || insecure.some((name) => normalHost(name) === host);
  const origin = host === DOCKER_HUB ? 'https://registry-1.docker.io' : `${plain ? 'http' : 'https'}://${host}`;
  const before = Object.entries(mirrors).filter(([name]) => normalHost(name) === host).flatMap(([, origins]) => origins);
  return [
    ...before.map((mirror): Source => {
      const { host: name, protocol } = new URL(mirror);
      return { origin: mirror, auth: null, trust: { insecure: protocol === 'http:', local: true }, name };
    }),
    { origin, auth: own, trust: { insecure: plain, local: plain }, name: host },
  ];
}

async function failureOf(reply: IncomingMessage, host: string, what: string, auth: RegistryAuth | null, signal: AbortSignal): Promise<RegistryError> {
  const status = reply.statusCode!;
  const said = await saidBy(reply, host, signal);
  if (status === 404) return new RegistryError('not-found', `${host} has no ${what}${said}`);
  if (status === 401 || status === 403) {
    const who = auth === null ? 'without credentials' : `with the credentials of ${JSON.stringify(auth.username)}`;
    return new RegistryError('refused', `${host} refuses ${what} ${who}${said}`);
  }
  if (status === 429) return new RegistryError('unavailable', `${host} limits how often it may be asked (429)${said}: try again later, or with credentials`);
  if (status >= 500) return new RegistryError('unavailable', `${host} answered ${status} for ${what}${said}`);
  return new RegistryError('invalid', `${host} answered ${status} for ${what}${said}`);
}

/** distribution-spec: the messages of an error body. Only what looks like one is passed on. */
async function saidBy(reply: IncomingMessage, host: string, signal: AbortSignal): Promise<string> {
  if (!/\bjson\b/.test(reply.headers['content-type'] ?? '')) {
    reply.destroy();
    return '';
  }
  try {
    const { errors } = JSON.parse((await readBody(reply, 64 * 1024, host, signal)).toString('utf8')) as { errors?: Array<{ message?: unknown }> };
    const messages = (errors ?? []).map(({ message }) => message).filter((message): message is string => typeof message === 'string');
    return messages.length === 0 ? '' : ` (${messages.join('; ').replace(/[^\x20-\x7e]/g, ' ').slice(0, 300)})`;
  } catch {
    signal.throwIfAborted();
    return '';
  }
}

/** Seconds or a date. */
function retryAfterMs(header: string | undefined): number | null {
  if (header === undefined) return null;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

