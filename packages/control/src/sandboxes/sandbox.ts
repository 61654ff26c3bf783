import { randomUUID } from 'node:crypto';
import type { ArchiveSummary, DesiredState, NetworkPolicy, SandboxSpec, SandboxState, VolumeMount } from '@paddock/contract';
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
  /** Prefix of the object store that its disk is moved to or is in. */
  readonly archiveId: string | null;
  /** Its disk is in the object store and nowhere else. */
  readonly archive: ArchiveSummary | null;
  readonly backupState: BackupState;
  readonly backupCreatedAt: Date | null;
  /** What it is being given; cores and GiB. */
  readonly resizeTo: Resources | null;
  /** What recovering from a full disk has added to it, in percent of its size. */
  readonly diskGrownPercent: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly stateChangedAt: Date;
  readonly lastActivityAt: Date;
}

export type BackupState = 'None' | 'Pending' | 'InProgress' | 'Completed' | 'Error';

/** Cores and GiB. */
export interface Resources {
  readonly cpu: number;
  readonly memory: number;
  readonly disk: number;
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

/** What a move that begins an archive writes: a place of its own, so that what an earlier attempt left is never taken for it. */
export function newArchive(): { readonly archiveId: string; readonly archive: null; readonly backupState: BackupState; readonly errorReason: null } {
  return { archiveId: randomUUID(), archive: null, backupState: 'InProgress', errorReason: null };
}

/** With what recovering from a full disk has added. */
export function diskGiBOf(sandbox: Pick<Sandbox, 'disk' | 'diskGrownPercent'>, disk = sandbox.disk): number {
  return disk * (1 + sandbox.diskGrownPercent / 100);
}

export function specOf(sandbox: Sandbox): SandboxSpec {
  return {
    id: sandbox.id,
    image: sandbox.image,
    user: sandbox.userGiven ? sandbox.osUser : null,
    env: sandbox.env,
    cpu: sandbox.cpu,
    memoryGiB: sandbox.memory,
    diskGiB: diskGiBOf(sandbox),
    network: networkPolicyOf(sandbox),
    volumes: sandbox.volumes,
    entrypoint: sandbox.entrypoint,
    token: sandbox.authToken,
  };
}
