import type { OrganizationDto, OrganizationRoleDto, OrganizationUsageDto, OrganizationUserDto, RegionUsageDto } from '@paddock/contract';
import type { Database } from '../db/index.ts';
import type { Snapshots } from '../snapshots/index.ts';
import { membersOf, organizationById, rolesOf, type OrganizationRow, type RoleRow } from './store.ts';

/** What an organization's sandboxes use in one region, in cores and GiB, and what the region's runners have. */
export interface RegionUsage {
  readonly regionId: string;
  readonly used: ResourceAmounts;
  readonly capacity: ResourceAmounts;
}

export interface ResourceAmounts {
  readonly cpu: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
}

export type UsageSource = (organizationId: string) => Promise<readonly RegionUsage[]>;

/** What creating something in an organization has to check. */
export interface OrganizationRules {
  readonly id: string;
  readonly defaultRegionId: string | null;
  /** Sentence for a 403, null when it is not suspended. */
  readonly suspension: string | null;
  readonly maxPerSandbox: ResourceAmounts;
  readonly snapshotQuota: number;
  readonly maxSnapshotSizeGiB: number;
}

export class Organizations {
  readonly #db: Database;
  readonly #snapshots: Pick<Snapshots, 'countOwn'>;
  #usage: UsageSource = () => Promise.resolve([]);
  #volumeCount: (organizationId: string) => Promise<number> = () => Promise.resolve(0);

  constructor(db: Database, snapshots: Pick<Snapshots, 'countOwn'>) {
    this.#db = db;
    this.#snapshots = snapshots;
  }

  /** The domain that knows the sandboxes tells what they use. */
  useUsageSource(source: UsageSource): void {
    this.#usage = source;
  }

  /** The domain that knows the volumes tells how many count against the quota. */
  useVolumeCount(count: (organizationId: string) => Promise<number>): void {
    this.#volumeCount = count;
  }

  async get(id: string): Promise<OrganizationDto | null> {
    const row = await this.#db.one(organizationById(id));
    return row && toDto(row);
  }

  async rules(id: string): Promise<OrganizationRules | null> {
    const row = await this.#db.one(organizationById(id));
    return row && {
      id: row.id,
      defaultRegionId: row.default_region_id,
      suspension: suspensionOf(row),
      maxPerSandbox: { cpu: row.max_cpu_per_sandbox, memoryGiB: row.max_memory_per_sandbox, diskGiB: row.max_disk_per_sandbox },
      snapshotQuota: row.snapshot_quota,
      maxSnapshotSizeGiB: row.max_snapshot_size_gib,
    };
  }

  async roles(id: string): Promise<OrganizationRoleDto[]> {
    return (await this.#db.query(rolesOf(id))).map(roleToDto);
  }

  async members(id: string): Promise<OrganizationUserDto[]> {
    const [members, roles] = await Promise.all([this.#db.query(membersOf(id)), this.roles(id)]);
    return members.map((row) => ({
      userId: row.user_id,
      organizationId: row.organization_id,
      name: row.name,
      email: row.email,
      role: row.role,
      assignedRoles: roles.filter((role) => row.role_ids.includes(role.id)),
      createdAt: row.created_at.toISOString(),
      updatedAt: row.updated_at.toISOString(),
    }));
  }

  async usage(id: string): Promise<OrganizationUsageDto | null> {
    const [row, snapshots, regions, volumes] = await Promise.all([this.#db.one(organizationById(id)), this.#snapshots.countOwn(id), this.#usage(id), this.#volumeCount(id)]);
    return row && {
      regionUsage: regions.map((region) => regionUsageToDto(region, row)),
      totalSnapshotQuota: row.snapshot_quota,
      currentSnapshotUsage: snapshots,
      totalVolumeQuota: row.volume_quota,
      currentVolumeUsage: volumes,
    };
  }
}

/** wire: a suspension whose end lies in the past is none. */
function suspensionOf(row: OrganizationRow): string | null {
  if (!row.suspended || (row.suspended_until && row.suspended_until.getTime() <= Date.now())) return null;
  return row.suspension_reason ? `Organization is suspended: ${row.suspension_reason}` : 'Organization is suspended';
}

function regionUsageToDto({ regionId, used, capacity }: RegionUsage, row: OrganizationRow): RegionUsageDto {
  return {
    regionId,
    sandboxClass: 'container',
    totalCpuQuota: capacity.cpu,
    currentCpuUsage: used.cpu,
    totalMemoryQuota: capacity.memoryGiB,
    currentMemoryUsage: used.memoryGiB,
    totalDiskQuota: capacity.diskGiB,
    currentDiskUsage: used.diskGiB,
    totalGpuQuota: 0,
    currentGpuUsage: 0,
    maxCpuPerSandbox: row.max_cpu_per_sandbox,
    maxMemoryPerSandbox: row.max_memory_per_sandbox,
    maxDiskPerSandbox: row.max_disk_per_sandbox,
    maxDiskPerNonEphemeralSandbox: null,
    maxCpuPerGpu: null,
    maxMemoryPerGpu: null,
    maxDiskPerGpu: null,
  };
}

function roleToDto(row: RoleRow): OrganizationRoleDto {
  return {
    id: row.id, name: row.name, description: row.description, permissions: row.permissions, isGlobal: row.is_global,
    createdAt: row.created_at.toISOString(), updatedAt: row.updated_at.toISOString(),
  };
}

function toDto(row: OrganizationRow): OrganizationDto {
  return {
    id: row.id,
    name: row.name,
    createdBy: row.created_by,
    personal: row.personal,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    suspended: row.suspended,
    suspendedAt: row.suspended_at?.toISOString() ?? null,
    suspensionReason: row.suspension_reason,
    suspendedUntil: row.suspended_until?.toISOString() ?? null,
    suspensionCleanupGracePeriodHours: row.suspension_cleanup_grace_period_hours,
    maxCpuPerSandbox: row.max_cpu_per_sandbox,
    maxMemoryPerSandbox: row.max_memory_per_sandbox,
    maxDiskPerSandbox: row.max_disk_per_sandbox,
    secretQuota: row.secret_quota,
    maxSecretsPerSandbox: row.max_secrets_per_sandbox,
    snapshotDeactivationTimeoutMinutes: row.snapshot_deactivation_timeout_minutes,
    sandboxLimitedNetworkEgress: row.sandbox_limited_network_egress,
    previewWarningEnabled: row.preview_warning_enabled,
    ssoEnabled: false,
    ...(row.default_region_id === null ? {} : { defaultRegionId: row.default_region_id }),
    authenticatedRateLimit: null,
    sandboxCreateRateLimit: null,
    sandboxLifecycleRateLimit: null,
    experimentalConfig: {},
    otelConfig: null,
    authenticatedRateLimitTtlSeconds: null,
    sandboxCreateRateLimitTtlSeconds: null,
    sandboxLifecycleRateLimitTtlSeconds: null,
  };
}
