import { toolboxSocket, type Layout } from '@paddock/contract';
import type { Socket } from 'node:net';
import { LinkPool, mayRun, type SandboxLink } from '../pool.ts';
import { type Admission, SshConnection } from './connection.ts';
import { hostKeyOf } from './host-key.ts';
import { REASON } from './messages.ts';
import type { SshBackend, SshGateway } from './types.ts';

/** wire: 32 letters and digits. Anything else is not looked up. */
const TOKEN = /^[A-Za-z0-9]{32}$/;
/** Connections of one access. An editor opens a handful; each costs two transports. */
const PER_ACCESS = 64;
/** Connections of one address that have not said who they are. Guessing tokens of 190 bits is hopeless; this bounds what trying costs. */
const UNKNOWN_PER_ADDRESS = 32;
const TOTAL = 2_000;

/** The database has just come back; when it goes again, it is asked again. */
const ASK_AGAIN_MS = 1_000;

const REVOKED = 'This SSH access was revoked.';
const UNKNOWN_TOKEN = 'This SSH access token is unknown, was revoked or has expired. Create a new one for the sandbox and connect with it.';

/** What is open, and for whom. */
interface Open {
  readonly connection: SshConnection;
  readonly address: string;
  access: { readonly id: string; readonly sandboxId: string } | null;
  link: SandboxLink | null;
}

/**
 * SSH for everybody who holds a token. Activity is told at the connect and every 45 s as long as a connection is open.
 * A revoked access and a sandbox that stops end their connections at once. An access that expires does not: its time is for connecting.
 * @param hostKeySeed 32 bytes, the same in all replicas and after restarts
 */
export function createSshGateway(layout: Layout, backend: SshBackend, hostKeySeed: Uint8Array): SshGateway {
  const hostKey = hostKeyOf(hostKeySeed);
  const { sandboxes } = backend;
  // Activity is kept by the pool of the links; requests have one of their own.
  const pool = new LinkPool(layout, sandboxes);
  const open = new Set<Open>();

  const count = (matches: (one: Open) => boolean): number => {
    let found = 0;
    for (const one of open) if (matches(one)) found += 1;
    return found;
  };
  const endWhere = (matches: (one: Open) => boolean, reason: number, sentence: string): void => {
    for (const one of [...open]) if (matches(one)) one.connection.end(reason, sentence);
  };

  const unsubscribe = [
    backend.onRevoked((sandboxId) => {
      if (sandboxId === null) void revokedUnheard();
      else endWhere(({ access }) => access?.sandboxId === sandboxId, REASON.byApplication, REVOKED);
    }),
    sandboxes.onSandboxChanged((sandboxId) => void sandboxChanged(sandboxId)),
  ];

  /**
   * A replaced access and a revoked one look the same by now. Connections of both end: who may still enter connects again, who may
   * not must not stay.
   */
  async function revokedUnheard(): Promise<void> {
    const ids = [...open].flatMap(({ access }) => access?.id ?? []);
    if (ids.length === 0) return;
    const standing = await backend.remaining([...new Set(ids)]).catch(() => null);
    if (standing === null) return void setTimeout(() => void revokedUnheard(), ASK_AGAIN_MS).unref();
    endWhere(({ access }) => access !== null && ids.includes(access.id) && !standing.has(access.id), REASON.byApplication, REVOKED);
  }

  async function sandboxChanged(sandboxId: string): Promise<void> {
    const concerned = ({ access }: Open): boolean => access?.sandboxId === sandboxId;
    if (count(concerned) === 0) return;
    // Unknown for the moment (database away) is no reason to close anything.
    const sandbox = await Promise.resolve(sandboxes.sandbox(sandboxId)).catch(() => undefined);
    if (sandbox === undefined || (sandbox !== null && mayRun(sandbox.state))) return;
    endWhere(concerned, REASON.connectionLost, `Sandbox ${sandboxId} is ${sandbox?.state ?? 'destroyed'}.`);
  }

  async function admit(one: Open, token: string): Promise<Admission> {
    const access = TOKEN.test(token) ? await backend.access(token) : null;
    if (access === null) return { ok: false, reason: REASON.noMoreAuthMethods, sentence: UNKNOWN_TOKEN };
    // At once: a revocation that comes while the rest is looked up ends this connection too.
    const others = count((other) => other.access?.id === access.id);
    one.access = access;
    const sandbox = await sandboxes.sandbox(access.sandboxId);
    if (sandbox === null) return { ok: false, reason: REASON.noMoreAuthMethods, sentence: UNKNOWN_TOKEN };
    if (!mayRun(sandbox.state)) {
      return { ok: false, reason: REASON.byApplication, sentence: `Sandbox ${sandbox.id} is ${sandbox.state}. Start it, then connect again.` };
    }
    const tooMany: Admission = { ok: false, reason: REASON.tooManyConnections, sentence: 'Too many SSH connections to this sandbox are open. Close some, or share one (ControlMaster).' };
    if (others >= PER_ACCESS) return tooMany;
    const link = pool.acquire(sandbox.id, true);
    if (link === null) return tooMany;
    if (!open.has(one)) {
      pool.release(link, true); // the client left while we looked
      return tooMany;
    }
    one.link = link;
    return { ok: true, sandboxId: sandbox.id, socketPath: toolboxSocket(layout, sandbox.id) };
  }

  return {
    serve(socket) {
      const address = socket.remoteAddress ?? '';
      socket.on('error', () => socket.destroy());
      if (open.size >= TOTAL || count((one) => one.address === address && one.access === null) >= UNKNOWN_PER_ADDRESS) {
        socket.end('Too many SSH connections are open. Try again later.\r\n');
        return;
      }
      const beganMs = Date.now();
      const connection: SshConnection = new SshConnection(socket, {
        hostKey,
        admit: (token) => admit(one, token),
        closed(outcome) {
          open.delete(one);
          if (one.link) pool.release(one.link, true);
          backend.report?.({ sandboxId: one.access?.sandboxId ?? '', outcome, durationMs: Date.now() - beganMs });
        },
      });
      const one: Open = { connection, address, access: null, link: null };
      open.add(one);
    },
    close() {
      for (const stop of unsubscribe) stop();
      endWhere(() => true, REASON.byApplication, 'The server is stopping. Connect again in a moment.');
      pool.close();
    },
  };
}
