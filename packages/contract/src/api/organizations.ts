import { Type, type Static } from 'typebox';
import { Nullable, PERMISSIONS, SANDBOX_CLASSES, StringEnum, Timestamp } from './common.ts';

export const OrganizationDto = Type.Object({
  id: Type.String(), name: Type.String(), createdBy: Type.String(), personal: Type.Boolean(), createdAt: Timestamp, updatedAt: Timestamp,
  suspended: Type.Boolean(), suspendedAt: Nullable(Timestamp), suspensionReason: Nullable(Type.String()), suspendedUntil: Nullable(Timestamp),
  suspensionCleanupGracePeriodHours: Type.Integer(),
  maxCpuPerSandbox: Type.Integer(), maxMemoryPerSandbox: Type.Integer(), maxDiskPerSandbox: Type.Integer(),
  secretQuota: Type.Integer(), maxSecretsPerSandbox: Type.Integer(), snapshotDeactivationTimeoutMinutes: Type.Integer(),
  sandboxLimitedNetworkEgress: Type.Boolean(), previewWarningEnabled: Type.Boolean(), ssoEnabled: Type.Boolean(),
  defaultRegionId: Type.Optional(Type.String()),
  authenticatedRateLimit: Nullable(Type.Number()), sandboxCreateRateLimit: Nullable(Type.Number()), sandboxLifecycleRateLimit: Nullable(Type.Number()),
  experimentalConfig: Type.Record(Type.String(), Type.Unknown()), otelConfig: Type.Null(),
  authenticatedRateLimitTtlSeconds: Nullable(Type.Number()), sandboxCreateRateLimitTtlSeconds: Nullable(Type.Number()), sandboxLifecycleRateLimitTtlSeconds: Nullable(Type.Number()),
}, { title: 'Organization' });
export type OrganizationDto = Static<typeof OrganizationDto>;

const Quota = Nullable(Type.Number());

export const RegionUsageDto = Type.Object({
  regionId: Type.String(), sandboxClass: StringEnum(SANDBOX_CLASSES),
  totalCpuQuota: Type.Number(), currentCpuUsage: Type.Number(), totalMemoryQuota: Type.Number(), currentMemoryUsage: Type.Number(),
  totalDiskQuota: Type.Number(), currentDiskUsage: Type.Number(), totalGpuQuota: Type.Number(), currentGpuUsage: Type.Number(),
  maxCpuPerSandbox: Quota, maxMemoryPerSandbox: Quota, maxDiskPerSandbox: Quota, maxDiskPerNonEphemeralSandbox: Quota,
  maxCpuPerGpu: Quota, maxMemoryPerGpu: Quota, maxDiskPerGpu: Quota,
}, { title: 'RegionUsageOverview' });
export type RegionUsageDto = Static<typeof RegionUsageDto>;

export const OrganizationUsageDto = Type.Object({
  regionUsage: Type.Array(RegionUsageDto), totalSnapshotQuota: Type.Number(), currentSnapshotUsage: Type.Number(),
  totalVolumeQuota: Type.Number(), currentVolumeUsage: Type.Number(),
}, { title: 'OrganizationUsageOverview' });
export type OrganizationUsageDto = Static<typeof OrganizationUsageDto>;

export const OrganizationRoleDto = Type.Object({
  id: Type.String(), name: Type.String(), description: Type.String(), permissions: Type.Array(StringEnum(PERMISSIONS)), isGlobal: Type.Boolean(),
  createdAt: Timestamp, updatedAt: Timestamp,
}, { title: 'OrganizationRole' });
export type OrganizationRoleDto = Static<typeof OrganizationRoleDto>;

export const OrganizationUserDto = Type.Object({
  userId: Type.String(), organizationId: Type.String(), name: Type.String(), email: Type.String(), role: StringEnum(['owner', 'member']),
  assignedRoles: Type.Array(OrganizationRoleDto), createdAt: Timestamp, updatedAt: Timestamp,
}, { title: 'OrganizationUser' });
export type OrganizationUserDto = Static<typeof OrganizationUserDto>;

export const AvailableSandboxClassDto = Type.Object({
  regionId: Type.String(), sandboxClass: StringEnum(SANDBOX_CLASSES), gpuAvailable: Type.Boolean(),
}, { title: 'AvailableSandboxClass' });
export type AvailableSandboxClassDto = Static<typeof AvailableSandboxClassDto>;
