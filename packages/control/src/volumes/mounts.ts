import { GUEST_MOUNT } from '@paddock/contract';

/** A volume of a `POST /sandbox` body. What it refers to is not looked up yet. */
export interface RequestedMount {
  /** Id or name. */
  readonly reference: string;
  readonly mountPath: string;
  readonly subpath: string | null;
}

/** Each costs some mounts and descriptors at every start. */
const MAX_MOUNTS = 64;
/** What the kernel takes, in bytes. */
const MAX_PATH = 4_095;
const MAX_NAME = 255;

/** wire: directories of the system that no volume may hide or lie in. */
const SYSTEM_DIRECTORIES = ['/proc', '/sys', '/dev', '/boot', '/etc', '/bin', '/sbin', '/lib', '/lib64'];
/** Hiding Paddock's own part of a sandbox would end it. */
const HIDES_GUEST = ancestors(GUEST_MOUNT);

/** Reads `volumes`; everything that is wrong is added to `problems`. */
export function parseMounts(value: unknown, problems: string[]): readonly RequestedMount[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return wrong(problems, 'volumes must be an array');
  if (value.length > MAX_MOUNTS) return wrong(problems, `volumes must contain no more than ${MAX_MOUNTS} elements`);
  const mounts = value.flatMap((item: unknown, index) => parseMount(item, `volumes.${index}`, problems));
  const seen = new Set<string>();
  for (const { mountPath } of mounts) {
    if (seen.has(mountPath)) problems.push(`volumes: two volumes at the mount path ${mountPath}`);
    seen.add(mountPath);
  }
  return mounts;
}

/** A volume is mounted inside another one. */
export function nestedMounts(mounts: ReadonlyArray<{ readonly mountPath: string }>): boolean {
  return mounts.some((inner) => mounts.some((outer) => inner.mountPath.startsWith(`${outer.mountPath}/`)));
}

function parseMount(item: unknown, where: string, problems: string[]): readonly RequestedMount[] {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return wrong(problems, `${where} must be an object`);
  const { volumeId, mountPath, subpath } = item as Record<string, unknown>;
  const before = problems.length;
  if (typeof volumeId !== 'string' || volumeId === '') problems.push(`${where}.volumeId must be the id or name of a volume`);
  const path = typeof mountPath === 'string' ? normalMountPath(mountPath) : { problem: 'must be a string' };
  if ('problem' in path) problems.push(`${where}.mountPath ${path.problem}`);
  const below = subpath === undefined || subpath === null || subpath === '' ? { path: null }
    : typeof subpath === 'string' ? normalSubpath(subpath) : { problem: 'must be a string' };
  if ('problem' in below) problems.push(`${where}.subpath ${below.problem}`);
  if (problems.length > before || 'problem' in path || 'problem' in below) return [];
  return [{ reference: volumeId as string, mountPath: path.path, subpath: below.path }];
}

type Normal<T> = { readonly path: T } | { readonly problem: string };

/** wire: a doubled slash at the beginning and one at the end are no mistake. */
function normalMountPath(text: string): Normal<string> {
  const path = text.replace(/^\/\/(?!\/)/, '/').replace(/(?<=[^/])\/$/, '');
  if (!path.startsWith('/')) return { problem: 'must be an absolute path' };
  if (path === '/') return { problem: 'must not be the root directory' };
  const problem = segmentsProblem(path.slice(1));
  if (problem) return { problem };
  const system = SYSTEM_DIRECTORIES.find((directory) => path === directory || path.startsWith(`${directory}/`));
  if (system) return { problem: `must not be in the system directory ${system}` };
  if (HIDES_GUEST.includes(path) || path.startsWith(`${GUEST_MOUNT}/`)) return { problem: `must leave ${GUEST_MOUNT} visible` };
  return { path };
}

function normalSubpath(text: string): Normal<string> {
  if (text.startsWith('/')) return { problem: 'must be a relative path' };
  const path = text.replace(/(?<=[^/])\/$/, '');
  const problem = segmentsProblem(path);
  return problem ? { problem } : { path };
}

function segmentsProblem(path: string): string | null {
  const segments = path.split('/');
  if (segments.includes('')) return 'must not contain consecutive slashes';
  if (segments.includes('.') || segments.includes('..')) return 'must not contain . or .. segments';
  if (/[\u0000-\u001f\u007f]/.test(path)) return 'must not contain control characters';
  if (Buffer.byteLength(path) >= MAX_PATH) return `must be shorter than ${MAX_PATH} bytes`;
  if (segments.some((segment) => Buffer.byteLength(segment) > MAX_NAME)) return `must not have a segment of more than ${MAX_NAME} bytes`;
  // Half a surrogate pair cannot be written as UTF-8 and would become another name.
  return path.isWellFormed() ? null : 'must be well-formed text';
}

/** The path and every directory above it but the root. */
function ancestors(path: string): string[] {
  const parts = path.split('/').slice(1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
}

function wrong(problems: string[], problem: string): readonly [] {
  problems.push(problem);
  return [];
}
