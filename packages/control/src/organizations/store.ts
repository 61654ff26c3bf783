import type { Permission } from '@paddock/contract';
import { plan } from '../db/index.ts';

export interface OrganizationRow {
  id: string;
  name: string;
  created_by: string;
  personal: boolean;
  default_region_id: string | null;
  suspended: boolean;
  suspended_at: Date | null;
  suspension_reason: string | null;
  suspended_until: Date | null;
  suspension_cleanup_grace_period_hours: number;
  max_cpu_per_sandbox: number;
  max_memory_per_sandbox: number;
  max_disk_per_sandbox: number;
  snapshot_quota: number;
  max_snapshot_size_gib: number;
  volume_quota: number;
  secret_quota: number;
  max_secrets_per_sandbox: number;
  snapshot_deactivation_timeout_minutes: number;
  sandbox_limited_network_egress: boolean;
  preview_warning_enabled: boolean;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = `id, name, created_by, personal, default_region_id, suspended, suspended_at, suspension_reason, suspended_until,
  suspension_cleanup_grace_period_hours, max_cpu_per_sandbox, max_memory_per_sandbox, max_disk_per_sandbox, snapshot_quota, max_snapshot_size_gib, volume_quota,
  secret_quota, max_secrets_per_sandbox, snapshot_deactivation_timeout_minutes, sandbox_limited_network_egress, preview_warning_enabled,
  created_at, updated_at`;

export const organizationById = (id: string) => plan<OrganizationRow>('organizations_by_id', `SELECT ${COLUMNS} FROM organizations WHERE id = $1`, [id]);

export interface RoleRow {
  id: string;
  name: string;
  description: string;
  permissions: Permission[];
  is_global: boolean;
  created_at: Date;
  updated_at: Date;
}

export const rolesOf = (organizationId: string) => plan<RoleRow>('organizations_roles', `
  SELECT id, name, description, permissions, is_global, created_at, updated_at FROM organization_roles
  WHERE organization_id = $1 OR is_global ORDER BY is_global DESC, id`, [organizationId]);

export interface MemberRow {
  user_id: string;
  organization_id: string;
  name: string;
  email: string;
  role: 'owner' | 'member';
  role_ids: string[];
  created_at: Date;
  updated_at: Date;
}

export const membersOf = (organizationId: string) => plan<MemberRow>('organizations_members', `
  SELECT m.user_id, m.organization_id, u.name, u.email, m.role, m.role_ids, m.created_at, m.updated_at
  FROM organization_users m JOIN users u ON u.id = m.user_id
  WHERE m.organization_id = $1 ORDER BY m.created_at, m.user_id`, [organizationId]);

/**
 * Limits of a new organization. Per sandbox they are as high as a large machine: on one's own hardware the machine is the
 * limit. The counts are the wire's defaults; 20160 minutes are its fourteen days.
 */
export const ensurePersonalOrganization = (userId: string, regionId: string) => plan<{ id: string }>('organizations_ensure_personal', `
  INSERT INTO organizations (id, name, created_by, personal, default_region_id, max_cpu_per_sandbox, max_memory_per_sandbox, max_disk_per_sandbox,
    snapshot_quota, volume_quota, secret_quota, max_secrets_per_sandbox, snapshot_deactivation_timeout_minutes)
  VALUES (gen_random_uuid(), 'Personal', $1, true, $2, 100, 100, 1000, 100, 100, 100, 20, 20160)
  ON CONFLICT (created_by) WHERE personal DO UPDATE SET default_region_id = excluded.default_region_id
  RETURNING id`, [userId, regionId]);

export const ensureOwner = (organizationId: string, userId: string) => plan('organizations_ensure_owner', `
  INSERT INTO organization_users (organization_id, user_id, role) VALUES ($1, $2, 'owner') ON CONFLICT DO NOTHING`, [organizationId, userId]);
