import { parseMounts, type RequestedMount } from '../volumes/index.ts';
import { parseCidrList } from './cidr-list.ts';
import { Fields } from '../http/fields.ts';
import type { BuildRequest } from '../images/index.ts';
import { DEFAULT_RESOURCES, parseBuildInfo } from '../snapshots/index.ts';

/** A `POST /sandbox` body whose values are in range. What they refer to (snapshot, region) is not looked up yet. */
export interface CreateRequest {
  readonly name: string | null;
  /** Id or name; null: the default snapshot, unless there is something to build. */
  readonly snapshot: string | null;
  /** What to build it from, and how large it is to be; null: its snapshot says. */
  readonly build: BuildCreate | null;
  /** Region id or name; null: the organization's default. */
  readonly target: string | null;
  readonly user: string | null;
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly public: boolean;
  readonly autoStopInterval: number;
  readonly autoArchiveInterval: number;
  readonly autoDeleteInterval: number;
  /** Minutes of wall-clock life; 0: no end. */
  readonly ttlMinutes: number;
  readonly networkBlockAll: boolean;
  /** CIDRs joined by commas, or null. */
  readonly networkAllowList: string | null;
  readonly volumes: readonly RequestedMount[];
}

export interface BuildCreate extends BuildRequest {
  readonly cpu: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
}

export type Parsed<T> = { readonly value: T } | { readonly problem: string; readonly status: 400 | 501 };

/** wire: 15 minutes, seven days, never. */
const DEFAULTS = { autoStop: 15, autoArchive: 10_080, autoDelete: -1 } as const;
/** wire: `maxAutoArchiveInterval` of GET /config, thirty days; 0 stands for it and more is cut to it. */
const MAX_AUTO_ARCHIVE = 43_200;

export function parseCreate(body: unknown): Parsed<CreateRequest> {
  const fields = new Fields(body);
  const name = fields.displayText('name');
  const snapshot = fields.text('snapshot', 512);
  const target = fields.text('target', 256);
  const user = fields.text('user', 32);
  const env = fields.env('env');
  const labels = fields.labels('labels');
  const isPublic = fields.flag('public') ?? false;
  const networkBlockAll = fields.flag('networkBlockAll') ?? false;
  const allow = fields.text('networkAllowList', 1_000);
  const autoStopInterval = fields.integer('autoStopInterval', { min: 0 }) ?? DEFAULTS.autoStop;
  const autoPauseInterval = fields.integer('autoPauseInterval', { min: 0 }) ?? 0;
  const autoArchiveInterval = archiveInterval(fields.integer('autoArchiveInterval', { min: 0 }) ?? DEFAULTS.autoArchive);
  const autoDeleteInterval = Math.max(-1, fields.integer('autoDeleteInterval', {}) ?? DEFAULTS.autoDelete);
  const ttlMinutes = fields.integer('ttlMinutes', { min: 0 }) ?? 0;
  const [cpu = 0, memory = 0, disk = 0, gpu = 0] = ['cpu', 'memory', 'disk', 'gpu'].map((key) => fields.integer(key, { min: 0 }) ?? 0);
  const buildInfo = fields.present('buildInfo') ? parseBuildInfo(fields.object('buildInfo')) : null;
  if (buildInfo && 'problems' in buildInfo) fields.problems.push(...buildInfo.problems);
  const gpuType = fields.filled('gpuType');
  const spot = fields.flag('spot') ?? false;
  const volumes = parseMounts(fields.raw('volumes'), fields.problems);

  const cidrs = allow === null ? null : parseCidrList(allow);
  if (cidrs && 'problem' in cidrs) fields.problems.push(cidrs.problem);
  if (fields.problems.length > 0) return { problem: fields.problems.join(', '), status: 400 };

  if (buildInfo && snapshot) return { problem: 'Cannot specify both a snapshot and a build info entry', status: 400 };
  if (buildInfo && fields.filled('linkedSandbox')) return { problem: 'Cannot specify both a linked sandbox and a build info entry', status: 400 };
  if (!buildInfo && (cpu + memory + disk + gpu > 0 || gpuType)) return { problem: 'Cannot specify Sandbox resources when using a snapshot', status: 400 };
  // This server's runners have no GPUs.
  if (gpu > 0 || gpuType) return { problem: 'No available runners with GPUs', status: 400 };
  if (spot) return { problem: 'Spot is available for GPU sandboxes only', status: 400 };
  if (autoPauseInterval > 0) return { problem: 'Auto-pause is not supported for sandboxes of class container', status: 400 };
  for (const [key, what] of NOT_YET) if (fields.filled(key)) return notYet(what);

  // wire: zero stands for the default.
  const build = buildInfo && 'value' in buildInfo
    ? { ...buildInfo.value, cpu: cpu || DEFAULT_RESOURCES.cpu, memoryGiB: memory || DEFAULT_RESOURCES.memoryGiB, diskGiB: disk || DEFAULT_RESOURCES.diskGiB }
    : null;
  return {
    value: {
      name, snapshot, build, target, user, env, labels, public: isPublic, autoStopInterval, autoArchiveInterval, autoDeleteInterval, ttlMinutes,
      networkBlockAll, volumes, networkAllowList: cidrs && 'list' in cidrs && cidrs.list.length > 0 ? cidrs.list.join(',') : null,
    },
  };
}

/** Fields that ask for something this server cannot do: refused, because to ignore one would pretend. */
const NOT_YET: ReadonlyArray<readonly [key: string, what: string]> = [
  ['linkedSandbox', 'Linked sandboxes'],
  ['secrets', 'Secrets'],
  ['domainAllowList', 'Domain allow lists'],
  ['outboundProxyUrl', 'Outbound proxies'],
  ['otelEndpointOverride', 'OpenTelemetry endpoints per sandbox'],
];

function notYet(what: string): { problem: string; status: 501 } {
  return { problem: `${what} are not implemented by this server yet`, status: 501 };
}

/** wire: three different zeros; here 0 means the longest. */
export function archiveInterval(minutes: number): number {
  return minutes === 0 ? MAX_AUTO_ARCHIVE : Math.min(minutes, MAX_AUTO_ARCHIVE);
}
