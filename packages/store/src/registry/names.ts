/** What may stand in a path of the registry. */

const COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const DIGEST = /^(?:(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128}))$/;
/** Clients refuse longer ones, and it fits a file name and an S3 key together with what we put around it. */
const MAX_NAME = 200;

export type Algorithm = 'sha256' | 'sha512';

export interface Digest {
  readonly algorithm: Algorithm;
  readonly hex: string;
  /** `algorithm:hex` */
  readonly text: string;
}

export function isRepository(name: string): boolean {
  return name.length <= MAX_NAME && name.split('/').every((component) => COMPONENT.test(component));
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** @returns null for what is no digest of a kind we verify */
export function parseDigest(text: string): Digest | null {
  const match = DIGEST.exec(text);
  if (!match) return null;
  const algorithm = (match[1] ?? match[3]) as Algorithm;
  return { algorithm, hex: (match[2] ?? match[4])!, text };
}
