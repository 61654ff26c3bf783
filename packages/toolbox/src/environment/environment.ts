import { readFileSync, writeFileSync, openSync, closeSync, fstatSync, ftruncateSync, constants } from 'node:fs';
import os from 'node:os';
import { TOOLBOX_PROCESS_ENV } from '../index.ts';
import { TOOLBOX_ENV, type ToolboxInit, type ToolboxLimits } from '@paddock/contract';

/** Environment of a process: names to values. */
export type Env = Readonly<Record<string, string>>;

/**
 * Prefix of the variables meant for this process. They never reach anything the user starts.
 */
const OWN = 'PADDOCK_';

/**
 * `PADDOCK_USER_X=value` becomes `X=value` for the user's processes: how the engine passes variables of the image that would
 * change this very process, such as NODE_OPTIONS or LD_PRELOAD.
 */
const FOR_USER = 'PADDOCK_USER_';

/** What has been told to the toolbox, in layers. A later layer wins. */
interface Layers {
  init: Env;
  /** Changes by `POST /env` since; null removes a name. */
  edits: Record<string, string | null>;
  entrypointStarted: boolean;
  /** Since the sandbox was resized. */
  limits?: ToolboxLimits;
}

const base = baseOf(process.env);
let layers: Layers = { init: {}, edits: {}, entrypointStarted: false };
let effective: Env = base;

/** Environment of everything started from here on. */
export function currentEnv(): Env {
  return effective;
}

/** Replaces the variables of the init before. An edit survives unless this init gives its name another value than the last one did. */
export function applyInit(init: ToolboxInit): void {
  const { env, limits } = init;
  if (limits !== undefined) layers = { ...layers, limits };
  if (env === undefined) {
    if (limits !== undefined) changed();
    return;
  }
  const edits = Object.fromEntries(Object.entries(layers.edits).filter(([name]) => env[name] === layers.init[name]));
  layers = { ...layers, init: { ...env }, edits };
  changed();
}

export interface EnvEdit {
  readonly set: Env;
  readonly unset: readonly string[];
  readonly unsetValuePrefix: string | undefined;
}

/** Wire: first `unset`, then every variable whose value has the prefix and that `set` does not name, then `set`. */
export function applyEdit(edit: EnvEdit): void {
  const edits = { ...layers.edits };
  for (const name of edit.unset) edits[name] = null;
  if (edit.unsetValuePrefix !== undefined && edit.unsetValuePrefix !== '') {
    for (const [name, value] of Object.entries(effective)) {
      if (value.startsWith(edit.unsetValuePrefix) && !(name in edit.set)) edits[name] = null;
    }
  }
  Object.assign(edits, edit.set);
  layers = { ...layers, edits };
  changed();
}

/** True for the first caller of a sandbox's boot, false for every later one, also after a restart of this process. */
export function claimEntrypoint(): boolean {
  if (layers.entrypointStarted) return false;
  layers = { ...layers, entrypointStarted: true };
  changed();
  return true;
}

function changed(): void {
  const next: Record<string, string> = { ...base, ...layers.init };
  for (const [name, value] of Object.entries(layers.edits)) {
    if (value === null) delete next[name];
    else next[name] = value;
  }
  effective = next;
  showLimits(layers.limits);
  remember();
}

/** Where whoever measures reads them. The user's processes see no name of ours. */
function showLimits(limits: ToolboxLimits | undefined): void {
  if (limits === undefined) return;
  process.env[TOOLBOX_ENV.cpus] = String(limits.cpus);
  process.env[TOOLBOX_ENV.memoryBytes] = String(limits.memoryBytes);
  process.env[TOOLBOX_ENV.diskBytes] = String(limits.diskBytes);
}

function baseOf(own: NodeJS.ProcessEnv): Env {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(own)) {
    if (value === undefined || name in TOOLBOX_PROCESS_ENV) continue;
    if (!name.startsWith(OWN)) env[name] = value;
  }
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined && name.startsWith(FOR_USER)) env[name.slice(FOR_USER.length)] = value;
  }
  env['HOME'] ||= os.homedir();
  return env;
}

/**
 * The layers outlive this process but not the sandbox's boot: init restarts a crashed toolbox, and what it starts then must see
 * the same variables. /dev/shm is a tmpfs of exactly that life. A file there that somebody else made is left alone.
 */
const STATE_FILE = `/dev/shm/.paddock-toolbox-${process.getuid!()}.json`;

/** Kept only under the engine: a toolbox that was started by hand has no earlier life to continue. */
const keeps = process.env['PADDOCK_LISTEN_FD'] !== undefined;

function remember(): void {
  if (!keeps) return;
  try {
    const fd = openOwn(constants.O_WRONLY | constants.O_CREAT);
    if (fd === null) return;
    ftruncateSync(fd);
    writeFileSync(fd, JSON.stringify(layers));
    closeSync(fd);
  } catch (error) {
    console.error(JSON.stringify({ level: 'warn', message: 'the environment cannot be kept for a restart', reason: String(error) }));
  }
}

/** Continues where an earlier process of the same boot ended. Called once, before anything is served. */
export function recall(): void {
  if (!keeps) return;
  let fd: number | null = null;
  try {
    fd = openOwn(constants.O_RDONLY);
    if (fd === null) return;
    layers = JSON.parse(readFileSync(fd, 'utf8')) as Layers;
    changed();
  } catch {
    // No earlier life, or a file cut short by a kill: the next init brings everything.
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

function openOwn(flags: number): number | null {
  const fd = openSync(STATE_FILE, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
  const stat = fstatSync(fd);
  if (stat.isFile() && stat.uid === process.getuid!()) return fd;
  closeSync(fd);
  return null;
}
