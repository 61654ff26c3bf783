import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';

/** PKCS #8 of an Ed25519 key up to its 32 bytes of seed (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
/** Length of the raw public key at the end of its SPKI form. */
const PUBLIC_BYTES = 32;

/** What the transport needs of a host key. */
export interface HostKey {
  readonly type: 'ssh-ed25519';
  /** RFC 8709 §4. */
  getPublicSSH(): Buffer;
  sign(data: Buffer): Buffer;
}

/** @param seed 32 bytes made at install; the same seed is the same key, so all replicas show clients one */
export function hostKeyOf(seed: Uint8Array): HostKey {
  const key: KeyObject = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const raw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-PUBLIC_BYTES);
  const blob = Buffer.concat([sshString(Buffer.from('ssh-ed25519')), sshString(raw)]);
  return { type: 'ssh-ed25519', getPublicSSH: () => blob, sign: (data) => sign(null, data, key) };
}

/** wire: the public half as a line of `authorized_keys` or, behind a host's name, of `known_hosts`; without a newline. */
export function publicKeyLine(seed: Uint8Array): string {
  const { type, getPublicSSH } = hostKeyOf(seed);
  return `${type} ${getPublicSSH().toString('base64')}`;
}

function sshString(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
