import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Server } from 'ssh2';
import { becameBusy } from '../http/quiet.ts';
import { SshConnection } from './connection.ts';
import { serverClass } from './library.ts';

let server: Server | null = null;

/** Speaks SSH as the server on a connection that has been authenticated before it came here. */
export function serve(stream: Duplex): void {
  server ??= newServer();
  becameBusy();
  // A client that ended its direction is gone: SSH has no half-open connections, and `ssh2` does not end ours then.
  stream.once('end', () => stream.destroy());
  server.injectSocket(stream as never);
}

function newServer(): Server {
  const made = new (serverClass())({
    hostKeys: [hostKey()],
    ident: 'Paddock',
    // The stream never leaves this host: the cheapest cipher that authenticates, and no compression.
    algorithms: { cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr'], compress: ['none'] },
    // The other end is on the same kernel, which tells when it goes; the longest a timer can hold is never.
    keepaliveInterval: 2 ** 31 - 1,
  } as never);
  made.on('connection', (connection) => new SshConnection(connection));
  return made;
}

/** Of this process only, and in memory only: the gateway knows by the socket whom it talks to, and shows clients a key of its own. */
function hostKey(): string {
  return openSshPem(generateKeyPairSync('ed25519').privateKey);
}

/** OpenSSH's container for a private key without a passphrase, which is the only form of an ed25519 key that `ssh2` reads. */
function openSshPem(key: KeyObject): string {
  const { x, d } = key.export({ format: 'jwk' });
  const [publicKey, seed] = [Buffer.from(x!, 'base64url'), Buffer.from(d!, 'base64url')];
  const type = string('ssh-ed25519');
  const shown = Buffer.concat([type, string(publicKey)]);
  const check = Buffer.alloc(8, 1);
  const secret = Buffer.concat([check, shown, string(Buffer.concat([seed, publicKey])), string('')]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, at) => at + 1));
  const one = Buffer.from([0, 0, 0, 1]);
  const whole = Buffer.concat([Buffer.from('openssh-key-v1\0'), string('none'), string('none'), string(''), one, string(shown), string(Buffer.concat([secret, padding]))]);
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${whole.toString('base64').replace(/.{70}/g, '$&\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

function string(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
