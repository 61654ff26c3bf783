import type { Socket } from 'node:net';
import type { HostKey } from './host-key.ts';
import { announcesHostKeys, limitPacketSize, REASON } from './messages.ts';
import { dialToolbox } from './toolbox-end.ts';
import { Transport } from './transport.ts';

/** From the accepted connection to a shell: OpenSSH's own limit is 120 s, but here nobody types a password. */
const AUTH_MS = 20_000;
/** A client that vanished without a word is found by TCP probes after this. */
const PROBE_MS = 60_000;

/** Where a token leads, or the sentence its holder reads. */
export type Admission =
  | { readonly ok: true; readonly sandboxId: string; readonly socketPath: string }
  | { readonly ok: false; readonly reason: number; readonly sentence: string };

export interface ConnectionDeps {
  readonly hostKey: HostKey;
  readonly admit: (token: string) => Promise<Admission>;
  readonly closed: (outcome: string) => void;
}

/**
 * One SSH connection of a user. wire: no authentication method but `none`; the user name is the token, and any method that a
 * client tries is answered by it. Behind it a transport to the sandbox's toolbox is opened and all that follows is carried
 * between the two, message by message: channels, requests, windows and answers are those of the two ends.
 */
export class SshConnection {
  readonly #client: Transport;
  readonly #deps: ConnectionDeps;
  readonly #gone = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #toolbox: Transport | null = null;
  #asked = false;
  #outcome = 'closed before authentication';

  constructor(socket: Socket, deps: ConnectionDeps) {
    this.#deps = deps;
    socket.setNoDelay(true).setKeepAlive(true, PROBE_MS);
    this.#timer = setTimeout(() => this.end(REASON.byApplication, 'Authentication took too long.'), AUTH_MS);
    this.#client = new Transport(socket, deps.hostKey, {
      serviceRequested: (name) => {
        if (name === 'ssh-userauth') this.#client.acceptService(name);
        else this.end(REASON.serviceNotAvailable, `There is no service ${JSON.stringify(name.slice(0, 40))}.`);
      },
      authRequested: (user, service) => void this.#authenticate(user, service),
      message: (payload) => carry(payload, this.#client, this.#toolbox),
      closed: () => this.#closed(),
    });
  }

  get isAuthenticated(): boolean {
    return this.#client.relaying;
  }

  /** @param sentence shown to the user by the client */
  end(reason: number, sentence: string): void {
    if (this.#client.isClosed) return;
    this.#outcome = sentence;
    this.#client.disconnect(reason, sentence);
  }

  async #authenticate(user: string, service: string): Promise<void> {
    // RFC 4252 §5.1: after success further requests are ignored. Several at once have no use here.
    if (this.#asked) return;
    this.#asked = true;
    if (service !== 'ssh-connection') return this.end(REASON.serviceNotAvailable, 'There is no such service.');
    try {
      const admission = await this.#deps.admit(user);
      if (this.#client.isClosed) return;
      if (!admission.ok) return this.end(admission.reason, admission.sentence);
      const toolbox = await this.#openToolbox(admission.socketPath);
      if (this.#client.isClosed) return void toolbox?.close();
      if (toolbox === null) return this.end(REASON.connectionLost, `Sandbox ${admission.sandboxId} does not answer. Is it started?`);
    } catch {
      return this.end(REASON.byApplication, 'The access could not be checked. Try again in a moment.');
    }
    clearTimeout(this.#timer);
    this.#outcome = 'closed by the client';
    this.#client.relaying = true;
    this.#client.acceptAuth();
  }

  /** @returns when the toolbox has let us in; null when it did not */
  async #openToolbox(socketPath: string): Promise<Transport | null> {
    const answer = await dialToolbox(socketPath, this.#gone.signal);
    if (answer === null) return null;
    const opened = Promise.withResolvers<Transport | null>();
    const toolbox = new Transport(answer.stream, null, {
      ready: () => toolbox.requestService(),
      serviceAccepted: () => toolbox.requestAuth('daytona'),
      authSucceeded: () => {
        // From this very message on: what follows may be in the same chunk.
        toolbox.relaying = true;
        opened.resolve(toolbox);
      },
      authFailed: () => toolbox.close(),
      message: (payload) => {
        if (!announcesHostKeys(payload)) carry(payload, toolbox, this.#client);
      },
      closed: () => {
        opened.resolve(null);
        if (this.#client.relaying) this.end(REASON.connectionLost, 'The sandbox closed the connection.');
      },
    });
    this.#toolbox = toolbox;
    if (answer.head.length > 0) toolbox.feed(answer.head);
    return opened.promise;
  }

  #closed(): void {
    clearTimeout(this.#timer);
    this.#gone.abort();
    this.#toolbox?.close();
    this.#deps.closed(this.#outcome);
  }
}

/** One message, at the pace of its reader. */
function carry(payload: Buffer, from: Transport, to: Transport | null): void {
  if (to === null) return;
  limitPacketSize(payload);
  if (!to.send(payload)) from.waitFor(to);
}
