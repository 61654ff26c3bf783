/** One HTTP exchange with a registry or with what it names: where to it may go, how long it may take, redirects. */
import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import type { Agent as HttpAgent, IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { BlockList, isIP } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { RegistryError } from './errors.ts';

/** An `import` of it also loads Node's WebSocket and fetch, which costs each thread that unpacks 25 ms. */
const http = process.getBuiltinModule('node:http');

export interface Exchange {
  readonly url: URL;
  /** Default GET. */
  readonly method?: string;
  readonly body?: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Whoever caused the exchange: only what is on this machine may send to this machine. */
  readonly trust: Trust;
  /** A connection that says nothing for this long is dead. */
  readonly silenceMs: number;
}

export interface Trust {
  /** Plain http is fine. */
  readonly insecure: boolean;
  /** It may be on this machine: its name says so, or the operator's settings name it. */
  readonly local: boolean;
}

/** Registries answer within milliseconds, or after looking something up elsewhere. */
export const SILENCE_MS = 30_000;

const MAX_REDIRECTS = 5;
const READS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Cloud metadata and other link-local services answer whoever asks on this machine's behalf. No registry lives there. */
const NEVER = new BlockList();
NEVER.addSubnet('169.254.0.0', 16, 'ipv4');
NEVER.addSubnet('0.0.0.0', 8, 'ipv4');
NEVER.addSubnet('224.0.0.0', 4, 'ipv4');
NEVER.addSubnet('fe80::', 10, 'ipv6');
NEVER.addSubnet('ff00::', 8, 'ipv6');
NEVER.addAddress('fd00:ec2::254', 'ipv6');
NEVER.addAddress('::', 'ipv6');

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** @param host `host[:port]`, in brackets when it is an IPv6 address */
export function isLocalHost(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || isLoopback(name);
}

/**
 * Sends a request and follows redirects of those that only read. Headers meant for one host are not sent to another.
 * @returns the reply, its body unread; who gets it must read or destroy it
 * @throws RegistryError unavailable when there is no reply
 */
export async function exchange({ url, headers, ...rest }: Exchange): Promise<{ reply: IncomingMessage; url: URL }> {
  let at = url;
  let sent = headers;
  for (let redirects = 0; ; redirects += 1) {
    const reply = await send({ url: at, headers: sent, ...rest });
    const { location } = reply.headers;
    if (![301, 302, 303, 307, 308].includes(reply.statusCode!) || location === undefined || !READS.has(rest.method ?? 'GET')) return { reply, url: at };
    reply.resume();
    if (redirects === MAX_REDIRECTS) throw new RegistryError('invalid', `${url.host} redirects in circles`);
    const next = URL.parse(location, at.href);
    if (next === null || !/^https?:$/.test(next.protocol)) throw new RegistryError('invalid', `${url.host} redirects to what is no URL`);
    if (at.protocol === 'https:' && next.protocol === 'http:') throw new RegistryError('invalid', `${url.host} redirects from https to http, which is refused`);
    if (next.origin !== at.origin) sent = withoutCredentials(sent);
    at = next;
  }
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'));
}

function send({ url, method = 'GET', headers, body, signal, trust, silenceMs }: Exchange): Promise<IncomingMessage> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol === 'http:' && !trust.insecure) throw new RegistryError('invalid', `${url.host} is to be reached over plain http, which is only done for registries that the setting registries.insecure names`);
  if (isIP(host) !== 0) checkAddress(host, url, trust);
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const call = (secure ? httpsRequest : http.request)(url, {
      method, signal, timeout: silenceMs, agent: agentOf(secure, isLocalHost(url.host)), lookup: guardedLookup(url, trust),
      headers: { 'user-agent': 'paddock', 'accept-encoding': 'identity', ...(READS.has(method) ? {} : { 'content-length': String(body?.length ?? 0) }), ...headers },
    });
    call.on('timeout', () => call.destroy(new RegistryError('unavailable', `${url.host} did not answer for ${silenceMs / 1_000} seconds`)));
    call.on('error', (error) => reject(signal.aborted ? signal.reason as Error : asFailure(error, url)));
    call.on('response', resolve);
    call.end(body);
  });
}

const agents = new Map<string, HttpAgent | HttpsAgent>();

/** Connections are kept for the next request. A proxy that the environment names is for the world outside. */
function agentOf(secure: boolean, local: boolean): HttpAgent | HttpsAgent {
  const key = `${secure} ${local}`;
  const known = agents.get(key);
  if (known !== undefined) return known;
  const options = { keepAlive: true, maxSockets: 16, ...(local ? {} : { proxyEnv: process.env }) };
  const agent = secure ? new HttpsAgent({ ...options, secureContext: trusted() }) : new http.Agent(options);
  agents.set(key, agent);
  return agent;
}

let context: SecureContext | null = null;

/** Node's authorities, those of NODE_EXTRA_CA_CERTS, and the operating system's. Made once a thread: reading them takes a while. */
function trusted(): SecureContext {
  context ??= createSecureContext({ ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system')])] });
  return context;
}

type LookupCallback = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

/** Names are judged by what they resolve to at this very connection. */
function guardedLookup(url: URL, trust: Trust) {
  return (name: string, options: LookupOptions, callback: LookupCallback): void => {
    dnsLookup(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '');
      try {
        for (const { address } of addresses) checkAddress(address, url, trust);
      } catch (refusal) {
        return callback(refusal as NodeJS.ErrnoException, '');
      }
      if (options.all === true) callback(null, addresses);
      else callback(null, addresses[0]!.address, addresses[0]!.family);
    });
  };
}

function checkAddress(address: string, url: URL, trust: Trust): void {
  if (matches(NEVER, address)) throw new RegistryError('invalid', `${url.host} has the address ${address}, where no registry can be`);
  if (!trust.local && isLoopback(address)) throw new RegistryError('invalid', `${url.host} has the address ${address} of this machine. A registry here is called localhost, or is named in the setting registries.insecure`);
}

function isLoopback(address: string): boolean {
  return matches(LOOPBACK, address);
}

function matches(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function asFailure(error: Error, url: URL): RegistryError {
  if (error instanceof RegistryError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (/^(CERT_|ERR_TLS|ERR_SSL|EPROTO|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code)) {
    return new RegistryError('invalid', `The TLS connection to ${url.host} failed: ${error.message}. An authority of your own is made known to the operating system or by NODE_EXTRA_CA_CERTS`, error);
  }
  const words: Record<string, string> = {
    ECONNREFUSED: 'refuses connections', ENOTFOUND: 'is not known to DNS', EAI_AGAIN: 'could not be looked up', ETIMEDOUT: 'does not answer', ECONNRESET: 'closed the connection',
    EHOSTUNREACH: 'cannot be reached', ENETUNREACH: 'cannot be reached',
  };
  return new RegistryError('unavailable', `${url.host} ${words[code] ?? `cannot be reached (${error.message})`}`, error);
}
