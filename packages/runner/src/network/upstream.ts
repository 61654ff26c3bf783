import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync, statSync } from 'node:fs';
import { connect, isIP, isIPv6 } from 'node:net';
import { answers, framed, idOf, MessageReader, withId } from './dns-message.ts';

/** The servers that queries go to, and one query to one of them. */

const RESOLV_CONF = '/etc/resolv.conf';

/** The host's file changes when a laptop changes networks; looking at its time that often costs nothing. */
const RECHECK_MS = 5_000;

export class Upstreams {
  readonly #configured: readonly string[] | null;
  readonly #path: string;
  #servers: readonly string[] = [];
  #modifiedMs = -1;
  #checkedMs = Number.NEGATIVE_INFINITY;

  /** @param configured null: the host's resolv.conf, followed as it changes */
  constructor(configured: readonly string[] | null, path = RESOLV_CONF) {
    this.#configured = configured;
    this.#path = path;
  }

  list(): readonly string[] {
    if (this.#configured !== null) return this.#configured;
    const now = performance.now();
    if (now - this.#checkedMs < RECHECK_MS) return this.#servers;
    this.#checkedMs = now;
    try {
      const { mtimeMs } = statSync(this.#path);
      if (mtimeMs !== this.#modifiedMs) {
        this.#servers = parseResolvConf(readFileSync(this.#path, 'utf8'));
        this.#modifiedMs = mtimeMs;
      }
    } catch {
      this.#servers = []; // a host without the file has no resolver: queries fail and say so
      this.#modifiedMs = -1;
    }
    return this.#servers;
  }
}

export function parseResolvConf(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const address = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return address !== undefined && isIP(address.replace(/%.*$/, '')) !== 0 ? [address] : [];
  });
}

const DNS_PORT = 53;

/** Programs ask again after five seconds; an answer after that helps nobody. */
const TIMEOUT_MS = 5_000;

export type Ask = (server: string, query: Buffer) => Promise<Buffer>;

/**
 * Each query has a socket and an identifier of its own, both random: who wants to forge an answer has to guess 32 bits
 * and the question within the time a server takes.
 */
export const askByUdp: Ask = (server, query) =>
  new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server.replace(/%.*$/, '')) ? 'udp6' : 'udp4');
    const sent = withId(query, randomInt(0x1_0000));
    const timer = setTimeout(() => fail(new Error('no answer')), TIMEOUT_MS);
    const finish = (): void => {
      clearTimeout(timer);
      socket.close();
    };
    const fail = (error: Error): void => {
      finish();
      reject(error);
    };
    socket.once('error', fail);
    socket.on('message', (reply) => {
      if (!answers(reply, sent)) return;
      finish();
      resolve(withId(reply, idOf(query)));
    });
    // Connected: the kernel passes on nothing from anybody else, and tells when nobody listens there.
    socket.connect(DNS_PORT, server, () => socket.send(sent));
  });

export const askByTcp: Ask = (server, query) =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: server, port: DNS_PORT, noDelay: true });
    const sent = withId(query, randomInt(0x1_0000));
    const reader = new MessageReader();
    const timer = setTimeout(() => socket.destroy(new Error('no answer')), TIMEOUT_MS);
    let reply: Buffer | undefined;
    socket.once('connect', () => socket.write(framed(sent)));
    socket.on('data', (chunk: Buffer) => {
      reply = reader.push(chunk).find((message) => answers(message, sent));
      if (reply !== undefined) socket.destroy();
    });
    socket.once('error', reject);
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(timer);
      if (reply === undefined) reject(new Error('the server hung up'));
      else resolve(withId(reply, idOf(query)));
    });
  });

/** A healthy server answers from its cache in a few ms and from far away in 200; after this time another one may be quicker. */
const PATIENCE_MS = 400;

/**
 * Asks the servers in order, the next one when the last has failed or been silent for a while, and takes the first
 * answer of any.
 * @returns null when none answered
 */
export function askInTurn(servers: readonly string[], query: Buffer, ask: Ask): Promise<{ server: string; reply: Buffer } | null> {
  return new Promise((resolve) => {
    let started = 0;
    let failed = 0;
    let timer: NodeJS.Timeout | undefined;
    const next = (): void => {
      clearTimeout(timer);
      const server = servers[started];
      if (server === undefined) {
        if (failed === servers.length) resolve(null);
        return;
      }
      started += 1;
      timer = setTimeout(next, PATIENCE_MS);
      ask(server, query).then((reply) => {
        clearTimeout(timer);
        started = servers.length;
        resolve({ server, reply });
      }, () => {
        failed += 1;
        next();
      });
    };
    next();
  });
}
