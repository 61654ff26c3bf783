/** References to images, read as Docker reads them. */
import { RegistryError } from './errors.ts';

export interface Reference {
  /** `host[:port]` as users write it; `docker.io` for Docker Hub. */
  readonly host: string;
  /** Without the host, `library/` filled in on Docker Hub. */
  readonly repository: string;
  /** `sha256:<hex>`, or a tag. */
  readonly version: string;
  readonly digest: string | null;
}

export const DOCKER_HUB = 'docker.io';

/** What has been Docker Hub's name in references. */
const HUB_ALIASES = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']);

const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
/** distribution-spec: <name>. */
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
export const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** A repository's whole name is at most this long. */
const MAX_NAME = 255;
const MAX_TEXT = 1_024;

/** @throws RegistryError invalid */
export function parseReference(text: string): Reference {
  if (text.length > MAX_TEXT) throw new RegistryError('invalid', `A reference to an image has at most ${MAX_TEXT} characters`);
  const wrong = (): never => {
    throw new RegistryError('invalid', `${JSON.stringify(text)} is no reference to an image: write it as [host/]name[:tag] or [host/]name@sha256:<64 hex digits>`);
  };
  const [named = '', digest = null, rest] = text.split('@');
  if (rest !== undefined || (digest !== null && !DIGEST.test(digest))) wrong();
  const { host, path } = splitHost(named);
  const colon = path.lastIndexOf(':');
  const tag = colon < 0 ? null : path.slice(colon + 1);
  const name = colon < 0 ? path : path.slice(0, colon);
  const repository = host === DOCKER_HUB && !name.includes('/') ? `library/${name}` : name;
  if (!HOST.test(host) || !REPOSITORY.test(repository) || repository.length > MAX_NAME || (tag !== null && !TAG.test(tag))) wrong();
  return { host, repository, version: digest ?? tag ?? 'latest', digest };
}

export function sameHost(one: string, other: string): boolean {
  return normalHost(one) === normalHost(other);
}

/** What comes before the first slash is a host when it could be no name of a user or an organization. */
function splitHost(text: string): { host: string; path: string } {
  const slash = text.indexOf('/');
  const first = slash < 0 ? '' : text.slice(0, slash);
  const isHost = first === 'localhost' || /[.:[]/.test(first) || first !== first.toLowerCase();
  return isHost ? { host: normalHost(first), path: text.slice(slash + 1) } : { host: DOCKER_HUB, path: text };
}

export function normalHost(host: string): string {
  const lower = host.toLowerCase().replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  return HUB_ALIASES.has(lower) ? DOCKER_HUB : lower;
}
