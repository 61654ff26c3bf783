import type { Duplex } from 'node:stream';
import Protocol from 'ssh2/lib/protocol/Protocol.js';
import utils from 'ssh2/lib/protocol/utils.js';
import { FIRST_CONNECTION_MESSAGE, disconnectMessage } from './messages.ts';
import type { HostKey } from './host-key.ts';

/** Without ciphers, key exchanges and signatures that rest on SHA-1. No compression: it would only cost time here. */
const KEX = [
  'curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp384', 'ecdh-sha2-nistp521',
  'diffie-hellman-group-exchange-sha256', 'diffie-hellman-group14-sha256', 'diffie-hellman-group16-sha512',
];
const CIPHERS = {
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr'],
  mac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  compress: ['none'],
  lang: [],
};
/** Of the toolbox's end, any key will do: who listens at a sandbox's socket is settled by who made the socket. */
const TOOLBOX_KEYS = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256'];

/** After a disconnect message the other side gets this long to close the connection. */
const LINGER_MS = 2_000;

/**
 * Messages that wait for the end of a key exchange. Honest peers stay within the windows of their channels, 2 MiB each; one that stalls
 * the exchange while its accomplice in the sandbox sends on would otherwise fill the process.
 */
const MAX_HELD_BYTES = 64 * 1024 * 1024;

export interface TransportEvents {
  /** Keys are exchanged for the first time. */
  ready?(): void;
  serviceRequested?(name: string): void;
  authRequested?(user: string, service: string): void;
  serviceAccepted?(): void;
  authSucceeded?(): void;
  authFailed?(): void;
  /** A message of the connection protocol, once `relaying`. The buffer is only valid during the call. */
  message?(payload: Buffer): void;
  /** Called once, however it ended. */
  closed(): void;
}

/**
 * One SSH transport over a stream: key exchange, encryption and the handful of authentication messages. What comes after is
 * handed over as it is, so that a relay carries every kind of channel and request, known to it or not.
 */
export class Transport {
  /** From then on messages of the connection protocol go to `message`; before, they are dropped. */
  relaying = false;
  readonly #stream: Duplex;
  readonly #protocol: Protocol;
  readonly #events: TransportEvents;
  #closed = false;
  #corked = false;
  #waiting = false;
  #heldBytes = 0;

  /** @param hostKey of a server; null: the client's end */
  constructor(stream: Duplex, hostKey: HostKey | null, events: TransportEvents) {
    this.#stream = stream;
    this.#events = events;
    let isReady = false;
    this.#protocol = new Protocol({
      server: hostKey !== null,
      ...(hostKey ? { hostKeys: { [hostKey.type]: hostKey } } : {}),
      ident: 'Paddock',
      offer: { kex: [...KEX], serverHostKey: hostKey ? [hostKey.type] : TOOLBOX_KEYS, cs: CIPHERS, sc: CIPHERS },
      onWrite: (data) => this.#write(data),
      onError: () => this.close(),
      onHandshakeComplete: () => {
        if (!isReady) events.ready?.();
        isReady = true;
      },
      messageHandlers: {
        DISCONNECT: () => this.close(),
        SERVICE_REQUEST: (_self, name: string) => events.serviceRequested?.(name),
        SERVICE_ACCEPT: () => events.serviceAccepted?.(),
        USERAUTH_REQUEST: (_self, user: string, service: string) => events.authRequested?.(user, service),
        USERAUTH_SUCCESS: () => events.authSucceeded?.(),
        USERAUTH_FAILURE: () => events.authFailed?.(),
      },
    });
    this.#interceptMessages();
    stream.on('data', (chunk: Buffer) => this.feed(chunk));
    stream.on('error', () => this.close());
    stream.once('end', () => this.close());
    stream.once('close', () => this.close());
    this.#protocol.start();
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Bytes that were read before the stream became a transport. */
  feed(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#protocol.parse(chunk, 0, chunk.length);
    } catch {
      this.close(); // not SSH, or altered on the way
    }
  }

  requestService(): void {
    this.#protocol.service('ssh-userauth');
  }

  requestAuth(user: string): void {
    this.#protocol.authNone(user);
  }

  acceptService(name: string): void {
    this.#protocol.serviceAccept(name);
  }

  acceptAuth(): void {
    this.#protocol.authSuccess();
  }

  /** @returns false when the stream has enough to do for now: see `waitFor` */
  send(payload: Buffer): boolean {
    if (this.#closed) return true;
    this.#heldBytes = this.#protocol._kexinit === undefined ? 0 : this.#heldBytes + payload.length;
    if (this.#heldBytes > MAX_HELD_BYTES) {
      this.close();
      return true;
    }
    const { write } = this.#protocol._packetRW;
    const packet = write.alloc(payload.length);
    // During a key exchange packets are queued without their header.
    packet.set(payload, packet.length === payload.length ? 0 : write.allocStart);
    utils.sendPacket(this.#protocol, write.finalize(packet));
    return !this.#stream.writableNeedDrain;
  }

  /** Reads nothing until the other's stream has delivered what it was given. */
  waitFor(other: Transport): void {
    if (this.#waiting) return; // a chunk may hold several messages
    this.#waiting = true;
    this.#stream.pause();
    other.#stream.once('drain', () => {
      this.#waiting = false;
      this.#stream.resume();
    });
  }

  /** Tells the other side why, then closes. */
  disconnect(reason: number, text: string): void {
    if (this.#closed) return;
    const { write } = this.#protocol._packetRW;
    const payload = disconnectMessage(reason, text);
    const packet = write.alloc(payload.length, true);
    packet.set(payload, write.allocStartKEX);
    utils.sendPacket(this.#protocol, write.finalize(packet, true), true);
    this.close();
  }

  /** What was written is still delivered. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.resume(); // an end is only seen by who reads
    this.#stream.end();
    const timer = setTimeout(() => this.#stream.destroy(), LINGER_MS);
    this.#stream.once('close', () => clearTimeout(timer));
    setImmediate(() => this.#protocol.cleanup());
    this.#events.closed();
  }

  #interceptMessages(): void {
    const protocol = this.#protocol;
    const own = protocol._onPayload;
    protocol._onPayload = (payload) => {
      if ((payload[0] ?? 0) < FIRST_CONNECTION_MESSAGE) return own(payload);
      if (this.relaying && !this.#closed) this.#events.message?.(protocol._packetRW.read.read(payload));
      return undefined;
    };
  }

  /** A packet is written in pieces; they leave together. */
  #write(data: Buffer): void {
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#stream.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#stream.uncork();
      });
    }
    this.#stream.write(data);
  }
}
