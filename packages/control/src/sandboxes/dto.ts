import type { SandboxDto, SandboxListItemDto } from '@paddock/contract';
import { buildInfoDto } from '../snapshots/index.ts';
import type { Sandbox } from './sandbox.ts';
import { shownState } from './states.ts';

/** What a reply says beyond the row. */
export interface DtoContext {
  /** `<public origin>/toolbox`. */
  readonly toolboxProxyUrl: string;
}

/** wire: dates are ISO texts; fields without a value are left out. */
export function toListItem(sandbox: Sandbox, context: DtoContext): SandboxListItemDto {
  return {
    id: sandbox.id,
    organizationId: sandbox.organizationId,
    name: sandbox.name,
    target: sandbox.regionId,
    runnerId: sandbox.runnerId ?? undefined,
    sandboxClass: 'container',
    state: shownState(sandbox.state, sandbox.desiredState),
    desiredState: sandbox.desiredState,
    snapshot: sandbox.snapshot ?? undefined,
    user: sandbox.osUser,
    errorReason: sandbox.errorReason ?? undefined,
    recoverable: sandbox.recoverable,
    public: sandbox.public,
    networkBlockAll: sandbox.networkBlockAll,
    networkAllowList: sandbox.networkAllowList ?? undefined,
    cpu: sandbox.cpu,
    gpu: sandbox.gpu,
    kvm: false,
    spot: false,
    memory: sandbox.memory,
    disk: sandbox.disk,
    labels: sandbox.labels,
    backupState: sandbox.backupState,
    autoStopInterval: sandbox.autoStopInterval,
    autoPauseInterval: 0,
    autoArchiveInterval: sandbox.autoArchiveInterval,
    autoDeleteInterval: sandbox.autoDeleteInterval,
    autoDestroyAt: sandbox.autoDestroyAt?.toISOString(),
    createdAt: sandbox.createdAt.toISOString(),
    updatedAt: sandbox.updatedAt.toISOString(),
    lastActivityAt: sandbox.lastActivityAt.toISOString(),
    daemonVersion: sandbox.daemonVersion ?? undefined,
    toolboxProxyUrl: context.toolboxProxyUrl,
  };
}

export function toDto(sandbox: Sandbox, context: DtoContext): SandboxDto {
  const { buildInfo } = sandbox;
  const volumes = sandbox.volumes.map(({ volumeId, mountPath, subpath }) => ({ volumeId, mountPath, ...(subpath === null ? {} : { subpath }) }));
  const backupCreatedAt = sandbox.backupCreatedAt?.toISOString();
  return { ...toListItem(sandbox, context), backupCreatedAt, env: sandbox.env, volumes, ...(buildInfo ? { buildInfo: buildInfoDto(buildInfo, sandbox.updatedAt) } : {}) };
}
