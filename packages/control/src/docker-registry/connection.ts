import { lookup as resolveHost } from 'node:dns';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import type { DockerRegistryConnection } from '@paddock/contract';

/** What opens a registry, as its API wants it. */
export interface RegistryLogin {
  /** `host[:port]` as in references. */
  readonly host: string;
  readonly username: string;
  readonly password: string;
  readonly plainHttp: boolean;
}

const TIMEOUT_MS = 10_000;
/** Tokens of large registries have some kB. */
const MAX_BODY_BYTES = 64 * 1024;
/** References say docker.io; its API is elsewhere. */
const HUB = { host: 'docker.io', api: 'registry-1.docker.io' };

/** Never asked for anything: there lie the credentials of machines in a cloud. */
const REFUSED = new BlockList();
REFUSED.addSubnet('169.254.0.0', 16, 'ipv4');
REFUSED.addSubnet('fe80::', 10, 'ipv6');
REFUSED.addAddress('fd00:ec2::254', 'ipv6');

/**
 * Logs in as a pull would: `GET /v2/`, then what its challenge asks for. Tells whether that worked and never what came back:
 * the address is the user's choice.
 */
export async function testConnection(login: RegistryLogin): Promise<DockerRegistryConnection> {
  const { host } = login;
  const base = `${login.plainHttp ? 'http' : 'https'}://${host === HUB.host ? HUB.api : host}/v2/`;
  const basic = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  try {
    const first = await get(base, null);
    if (first.status === 200) return { success: true, message: `${host} answers and asks for no credentials` };
    if (first.status !== 401) return failure(`${host} is no registry: GET /v2/ answered ${first.status}, not 200 or 401`);
    const challenge = parseChallenge(first.challenge);
    if (challenge === null) return failure(`${host} asks for a kind of login that this server does not speak`);
    const authorization = challenge.scheme === 'basic' ? basic : await fetchToken(challenge, basic, login.username);
    if (authorization === null) return failure(`${host} does not take this user name and password`);
    const second = await get(base, authorization);
    if (second.status === 200) return { success: true, message: `Logged in to ${host} as ${login.username}` };
    // Some take a token without rights for a login all the same.
    if (second.status === 403 && challenge.scheme === 'bearer') return { success: true, message: `Logged in to ${host} as ${login.username}` };
    return failure(second.status === 401 ? `${host} does not take this user name and password` : `${host} answered ${second.status} after the login`);
  } catch (error) {
    return failure(`${host} cannot be reached: ${reasonOf(error)}`);
  }
}

interface Challenge {
  readonly scheme: 'basic' | 'bearer';
  readonly realm: string;
  readonly service: string | null;
}

function parseChallenge(header: string): Challenge | null {
  const scheme = /^\s*(basic|bearer)\b/i.exec(header)?.[1]?.toLowerCase() as Challenge['scheme'] | undefined;
  const value = (name: string) => new RegExp(`\\b${name}="([^"]*)"`, 'i').exec(header)?.[1] ?? null;
  const realm = value('realm') ?? '';
  if (scheme === 'basic') return { scheme, realm, service: null };
  return scheme === 'bearer' && URL.canParse(realm) ? { scheme, realm, service: value('service') } : null;
}

/** @returns null: refused */
async function fetchToken({ realm, service }: Challenge, basic: string, account: string): Promise<string | null> {
  const url = new URL(realm);
  if (service !== null) url.searchParams.set('service', service);
  url.searchParams.set('account', account);
  const reply = await get(url.href, basic);
  if (reply.status !== 200) return null;
  try {
    const { token, access_token: other } = JSON.parse(reply.body) as { token?: unknown; access_token?: unknown };
    const text = token ?? other;
    return typeof text === 'string' && /^[\x21-\x7e]+$/.test(text) ? `Bearer ${text}` : null;
  } catch {
    return null; // not JSON
  }
}

interface Answer {
  readonly status: number;
  readonly challenge: string;
  readonly body: string;
}

/** Follows no redirect: credentials go where the user said. */
function get(address: string, authorization: string | null): Promise<Answer> {
  const url = new URL(address);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return Promise.reject(new Error('its login page has no web address'));
  const name = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(name) && isRefused(name)) return Promise.reject(new Error('link-local addresses are not asked'));
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'http:' ? httpRequest : httpsRequest)(url, {
      lookup, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS), headers: { accept: 'application/json', ...(authorization === null ? {} : { authorization }) },
    }, (response) => {
      bounded(response).then((body) => resolve({ status: response.statusCode ?? 0, challenge: String(response.headers['www-authenticate'] ?? ''), body }), reject);
    });
    request.once('error', reject);
    request.end();
  });
}

async function bounded(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY_BYTES) throw new Error('its answer is too long');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Checked where the connection is made: a name that resolves differently the second time changes nothing. */
const lookup: LookupFunction = (name, options, callback) => {
  resolveHost(name, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, []);
    const refused = addresses.find(({ address }) => isRefused(address));
    if (refused) return callback(Object.assign(new Error('link-local addresses are not asked'), { code: 'EACCES' }), []);
    if (options.all) return callback(null, addresses);
    callback(null, addresses[0]!.address, addresses[0]!.family);
  });
};

function isRefused(address: string): boolean {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  return REFUSED.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such host', EAI_AGAIN: 'its name cannot be resolved at the moment', ECONNREFUSED: 'nothing listens there', ECONNRESET: 'it closed the connection',
  EPROTO: 'it does not speak TLS; write http:// before the address if that is meant', ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS; write http:// before the address if that is meant',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS; write http:// before the address if that is meant', ABORT_ERR: 'it does not answer within ten seconds',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed', SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is self-signed', CERT_HAS_EXPIRED: 'its certificate has expired',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate cannot be verified', ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
};

function reasonOf(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (name === 'AbortError' || name === 'TimeoutError') return REASONS['ABORT_ERR']!;
  return REASONS[code ?? ''] ?? (code ? `the connection failed (${code})` : message);
}

function failure(message: string): DockerRegistryConnection {
  return { success: false, message };
}
