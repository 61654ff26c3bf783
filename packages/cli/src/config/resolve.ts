import { readFileSync } from 'node:fs';
import type { PaddockConfig } from '@paddock/contract';
import { parse as parseToml, type TomlTable } from 'smol-toml';
import { type ConfigPath, isSecret, type Setting, SETTINGS } from './settings.ts';

/** Read when it exists and no other file is named. */
export const DEFAULT_CONFIG_FILE = '/etc/paddock/paddock.toml';

export interface Sources {
  /** Flag (`--port`) → its text. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** File of `--config`; null: PADDOCK_CONFIG, else the default file if it exists. */
  readonly configFile: string | null;
}

export type Resolved = { readonly ok: true; readonly config: PaddockConfig } | { readonly ok: false; readonly problems: readonly string[] };

/** Flags over environment over TOML over defaults. Every bad value is reported, not only the first. */
export function resolveConfig(sources: Sources): Resolved {
  const problems: string[] = [];
  const file = readTomlFile(sources);
  problems.push(...file.problems);

  const read = (path: ConfigPath, fallback: string | null): unknown => {
    const setting = SETTINGS[path];
    const found = find(setting, sources, file);
    const text = found?.text ?? fallback;
    if (text === null) return null;
    const reading = setting.read(text);
    if (reading.ok) return reading.value;
    const got = isSecret(setting) ? 'what it holds' : JSON.stringify(text);
    problems.push(`${found?.where ?? setting.env}: expected ${reading.expected}, not ${got}`);
    return null;
  };

  const port = read('port', SETTINGS.port.fallback);
  const nested: Record<string, unknown> = {};
  for (const path of Object.keys(SETTINGS) as ConfigPath[]) {
    assign(nested, path, path === 'port' ? port : read(path, SETTINGS[path].fallback?.replace('{port}', String(port ?? 0)) ?? null));
  }
  nested['previewProtocol'] ??= String(nested['publicUrl']).startsWith('https:') ? 'https' : 'http';
  addOwnRegistry(nested);
  // The table has a row for each field and each row's reader yields that field's type.
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config: nested as unknown as PaddockConfig };
}

/** The runner pulls from the registry of this server without TLS. Loopback names need no word; behind 0.0.0.0 it uses one. */
function addOwnRegistry(nested: Record<string, unknown>): void {
  const host = String(nested['host']);
  if (['127.0.0.1', 'localhost', '0.0.0.0', '::', '::1'].includes(host)) return;
  const registries = nested['registries'] as { insecure: readonly string[] };
  nested['registries'] = { ...registries, insecure: [...(registries.insecure ?? []), `${host.includes(':') ? `[${host}]` : host}:${String(nested['port'])}`] };
}

/** An environment variable that is set to nothing counts as not set: that is how compose files and shells blank one. */
function find(setting: Setting, sources: Sources, file: TomlFile): { text: string; where: string } | null {
  const flag = setting.flag === null ? undefined : sources.flags[setting.flag];
  if (flag !== undefined) return { text: flag, where: setting.flag ?? '' };
  const env = sources.env[setting.env];
  if (env !== undefined && env !== '') return { text: env, where: setting.env };
  const text = file.values[setting.toml];
  return text === undefined ? null : { text, where: `${setting.toml} in ${file.path}` };
}

interface TomlFile {
  readonly path: string;
  /** TOML key with dots → text in the form that flags have. */
  readonly values: Readonly<Record<string, string>>;
  readonly problems: readonly string[];
}

function readTomlFile({ configFile, env }: Sources): TomlFile {
  const named = configFile ?? (env['PADDOCK_CONFIG'] || null);
  const path = named ?? DEFAULT_CONFIG_FILE;
  const nothing = (...problems: string[]): TomlFile => ({ path, values: {}, problems });
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' && named === null ? nothing() : nothing(`${path}: cannot be read (${code ?? message})`);
  }
  try {
    const values = flatten(parseToml(text));
    const known = new Set(Object.values(SETTINGS).map((setting) => setting.toml));
    const unknown = Object.keys(values).filter((key) => !known.has(key));
    return { path, values, problems: unknown.map((key) => `${path}: there is no setting ${key}`) };
  } catch (error) {
    return nothing(`${path}: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** `[warm_pool]` is a value of its own, `[pool]` groups settings: a table is a value when a setting has its name. */
function flatten(table: TomlTable, prefix = ''): Record<string, string> {
  const values: Record<string, string> = {};
  const whole = new Set(Object.values(SETTINGS).map((setting) => setting.toml));
  for (const [key, value] of Object.entries(table)) {
    const path = prefix + key;
    if (Array.isArray(value)) values[path] = value.map(String).join(',');
    else if (typeof value === 'object' && !(value instanceof Date)) {
      if (whole.has(path)) values[path] = Object.entries(value).map(([name, count]) => `${name}=${String(count)}`).join(',');
      else Object.assign(values, flatten(value, `${path}.`));
    } else values[path] = String(value);
  }
  return values;
}

function assign(target: Record<string, unknown>, path: string, value: unknown): void {
  const [head = '', tail] = path.split('.');
  if (tail === undefined) target[head] = value;
  else assign((target[head] ??= {}) as Record<string, unknown>, tail, value);
}
