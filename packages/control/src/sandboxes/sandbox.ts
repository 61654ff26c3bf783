import type { DesiredState, NetworkPolicy, SandboxSpec, SandboxState, VolumeMount } from '@paddock/contract';
import type { BuildInfo } from '../snapshots/index.ts';

/** Owner of sandboxes that wait in a warm pool. */
export const NO_ORGANIZATION = '00000000-0000-0000-0000-000000000000';

/** A row of `sandboxes`. Resources in cores and GiB, intervals in minutes. */
export interface Sandbox {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  readonly regionId: string;
  /** Name of the snapshot; null when it was built from a Dockerfile. */
  readonly snapshot: string | null;
  /** What it was built from. */
  readonly buildInfo: BuildInfo | null;
  /** Name of the image in the runner's store. */
  readonly image: string;
  readonly entrypoint: readonly string[] | null;
  /** As shown: the one that was asked for, else what is known of the image. */
  readonly osUser: string;
  /** `osUser` was asked for; otherwise the image decides. */
  readonly userGiven: boolean;
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly public: boolean;
  readonly cpu: number;
  readonly memory: number;
  readonly disk: number;
  readonly gpu: number;
  readonly state: SandboxState;
  readonly desiredState: DesiredState;
  /** Counts the moves. */
  readonly revision: number;
  readonly errorReason: string | null;
  readonly recoverable: boolean;
  readonly forceStop: boolean;
  readonly autoStopInterval: number;
  readonly autoArchiveInterval: number;
  readonly autoDeleteInterval: number;
  readonly autoDestroyAt: Date | null;
  readonly networkBlockAll: boolean;
  /** CIDRs joined by commas. */
  readonly networkAllowList: string | null;
  readonly volumes: readonly VolumeMount[];
  readonly runnerId: string | null;
  readonly daemonVersion: string | null;
  readonly authToken: string;
  readonly signingKey: string | null;
  /** What a claim must match; null outside the warm pool. */
  readonly warmKey: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly stateChangedAt: Date;
  readonly lastActivityAt: Date;
}

/** What an insert decides; the rest of the row has its defaults. */
export type NewSandbox = Pick<
  Sandbox,
  | 'id' | 'organizationId' | 'name' | 'regionId' | 'snapshot' | 'buildInfo' | 'image' | 'entrypoint' | 'osUser' | 'userGiven' | 'env' | 'labels' | 'public' | 'cpu' | 'memory' | 'disk'
  | 'autoStopInterval' | 'autoArchiveInterval' | 'autoDeleteInterval' | 'autoDestroyAt' | 'networkBlockAll' | 'networkAllowList' | 'volumes' | 'runnerId' | 'authToken' | 'warmKey'
>;

export function isWarm(sandbox: Pick<Sandbox, 'organizationId'>): boolean {
  return sandbox.organizationId === NO_ORGANIZATION;
}

/** wire: ephemeral sandboxes are destroyed where others stop. */
export function isEphemeral(sandbox: Pick<Sandbox, 'autoDeleteInterval'>): boolean {
  return sandbox.autoDeleteInterval === 0;
}

/** wire: the name is free again as soon as DELETE answered. */
export function releasedName(name: string, now = Date.now()): string {
  return `DESTROYED_${name}_${now}`;
}

export function networkPolicyOf(sandbox: Pick<Sandbox, 'networkBlockAll' | 'networkAllowList'>): NetworkPolicy {
  return { blockAll: sandbox.networkBlockAll, allowList: sandbox.networkAllowList?.split(',') ?? null };
}

export function specOf(sandbox: Sandbox): SandboxSpec {
  return {
    id: sandbox.id,
    image: sandbox.image,
    user: sandbox.userGiven ? sandbox.osUser : null,
    env: sandbox.env,
    cpu: sandbox.cpu,
    memoryGiB: sandbox.memory,
    diskGiB: sandbox.disk,
    network: networkPolicyOf(sandbox),
    volumes: sandbox.volumes,
    entrypoint: sandbox.entrypoint,
    token: sandbox.authToken,
  };
}
