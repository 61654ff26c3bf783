/** Bodies of requests, parsed at the edge into types that cannot be wrong. */
import { VOLUME_DRIVERS, type NetworkPolicy, type ObjectAccess, type SandboxPatch, type SandboxSpec, type StopRequest, type VolumeDriver, type VolumeMount } from '@paddock/contract';
import { RunnerError } from '../runner-error.ts';

type Check<T> = (value: unknown, name: string) => T;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const CIDR = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/;

/** Far above any machine this runs on; keeps sums of bytes exact. */
const MAX_CPU = 1024;
const MAX_GIB = 1_048_576;
/** The kernel refuses a larger single string of an environment. */
const MAX_ENV_VALUE = 131_071;

export function invalid(message: string): never {
  throw new RunnerError('INVALID_SPEC', message);
}

export function parseId(text: string): string {
  return UUID.test(text) ? text : invalid(`The id must be a UUID in lower case, not ${JSON.stringify(text.slice(0, 64))}`);
}

export function parseSpec(value: unknown, id: string): SandboxSpec {
  const body = object(value, 'the body');
  const known = { id: string, image: string, user: stringOrNull, env, cpu, memoryGiB: gib, diskGiB: gib, network, volumes, entrypoint, token: string };
  const spec = fields(body, known, Object.keys(known)) as unknown as SandboxSpec;
  if (spec.id !== id) invalid('`id` must be the id of the path');
  return spec;
}

export function parsePatch(value: unknown): SandboxPatch {
  return fields(object(value, 'the body'), { network, cpu, memoryGiB: gib, diskGiB: gib, env, volumes, token: string }, []) as SandboxPatch;
}

export function parseVolume(value: unknown): { readonly driver: VolumeDriver; readonly access: ObjectAccess | null } {
  const { driver: kind, access: given = null } = fields(object(value, 'the body'), { driver, access }, ['driver']);
  return { driver: kind as VolumeDriver, access: given as ObjectAccess | null };
}

export function parseStop(value: unknown): StopRequest {
  return value === undefined ? {} : fields(object(value, 'the body'), { force: boolean }, []) as StopRequest;
}

/** Every field known and checked; a name that is not known is a mistake of the caller, not to be passed over. */
export function fields(body: Record<string, unknown>, known: Record<string, Check<unknown>>, required: readonly string[]): Record<string, unknown> {
  for (const name of Object.keys(body)) if (!Object.hasOwn(known, name)) invalid(`Unknown field \`${name}\``);
  for (const name of required) if (body[name] === undefined) invalid(`\`${name}\` is missing`);
  return Object.fromEntries(Object.entries(body).map(([name, value]) => [name, known[name]!(value, name)]));
}

export function object(value: unknown, name: string): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : invalid(`${name} must be an object`);
}

/** Nothing that holds a zero byte can become an argument, a path or a variable. */
export function string(value: unknown, name: string): string {
  return typeof value === 'string' && !value.includes('\0') ? value : invalid(`\`${name}\` must be a string without zero bytes`);
}

export function stringOrNull(value: unknown, name: string): string | null {
  return value === null ? null : string(value, name);
}

function boolean(value: unknown, name: string): boolean {
  return typeof value === 'boolean' ? value : invalid(`\`${name}\` must be true or false`);
}

function positive(most: number): Check<number> {
  return (value, name) => typeof value === 'number' && Number.isFinite(value) && value > 0 && value <= most
    ? value : invalid(`\`${name}\` must be a number above 0 and at most ${most}`);
}

const cpu = positive(MAX_CPU);
const gib = positive(MAX_GIB);

function env(value: unknown, name: string): Record<string, string> {
  const map = object(value, name);
  for (const [key, text] of Object.entries(map)) {
    if (key === '' || key.includes('=') || key.includes('\0')) invalid(`\`${name}\` has an invalid name: ${JSON.stringify(key)}`);
    if (string(text, `${name}.${key}`).length > MAX_ENV_VALUE) invalid(`\`${name}.${key}\` is longer than ${MAX_ENV_VALUE} characters`);
  }
  return map as Record<string, string>;
}

function network(value: unknown, name: string): NetworkPolicy {
  const policy = object(value, name);
  return fields(policy, {
    blockAll: boolean,
    allowList: (list, at) => list === null ? null : strings(list, at).map(cidr),
  }, ['blockAll', 'allowList']) as unknown as NetworkPolicy;
}

/** Lines of a configuration file are made of it. */
function access(value: unknown, name: string): ObjectAccess | null {
  if (value === null) return null;
  const line: Check<string> = (text, at) => /^[\x20-\x7e]*$/.test(string(text, at)) ? text as string : invalid(`\`${at}\` must be printable ASCII`);
  const known = { endpoint: line, region: line, bucket: line, prefix: line, accessKey: line, secretKey: line, sessionToken: (text: unknown, at: string) => text === null ? null : line(text, at) };
  return fields(object(value, name), known, Object.keys(known)) as unknown as ObjectAccess;
}

function volumes(value: unknown, name: string): VolumeMount[] {
  if (!Array.isArray(value)) invalid(`\`${name}\` must be a list`);
  const mounts = value.map((item: unknown, index) => fields(
    object(item, `${name}.${index}`), { volumeId, driver, mountPath, subpath }, ['volumeId', 'driver', 'mountPath', 'subpath'],
  ) as unknown as VolumeMount);
  if (new Set(mounts.map((mount) => mount.mountPath)).size < mounts.length) invalid(`\`${name}\` has two volumes at one path`);
  return mounts;
}

function volumeId(value: unknown, name: string): string {
  return parseId(string(value, name));
}

function driver(value: unknown, name: string): VolumeDriver {
  return VOLUME_DRIVERS.find((known) => known === value) ?? invalid(`\`${name}\` must be one of ${VOLUME_DRIVERS.join(', ')}`);
}

/** The kernel takes paths of 4,095 bytes and names of 255. */
const MAX_PATH = 4_095;
const MAX_NAME = 255;

function mountPath(value: unknown, name: string): string {
  const path = string(value, name);
  return path.startsWith('/') && isNormal(path.slice(1)) ? path : invalid(`\`${name}\` must be an absolute path without empty, \`.\` and \`..\` segments`);
}

function subpath(value: unknown, name: string): string | null {
  if (value === null) return null;
  const path = string(value, name);
  return isNormal(path) ? path : invalid(`\`${name}\` must be a relative path without empty, \`.\` and \`..\` segments`);
}

function isNormal(path: string): boolean {
  const isName = (part: string): boolean => part !== '' && part !== '.' && part !== '..' && Buffer.byteLength(part) <= MAX_NAME;
  return Buffer.byteLength(path) < MAX_PATH && path.split('/').every(isName);
}

function entrypoint(value: unknown, name: string): readonly string[] | null {
  return value === null ? null : strings(value, name);
}

export function strings(value: unknown, name: string): string[] {
  return Array.isArray(value) ? value.map((item) => string(item, name)) : invalid(`\`${name}\` must be a list`);
}

function cidr(text: string): string {
  const parts = CIDR.exec(text)?.slice(1).map(Number);
  const valid = parts !== undefined && parts.slice(0, 4).every((octet) => octet <= 255) && parts[4]! <= 32;
  return valid ? text : invalid(`\`network.allowList\` holds ${JSON.stringify(text)}, which is no IPv4 CIDR`);
}
