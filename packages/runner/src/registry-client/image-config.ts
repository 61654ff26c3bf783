/** What an image says of itself (OCI image-spec and Docker's additions to it): read from whoever wrote it, kept, and written for builders. */

export interface WrittenConfig {
  readonly env: readonly string[];
  readonly workDir: string | null;
  readonly entrypoint: readonly string[] | null;
  readonly cmd: readonly string[] | null;
  /** `USER` as written. */
  readonly user: string | null;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent: nothing of it. */
  readonly forBuilds?: ForBuilds;
}

/** What changes nothing in a sandbox, but does in images that are built on this one. Each absent where the image does not say it. */
export interface ForBuilds {
  /** Instructions for the next build. */
  readonly onBuild?: readonly string[];
  /** Of commands that are written as a text. */
  readonly shell?: readonly string[];
  /** `80/tcp`. */
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly stopSignal?: string;
  readonly healthcheck?: Healthcheck;
}

export interface Healthcheck {
  readonly test: readonly string[];
  readonly retries?: number;
  /** In ns, by Docker's names. */
  readonly times: Readonly<Partial<Record<(typeof TIMES)[number], number>>>;
}

const TIMES = ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const;

/** Records stay in memory. The largest that are known, of buildpacks, have some hundred KiB in their labels. */
const MAX_CHARACTERS = 1024 ** 2;

type Json = Readonly<Record<string, unknown>>;

/**
 * Takes what is of the right kind; a field that is not counts as absent.
 * @param value `config` of an image's configuration
 * @returns null when it is too much to keep
 */
export function readConfig(value: unknown): WrittenConfig | null {
  const config = object(value);
  const forBuilds = readForBuilds(config);
  const read: WrittenConfig = {
    env: (texts(config['Env']) ?? []).filter((entry) => /^[^=\0]+=[^\0]*$/.test(entry)),
    workDir: text(config['WorkingDir']), entrypoint: texts(config['Entrypoint']), cmd: texts(config['Cmd']), user: text(config['User']),
    labels: Object.fromEntries(Object.entries(object(config['Labels'])).filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    ...(Object.keys(forBuilds).length === 0 ? {} : { forBuilds }),
  };
  return JSON.stringify(read).length > MAX_CHARACTERS ? null : read;
}

function readForBuilds(config: Json): ForBuilds {
  const [onBuild, shell, stopSignal] = [texts(config['OnBuild']), texts(config['Shell']), text(config['StopSignal'])];
  const [ports, volumes] = [names(config['ExposedPorts']), names(config['Volumes'])];
  const healthcheck = readHealthcheck(object(config['Healthcheck']));
  return {
    ...(onBuild === null ? {} : { onBuild }), ...(shell === null ? {} : { shell }), ...(ports === null ? {} : { ports }), ...(volumes === null ? {} : { volumes }),
    ...(stopSignal === null ? {} : { stopSignal }), ...(healthcheck === null ? {} : { healthcheck }),
  };
}

function readHealthcheck(value: Json): Healthcheck | null {
  const test = texts(value['Test']);
  if (test === null) return null;
  const retries = count(value['Retries']);
  const times = Object.fromEntries(TIMES.flatMap((name) => {
    const time = count(value[name]);
    return time === null ? [] : [[name, time]];
  }));
  return { test, times, ...(retries === null ? {} : { retries }) };
}

/** The other way round: `config` of a configuration that says the same. */
export function writeConfig({ env, entrypoint, cmd, workDir, user, labels, forBuilds = {} }: WrittenConfig): object {
  const { onBuild, shell, ports, volumes, stopSignal, healthcheck } = forBuilds;
  return {
    Env: env,
    ...(entrypoint === null ? {} : { Entrypoint: entrypoint }),
    ...(cmd === null ? {} : { Cmd: cmd }),
    ...(workDir === null ? {} : { WorkingDir: workDir }),
    ...(user === null ? {} : { User: user }),
    ...(Object.keys(labels).length === 0 ? {} : { Labels: labels }),
    ...(onBuild === undefined ? {} : { OnBuild: onBuild }),
    ...(shell === undefined ? {} : { Shell: shell }),
    ...(ports === undefined ? {} : { ExposedPorts: nothings(ports) }),
    ...(volumes === undefined ? {} : { Volumes: nothings(volumes) }),
    ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
    ...(healthcheck === undefined ? {} : { Healthcheck: { Test: healthcheck.test, ...healthcheck.times, ...(healthcheck.retries === undefined ? {} : { Retries: healthcheck.retries }) } }),
  };
}

function nothings(keys: readonly string[]): Readonly<Record<string, object>> {
  return Object.fromEntries(keys.map((key) => [key, {}]));
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Json : {};
}

/** Keys of an object with any; null: none. */
function names(value: unknown): readonly string[] | null {
  return texts(Object.keys(object(value)));
}

/** null: absent, empty, or not a list of texts. */
function texts(value: unknown): readonly string[] | null {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string' && !item.includes('\0')) ? value as string[] : null;
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' && !value.includes('\0') ? value : null;
}

function count(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) > 0 ? value as number : null;
}
